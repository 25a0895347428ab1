"""The process that owns the preview window: pictures in on standard input, keys out on standard output.

A process of its own, because the window system's library ends its whole process when there is no screen, wants its
windows on the main thread (macOS) or for ever on the first thread that made one (Qt), and holds up Python's threads
while it draws. It knows nothing of what the keys mean.

One request, one reply. Request: ``HEADER``, the text in UTF-8 (one line above, one below), the picture as RGB bytes;
a width of 0 only asks for keys. Reply: a line with the codes of the keys pressed since the last one, ``CLOSED`` among
them when the person closed the window; then the process ends, as it does at the end of its input.
"""

from __future__ import annotations

import os
import signal
import struct
import sys
from typing import BinaryIO

import cv2
import numpy as np
import numpy.typing as npt

REQUEST_HEADER = struct.Struct("<IIBI")
"""Width, height, 1 to mirror the picture, bytes of text."""

WINDOW_CLOSED = -1
"""The code that stands for the window's closing."""

_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)


def serve_requests(title: str, requests: BinaryIO, replies: BinaryIO) -> None:
    """Answer requests until they end or the window is closed."""
    cv2.namedWindow(title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
    size = (0, 0)
    codes: list[int] = []
    while WINDOW_CLOSED not in codes and len(head := requests.read(REQUEST_HEADER.size)) == REQUEST_HEADER.size:
        width, height, mirror, length = REQUEST_HEADER.unpack(head)
        text = requests.read(length).decode()
        if width:
            rgb = np.frombuffer(requests.read(width * height * 3), np.uint8).reshape(height, width, 3)
            cv2.imshow(title, _render_view(rgb, bool(mirror), text))
            if size != (width, height):
                size = (width, height)
                cv2.resizeWindow(title, width, height)
        codes = _poll_key_codes(title)
        replies.write((" ".join(map(str, codes)) + "\n").encode())
        replies.flush()


def _poll_key_codes(title: str) -> list[int]:
    """Let the window system work, and give the codes of the keys that came."""
    codes = []
    while (code := cv2.pollKey()) >= 0:
        codes.append(code & 0xFF)
    if cv2.getWindowProperty(title, cv2.WND_PROP_VISIBLE) < 1:
        codes.append(WINDOW_CLOSED)
    return codes


def _render_view(rgb: npt.NDArray[np.uint8], mirror: bool, text: str) -> npt.NDArray[np.uint8]:
    """uint8 [H, W, 3] BGR with the first line of ``text`` at the top and the second at the bottom."""
    picture = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), np.uint8)
    if mirror:
        picture = np.asarray(cv2.flip(picture, 1), np.uint8)
    height = picture.shape[0]
    scale = max(0.4, height / 1100)
    left, rows = round(12 * scale), (round(28 * scale), height - round(14 * scale))
    for line, row in zip(text.split("\n"), rows, strict=False):
        for colour, width in ((_BLACK, 4), (_WHITE, 1)):  # readable on any picture
            thickness = max(1, round(width * scale))
            cv2.putText(picture, line, (left, row), cv2.FONT_HERSHEY_SIMPLEX, scale, colour, thickness, cv2.LINE_AA)
    return picture


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who asks; his end is the end of the input
    os.environ.setdefault("QT_LOGGING_RULES", "*.warning=false")  # it complains of fonts that nobody needs
    serve_requests(sys.argv[1], sys.stdin.buffer, sys.stdout.buffer)
