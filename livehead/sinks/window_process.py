"""The process that owns the preview window: it reads pictures from standard input and writes keys to standard output.

The window has a process of its own because the window system's library ends its whole process when there is no screen,
needs its windows on the main thread (macOS) or always on the first thread that made one (Qt), and blocks Python's
threads while it draws. The meaning of the keys is unknown here.

Each request gets one reply. A request is ``REQUEST_HEADER``, the text in UTF-8 (one line above, one below) and the
picture as RGB bytes; a width of 0 only asks for keys. The reply is a line with the codes of the keys pressed since the
last one, with ``WINDOW_CLOSED`` among them when the person closed the window. The process then ends, as it does at the
end of its input.
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
"""The header's fields: width, height, 1 to mirror the picture, and the length of the text in bytes."""

WINDOW_CLOSED = -1
"""The key code that says that the person closed the window."""

_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)


def serve_requests(title: str, requests: BinaryIO, replies: BinaryIO) -> None:
    """Answer requests until the input ends or the window is closed."""
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
    """Let the window system handle its events, and return the codes of the keys that were pressed."""
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
        for colour, width in ((_BLACK, 4), (_WHITE, 1)):  # a black outline keeps white text readable
            thickness = max(1, round(width * scale))
            cv2.putText(picture, line, (left, row), cv2.FONT_HERSHEY_SIMPLEX, scale, colour, thickness, cv2.LINE_AA)
    return picture


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C; when it ends, so does the input
    os.environ.setdefault("QT_LOGGING_RULES", "*.warning=false")  # Qt warns of missing fonts that are not used
    serve_requests(sys.argv[1], sys.stdin.buffer, sys.stdout.buffer)
