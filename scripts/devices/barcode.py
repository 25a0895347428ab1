"""A picture that carries its own number, so that whoever receives it can tell lost, repeated and disordered frames.

The top quarter holds 19 black or white cells of equal width: white, black, the number's 16 bits (highest first) and one
that makes the count of white bits even. The rest is a red, a green and a blue third, which tell swapped channels.
``camera_page.html`` reads the same picture in a browser.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
import numpy.typing as npt

_BITS = 16
_CELLS = _BITS + 3
_THIRD_COLOURS = ((220, 40, 40), (40, 180, 40), (40, 40, 220))


class SequenceStats(TypedDict):
    """How the numbers that arrived follow each other."""

    frames: int  # pictures received, readable or not
    unreadable: int
    repeated: int
    missed: int  # numbers that were jumped over
    disordered: int  # steps backwards
    colours_wrong: int


def draw_barcode(number: int, width: int, height: int) -> npt.NDArray[np.uint8]:
    """The picture of ``number`` (modulo 65536): uint8 [height, width, 3] RGB."""
    bits = [(number >> shift) & 1 for shift in range(_BITS - 1, -1, -1)]
    cells = np.array([1, 0, *bits, sum(bits) % 2])
    column = np.arange(width)
    image = np.empty((height, width, 3), dtype=np.uint8)
    image[:] = np.array(_THIRD_COLOURS, dtype=np.uint8)[column * 3 // width]
    image[: height // 4] = np.where(cells[column * _CELLS // width] == 1, 235, 16).astype(np.uint8)[:, None]
    return image


def read_barcode(image: npt.NDArray[np.uint8]) -> int | None:
    """The number in a picture [H, W, 3], RGB or BGR; None when there is none."""
    height, width = image.shape[:2]
    centres = (np.arange(_CELLS) * 2 + 1) * width // (2 * _CELLS)
    cells = image[height // 8, centres].mean(axis=-1) > 127
    bits = cells[2 : 2 + _BITS]
    if not cells[0] or cells[1] or (bits.sum() % 2 == 1) != bool(cells[-1]):
        return None
    return int(bits @ (1 << np.arange(_BITS - 1, -1, -1)))


def are_colours_correct(image: npt.NDArray[np.uint8]) -> bool:
    """Whether the thirds of an RGB picture are red, green and blue within what chroma subsampling and matrices cost."""
    height, width = image.shape[:2]
    seen = image[height * 5 // 8, [width // 6, width // 2, width * 5 // 6]].astype(int)
    return bool(np.abs(seen - np.array(_THIRD_COLOURS)).max() <= 40)


def summarize_sequence(numbers: Sequence[int | None], colours: Sequence[bool]) -> SequenceStats:
    """Compare neighbours in the order of arrival: ``numbers`` of ``read``, ``colours`` of ``colours_right``."""
    readable = [number for number in numbers if number is not None]
    steps = [
        ((after - before + 0x8000) & 0xFFFF) - 0x8000 for before, after in zip(readable, readable[1:], strict=False)
    ]
    return SequenceStats(
        frames=len(numbers),
        unreadable=len(numbers) - len(readable),
        repeated=sum(step == 0 for step in steps),
        missed=sum(step - 1 for step in steps if step > 1),
        disordered=sum(step < 0 for step in steps),
        colours_wrong=sum(not right for right in colours),
    )
