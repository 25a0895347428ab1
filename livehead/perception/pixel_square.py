"""A square of whole pixels in a picture: what of it is cut out, and where it is put back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from livehead.frames import Image

_Pixel = TypeVar("_Pixel", bound=np.generic)


@dataclass(frozen=True, slots=True)
class PixelSquare:
    """A square of ``side`` pixels whose first pixel is (``left``, ``top``); it may reach out of the picture."""

    left: int
    top: int
    side: int

    def extract(self, image: npt.NDArray[_Pixel]) -> npt.NDArray[_Pixel]:
        """The square's content [side, side, ...] of ``image`` [H, W, ...], 0 where it lies outside."""
        content = np.zeros((self.side, self.side, *image.shape[2:]), image.dtype)
        (inner_rows, rows), (inner_columns, columns) = self._overlap(*image.shape[:2])
        content[inner_rows, inner_columns] = image[rows, columns]
        return content

    def extract_repeating_edge(self, image: npt.NDArray[_Pixel]) -> npt.NDArray[_Pixel]:
        """The square's content [side, side, ...] of ``image`` [H, W, ...], the nearest pixels where it lies outside."""
        height, width = image.shape[:2]
        rows = np.clip(np.arange(self.top, self.top + self.side), 0, height - 1)
        columns = np.clip(np.arange(self.left, self.left + self.side), 0, width - 1)
        inside = np.ascontiguousarray(image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
        return inside if inside.shape[:2] == (self.side,) * 2 else np.ascontiguousarray(image[rows][:, columns])

    def paste(self, content: Image, width: int, height: int) -> Image:
        """The inverse of ``extract``, for ``content`` uint8 [n, n, C] of any size: [height, width, C], 0 around it."""
        canvas = np.zeros((height, width, content.shape[2]), np.uint8)
        (inner_rows, rows), (inner_columns, columns) = self._overlap(height, width)
        resized = cv2.resize(content, (self.side, self.side), interpolation=cv2.INTER_AREA)
        canvas[rows, columns] = resized.reshape(self.side, self.side, -1)[inner_rows, inner_columns]
        return canvas

    def _overlap(self, height: int, width: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """The rows, then the columns, that square and picture share: each counted in the square and in the picture."""
        return _shared_range(self.top, self.side, height), _shared_range(self.left, self.side, width)


def _shared_range(start: int, count: int, length: int) -> tuple[slice, slice]:
    """Return where ``count`` pixels from ``start`` on lie within ``length``: counted from ``start``, and from 0."""
    first = max(start, 0)
    end = max(min(start + count, length), first)
    return slice(first - start, end - start), slice(first, end)
