"""The search for faces of any size in live pictures: near ones at once, far ones in a part of the picture a frame.

MediaPipe's short-range network sees faces from a fifth of the picture's height on. While it sees none, one more look is
taken every few frames: about where a face was last, and else at the whole picture and at tiles of it in turn, with the
full-range network. A look takes 1 to 3 ms, so the search costs less than 2 ms a frame on average.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, cycle

import numpy as np

from livehead.frames import Image
from livehead.motion.keypoints import Array
from livehead.perception.mediapipe_runtime import MediaPipeGraph, import_solutions, run_in_calling_thread
from livehead.perception.pixel_square import PixelSquare

_MAX_INPUT_SIDE = 2048  # pixels of a whole picture that a network is given; thinning out a smaller one takes longer
_LAST_PLACE_RATIO = 4.0  # side of the look about the last face, in sides of that face
_TILE_SHARE = 0.5  # side of a tile, in shorter sides of the picture: a face of 5 % is found in it
_TILE_STEP = 0.75  # from tile to tile, in their sides: a face of a quarter tile lies whole in one of them
_MIN_TILE_SIDE = 160  # pixels; in a smaller one there is no face that could be read
_REPEAT_EVERY = 3  # frames from one look with the full-range network to the next


@dataclass(frozen=True, slots=True, eq=False)
class FaceBox:
    """A face in pixels of the picture: left, top, right, bottom; and the middles of its eyes and mouth [3, 2]."""

    left: float
    top: float
    right: float
    bottom: float
    landmarks: Array

    @property
    def side(self) -> float:
        """Side of a square of the same area."""
        return float(np.sqrt(max(self.right - self.left, 0.0) * max(self.bottom - self.top, 0.0)))

    @property
    def center(self) -> Array:
        """The middle [2]."""
        return np.array([(self.left + self.right) / 2, (self.top + self.bottom) / 2], np.float32)

    def overlap(self, other: FaceBox) -> float:
        """Return the common area over the smaller of the two."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(width, 0.0) * max(height, 0.0) / max(min(self.side, other.side) ** 2, 1e-6)


class FaceSearch:
    """Finds the boxes of faces. It holds MediaPipe's two detectors, is for one thread, and has to be closed."""

    def __init__(self, confidence: float) -> None:
        self._confidence = confidence
        self._near = self._open_detector(0)
        self._far: MediaPipeGraph | None = None  # opened when it is first needed
        self._places: Iterator[PixelSquare | None] | None = None
        self._shape: tuple[int, ...] = ()
        self._frames = -1  # so that the first frame is looked at

    def _open_detector(self, selection: int) -> MediaPipeGraph:
        return MediaPipeGraph(
            run_in_calling_thread(import_solutions().face_detection.FaceDetection),
            "detections",
            model_selection=selection,
            min_detection_confidence=self._confidence,
        )

    def close(self) -> None:
        """Free both detectors."""
        self._near.close()
        if self._far is not None:
            self._far.close()

    def find_near(self, image: Image) -> list[FaceBox]:
        """Return the boxes of near faces, the largest first (about 1 ms)."""
        return _find_boxes(self._near, image, None)

    def find(self, image: Image, last: FaceBox | None = None) -> list[FaceBox]:
        """Return the boxes of near faces, and where there are none those of one more look, the largest first.

        ``last`` is where a face was a moment ago.
        """
        return self.find_near(image) or self.look_further(image, last)

    def look_further(self, image: Image, last: FaceBox | None = None) -> list[FaceBox]:
        """Take the next of the looks for far faces; most are about ``last``, where there is one."""
        height, width = image.shape[:2]
        if image.shape != self._shape:
            self._shape, self._places = image.shape, cycle(list(_iter_places(width, height)))
        self._frames += 1
        if last is not None and self._frames % _REPEAT_EVERY:
            return _find_boxes(self._near, image, square_about(last, _LAST_PLACE_RATIO, width, height))
        if self._places is None or self._frames % _REPEAT_EVERY:
            return []
        if self._far is None:
            self._far = self._open_detector(1)
        return _find_boxes(self._far, image, next(self._places))


def square_about(box: FaceBox, ratio: float, width: int, height: int) -> PixelSquare:
    """Return the square of ``ratio`` sides of ``box`` about it, moved and cut to lie inside the picture."""
    side = int(min(max(round(ratio * box.side), _MIN_TILE_SIDE), width, height))
    left, top = (round(float(middle) - side / 2) for middle in box.center)
    return PixelSquare(max(0, min(left, width - side)), max(0, min(top, height - side)), side)


def _iter_places(width: int, height: int) -> Iterator[PixelSquare | None]:
    """Iterate over where far faces are looked for: the whole picture (None), then tiles of it."""
    return chain((None,), _iter_tiles(width, height, round(_TILE_SHARE * min(width, height))))


def _iter_tiles(width: int, height: int, side: int) -> Iterator[PixelSquare]:
    if side < _MIN_TILE_SIDE or width == height == side:
        return
    rows, columns = (-(-(extent - side) // max(round(_TILE_STEP * side), 1)) + 1 for extent in (height, width))
    for row in range(rows):
        for column in range(columns):
            left = 0 if columns == 1 else round(column * (width - side) / (columns - 1))
            top = 0 if rows == 1 else round(row * (height - side) / (rows - 1))
            yield PixelSquare(left, top, side)


def _find_boxes(detector: MediaPipeGraph, image: Image, part: PixelSquare | None) -> list[FaceBox]:
    """Return the boxes that ``detector`` finds in ``part`` of ``image`` (None: all of it), the largest first."""
    seen = image
    left = top = 0
    if part is not None:
        left, top = part.left, part.top
        seen = image[top : top + part.side, left : left + part.side]
    height, width = seen.shape[:2]
    step = -(-max(height, width) // _MAX_INPUT_SIDE)
    boxes = []
    for detection in detector.run(seen[::step, ::step]) or ():
        data = detection.location_data
        box, marks = data.relative_bounding_box, data.relative_keypoints
        places = np.array([(left + marks[i].x * width, top + marks[i].y * height) for i in (0, 1, 3)], np.float32)
        x, y = left + box.xmin * width, top + box.ymin * height
        boxes.append(FaceBox(x, y, x + box.width * width, y + box.height * height, places))
    return sorted(boxes, key=lambda each: each.side, reverse=True)
