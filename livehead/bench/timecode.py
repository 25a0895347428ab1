"""A number in a picture, which survives scaling and a video codec: what ties an avatar's frame to its driving frame.

A strip along the top, one sixteenth of the height, holds 15 black or white cells of equal width: white, black, twelve
bits of the number (highest first) and one that makes the count of white bits even.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType, TracebackType

import numpy as np

from livehead.frames import Frame, Image, VideoFrame
from livehead.interfaces import Capture, Sink

BITS = 12
NUMBER_COUNT = 1 << BITS
CELLS = BITS + 3
STRIP_DIVISOR = 16
"""The height of a picture over that of its strip."""

_ATTACHMENT_KEY = "time_code"
_WHITE, _BLACK = 235, 16


def paint_time_code(image: Image, number: int) -> Image:
    """A copy of ``image`` (uint8 [H, W, 3] RGB) that carries ``number`` modulo ``NUMBER_COUNT``."""
    bits = [(number >> shift) & 1 for shift in range(BITS - 1, -1, -1)]
    cells = np.array([1, 0, *bits, sum(bits) % 2])
    height, width = image.shape[:2]
    coded = image.copy()
    shades = np.where(cells[np.arange(width) * CELLS // width] == 1, _WHITE, _BLACK).astype(np.uint8)
    coded[: height // STRIP_DIVISOR] = shades[:, None]
    return coded


def read_time_code(image: Image) -> int | None:
    """The number in a picture (uint8 [H, W, 3] RGB), None where there is none."""
    height, width = image.shape[:2]
    if height < 2 * STRIP_DIVISOR or width < CELLS:
        return None
    centres = (np.arange(CELLS) * 2 + 1) * width // (2 * CELLS)
    cells = image[height // (2 * STRIP_DIVISOR), centres].mean(axis=-1) > (_WHITE + _BLACK) / 2
    bits = cells[2 : 2 + BITS]
    if not cells[0] or cells[1] or (bits.sum() % 2 == 1) != bool(cells[-1]):
        return None
    return int(bits @ (1 << np.arange(BITS - 1, -1, -1)))


class TimeCodeCapture:
    """A capture around another one; it attaches to each picture the time code that the picture shows."""

    def __init__(self, capture: Capture) -> None:
        self._capture = capture

    async def __aenter__(self) -> TimeCodeCapture:
        await self._capture.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._capture.__aexit__(kind, error, trace)

    async def recv(self) -> Frame:
        """The next frame of the inner capture. Raises: EndOfStream, CaptureError."""
        frame = await self._capture.recv()
        if isinstance(frame, VideoFrame) and (number := read_time_code(frame.image)) is not None:
            return replace(frame, attached=MappingProxyType({_ATTACHMENT_KEY: number}))
        return frame


class TimeCodeSink:
    """A sink before another one; it paints into each picture the time code of its driving frame."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    async def __aenter__(self) -> TimeCodeSink:
        await self._sink.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._sink.__aexit__(kind, error, trace)

    async def send(self, frame: Frame) -> None:
        """Pass one frame on to the inner sink. Raises: SinkError."""
        if isinstance(frame, VideoFrame):
            number = frame.attached.get(_ATTACHMENT_KEY)
            if isinstance(number, int):
                frame = frame.with_image(paint_time_code(frame.image, number))
        await self._sink.send(frame)
