"""Faces in a still photo: where they are, and the mesh of one of them. MediaPipe's bundled networks behind our types.

Slower and more thorough than the live tracker: several scales of detection, and the mesh is fitted repeatedly to a
close-up of the chosen face until it rests.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from livehead.frames import Image
from livehead.motion.keypoints import Array, to_pixels
from livehead.perception.face_mesh import FaceMeshTracker
from livehead.perception.mediapipe_runtime import MediaPipeGraph, import_solutions

_FIT_ITERATIONS = 4  # the mesh moves by less than a tenth of a pixel after the third fit
_CLOSE_UP_RATIO = 2.2  # side of the close-up over the side of the detector's box, which spans brows to chin
_SECOND_LOOK_RATIO = 4.0  # the same of the window in which a doubtful face is detected again
_MIN_TILE_SIDE = 400  # pixels; in a part of this size a face of 40 pixels, the smallest of use, is found
_MAX_LANDMARK_ERROR = 0.15  # in sizes of the face; frontal and half-turned faces stay below 0.05
_EYES_AND_MOUTH = ((33, 133), (362, 263), (13, 14))
"""Mesh points whose means are the detector's own right eye, left eye and mouth centre."""


@dataclass(frozen=True, slots=True, eq=False)
class DetectedFace:
    """One detected face: ``box`` (left, top, width, height) and ``landmarks`` [6, 2] in pixels, ``score`` in [0, 1].

    Landmarks: right eye, left eye, nose tip, mouth centre, right ear, left ear.
    """

    box: tuple[float, float, float, float]
    landmarks: Array
    score: float

    @property
    def size(self) -> float:
        """Side of the box in pixels."""
        return max(self.box[2], self.box[3])


@dataclass(frozen=True, slots=True, eq=False)
class FittedMesh:
    """A mesh, ``points`` float32 [478, 3] in pixels of the photo (centres at integers; depth in pixels as well).

    ``confidence`` is the detector's score, less twice the disagreement of both networks: 0.73 to 0.96 for 145 faces
    that stand upright, at most 0.62 for what is read into the same photos upside down.
    """

    points: Array
    confidence: float


class FaceFinder:
    """Finds faces in pictures, each of which stands alone. One instance belongs to one thread; use it in a ``with``.

    A picture is looked at as a whole, or in tiles, in which faces are larger.
    """

    def __init__(self) -> None:
        detection = import_solutions().face_detection.FaceDetection
        # Trust in a mesh is measured by the short-range network's scores; its far faces are found in tiles.
        self._detector = MediaPipeGraph(detection, "detections", model_selection=0, min_detection_confidence=0.5)

    def __enter__(self) -> FaceFinder:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the detector."""
        self._detector.close()

    def find_in(self, image: Image) -> list[DetectedFace]:
        """The faces of an upright picture, uint8 [H, W, 3] RGB, looked at as a whole, the largest first."""
        return self.find_in_tiles(image, max(image.shape[:2]))

    def find_in_tiles(self, image: Image, side: int) -> list[DetectedFace]:
        """The faces of an upright picture, looked at in half overlapping squares of ``side`` pixels, the largest first.

        A face that spans a twentieth of a square's side is found. It takes about 8 ms a square on one core.
        """
        height, width = image.shape[:2]
        found: list[DetectedFace] = []
        for left, top in _iter_tiles(width, height, side):
            tile = np.ascontiguousarray(image[top : top + side, left : left + side])
            found.extend(_to_faces(self._detector.run(tile) or (), left, top, *tile.shape[1::-1]))
        return _merge_duplicates(found)

    def find_close_up(self, image: Image, face: DetectedFace) -> DetectedFace | None:
        """The same face detected again in a close-up, where its score and place are surer; None if it is none there."""
        left, top, side = _close_up_window(face, image.shape[1], image.shape[0], _SECOND_LOOK_RATIO)
        window = np.ascontiguousarray(image[top : top + side, left : left + side])
        near = [_move_face(found, left, top) for found in self.find_in(window)]
        return max((each for each in near if overlap(each, face) > 0.3), key=_face_score, default=None)


def _face_score(face: DetectedFace) -> float:
    return face.score


def _move_face(face: DetectedFace, left: float, top: float) -> DetectedFace:
    """A face of a part of a picture in the picture's own pixels."""
    x, y, width, height = face.box
    return DetectedFace(
        (x + left, y + top, width, height), face.landmarks + np.array([left, top], np.float32), face.score
    )


def find_faces(photo: Image) -> list[DetectedFace]:
    """All faces of an upright RGB photo, the largest first.

    Where there is none in the photo as a whole, small ones are searched for in ever smaller parts of it.
    """
    height, width = photo.shape[:2]
    with FaceFinder() as finder:
        for side in search_tile_sides(width, height):
            found = finder.find_in_tiles(photo, side)
            if found:
                return found
    return []


def search_tile_sides(width: int, height: int) -> list[int]:
    """Sides of the tiles to search a photo in, one after the other: the largest first.

    In a panorama there are also squares as high as it is.
    """
    longer, shorter = max(width, height), min(width, height)
    sides = [-(-longer // parts) for parts in (1, 2, 4) if parts == 1 or 2 * longer / parts >= _MIN_TILE_SIDE]
    if longer > 2 * shorter and shorter >= _MIN_TILE_SIDE // 2:
        sides.append(shorter)
    return sorted(set(sides), reverse=True)


def _iter_tiles(width: int, height: int, side: int) -> Iterator[tuple[int, int]]:
    """Left and top of squares of ``side`` pixels, half overlapping, that cover a picture."""
    step = max(side // 2, 1)
    for top in range(0, max(height - step, 1), step):
        for left in range(0, max(width - step, 1), step):
            yield left, top


def _merge_duplicates(found: list[DetectedFace]) -> list[DetectedFace]:
    """Each face once, the largest first."""
    distinct: list[DetectedFace] = []
    for face in sorted(found, key=lambda face: face.score, reverse=True):
        if all(overlap(face, other) < 0.3 for other in distinct):
            distinct.append(face)
    return sorted(distinct, key=lambda face: face.size, reverse=True)


def fit_mesh(photo: Image, face: DetectedFace) -> FittedMesh | None:
    """The mesh of ``face``. None when the network sees no face there, or one that contradicts the detector."""
    left, top, side = _close_up_window(face, photo.shape[1], photo.shape[0])
    window = np.ascontiguousarray(photo[top : top + side, left : left + side])
    height, width = window.shape[:2]
    with FaceMeshTracker() as mesh:  # follows: each fit starts from the outline of the last one
        for _ in range(_FIT_ITERATIONS):
            found = mesh.detect(window)
            if not found:
                return None
    points = np.empty((found[0].value.shape[1], 3), np.float32)
    points[:, :2] = to_pixels(found[0].value[0], width, height) + np.array([left, top], np.float32)
    points[:, 2] = found[0].points3d()[0, :, 2] * (max(width, height) / 2)
    gap = _landmark_error(points, face)
    return FittedMesh(points, face.score - 2 * gap) if gap < _MAX_LANDMARK_ERROR else None


def _to_faces(detections: Iterable[Any], left: int, top: int, width: int, height: int) -> Iterator[DetectedFace]:
    """MediaPipe's detections in a tile of ``width`` x ``height`` at ``left``, ``top``, in pixels of the photo."""
    for detection in detections:
        data = detection.location_data
        box = data.relative_bounding_box
        marks = [[left + mark.x * width, top + mark.y * height] for mark in data.relative_keypoints]
        yield DetectedFace(
            box=(left + box.xmin * width, top + box.ymin * height, box.width * width, box.height * height),
            landmarks=np.array(marks, np.float32),
            score=float(detection.score[0]),
        )


def overlap(one: DetectedFace, other: DetectedFace) -> float:
    """Intersection of two faces' boxes over the smaller of them."""
    a, b = one.box, other.box
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / min(a[2] * a[3], b[2] * b[3])


def _close_up_window(
    face: DetectedFace, width: int, height: int, ratio: float = _CLOSE_UP_RATIO
) -> tuple[int, int, int]:
    """Left, top and side of the window about a face, moved (and cut) to lie inside the photo."""
    x, y, w, h = face.box
    side = max(int(round(ratio * face.size)), 32)
    left = int(round(x + w / 2 - side / 2))
    top = int(round(y + h / 2 - side / 2))
    return max(0, min(left, width - side)), max(0, min(top, height - side)), side


def _landmark_error(points: Array, face: DetectedFace) -> float:
    """How far the mesh's eyes and mouth lie from where the detector, another network, has them, in face sizes."""
    mesh = np.stack([points[list(pair), :2].mean(axis=0) for pair in _EYES_AND_MOUTH])
    return float(np.linalg.norm(mesh - face.landmarks[[0, 1, 3]], axis=1).mean()) / face.size
