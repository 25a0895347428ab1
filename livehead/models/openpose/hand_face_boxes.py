"""The squares around a person's hands and face, from the body's points, and the points found inside a square."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from livehead.frames import Image
from livehead.models.openpose.heatmaps import Array, resize_cubic
from livehead.models.openpose.skeletons import Skeleton

REGION_SIDE = 368
"""Side, in pixels, of the input of the networks for hands and faces."""

_MIN_HAND_SCORE, _MIN_FACE_SCORE = 0.03, 0.25  # least scores of the points that a square is derived from
_MIN_FACE_SIDE = 40.0  # pixels
_MIN_HAND_AREA = 10.0  # square pixels of a hand's square


@dataclass(frozen=True, slots=True)
class SquareRegion:
    """A square in pixels of the picture: its upper left corner and its side, which is 0 for no square."""

    left: float
    top: float
    side: float

    @property
    def center(self) -> Array:
        """The middle [2] of the square."""
        return np.array([self.left + self.side / 2, self.top + self.side / 2], np.float32)

    def with_side(self, side: float) -> SquareRegion:
        """The square with the same middle and another side."""
        return _region_around(self.center, side)

    def overlap_area(self, other: SquareRegion) -> float:
        """The area, in square pixels, that both squares cover."""
        across = min(self.left + self.side, other.left + other.side) - max(self.left, other.left)
        down = min(self.top + self.side, other.top + other.side) - max(self.top, other.top)
        return max(across, 0.0) * max(down, 0.0)

    def crop_image(self, image: Image, *, mirrored: bool = False) -> Image:
        """Crop the square out of ``image`` as uint8 [368, 368, 3], black beyond the image's border.

        ``mirrored``: left to right.
        """
        return np.asarray(
            cv2.warpAffine(
                image,
                self._crop_to_image_matrix(mirrored=mirrored),
                (REGION_SIDE, REGION_SIDE),
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_CONSTANT,
            ),
            np.uint8,
        )

    def map_to_image(self, points: Array, *, mirrored: bool = False) -> Array:
        """Map points [K, 3] found in ``crop_image``'s result to pixels of the image; the third number stays."""
        matrix = self._crop_to_image_matrix(mirrored=mirrored)
        placed = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
        return np.asarray(np.concatenate([placed, points[:, 2:]], axis=1), np.float32)

    def _crop_to_image_matrix(self, *, mirrored: bool) -> npt.NDArray[np.float64]:
        scale = self.side / REGION_SIDE
        across, left = (-scale, self.left + self.side) if mirrored else (scale, self.left)
        return np.array([[across, 0, left], [0, scale, self.top]])


EMPTY_REGION = SquareRegion(0, 0, 0)


def hand_regions(person: Array, skeleton: Skeleton) -> tuple[SquareRegion, SquareRegion]:
    """The squares around the left and right hand of ``person`` [K, 3].

    A square is ``EMPTY_REGION`` where the arm's points are too uncertain.
    """
    left, right = (_hand_region(person, [skeleton.part_index(side + joint) for joint in _ARM]) for side in ("L", "R"))
    return left, right


_ARM = ("Wrist", "Elbow", "Shoulder")


def _hand_region(person: Array, arm: list[int]) -> SquareRegion:
    wrist, elbow, shoulder = person[arm, :2]
    if person[arm, 2].min() <= _MIN_HAND_SCORE:
        return EMPTY_REGION
    fore, upper = _distance(wrist, elbow), _distance(elbow, shoulder)
    square = _region_around(wrist + np.float32(0.33) * (wrist - elbow), 1.5 * max(fore, 0.9 * upper))
    return square if square.side**2 > _MIN_HAND_AREA else EMPTY_REGION


def merge_with_previous(square: SquareRegion, before: SquareRegion) -> SquareRegion:
    """Merge a hand's square with that of the previous frame if they overlap; else return it as it is.

    The merged square lies around the middle of both and is half as large again as their weighted mean.
    """
    if square.side == 0 or square.overlap_area(before) == 0:
        return square
    return _region_around((square.center + before.center) / 2, (2 * square.side + before.side) / 2)


def face_region(person: Array, skeleton: Skeleton) -> SquareRegion:
    """The square around the face of ``person`` [K, 3]: the mean of estimates by neck and nose, eyes, and ears."""
    sure = person[:, 2] > _MIN_FACE_SCORE
    if "Head" in skeleton.parts:
        neck, head = (skeleton.part_index(name) for name in ("Neck", "Head"))
        size = 1.33 * _distance(person[neck], person[head])
        return _region_around(person[head, :2], size) if sure[[neck, head]].all() else EMPTY_REGION
    part = {name: skeleton.part_index(name) for name in ("Neck", "Nose", "REye", "LEye", "REar", "LEar")}
    at = {name: person[index, :2] for name, index in part.items()}
    known = {name for name, index in part.items() if sure[index]}
    estimates = []
    if {"Neck", "Nose"} <= known:
        estimates.append(
            _estimate_from_profile(at, known)
            or (_mean_point(at, "Neck", "Nose"), 2 * _distance(at["Neck"], at["Nose"]))
        )
    for pair, times in ((("REye", "LEye"), 3), (("REar", "LEar"), 2)):
        if set(pair) <= known:
            estimates.append((_mean_point(at, *pair), times * _distance(at[pair[0]], at[pair[1]])))
    if not estimates:
        return EMPTY_REGION
    middles, sizes = zip(*estimates, strict=True)
    return _region_around(np.mean(middles, axis=0), float(np.mean(sizes)))


def is_large_enough(square: SquareRegion) -> bool:
    """Tell whether the square is large enough for a face's points to be found."""
    return square.side >= _MIN_FACE_SIDE


def _estimate_from_profile(at: dict[str, Array], known: set[str]) -> tuple[Array, float] | None:
    """Middle and size of a face in profile, with eye and ear of one side only; None for any other."""
    sides = [{f"{side}Eye", f"{side}Ear"} for side in ("R", "L")]
    seen = [side <= known for side in sides]
    if seen == [True, True] or not any(seen) or (sides[1 - seen.index(True)] & known):
        return None
    eye, ear = ("REye", "REar") if seen[0] else ("LEye", "LEar")
    spans = (("Nose", eye), ("Nose", ear), ("Neck", "Nose"))
    return _mean_point(at, "Nose", eye, ear), 0.85 * sum(_distance(at[a], at[b]) for a, b in spans)


def _mean_point(at: dict[str, Array], *names: str) -> Array:
    return np.asarray(np.mean([at[name] for name in names], axis=0), np.float32)


def _region_around(middle: Array, side: float) -> SquareRegion:
    return SquareRegion(float(middle[0] - side / 2), float(middle[1] - side / 2), float(side))


def _distance(a: Array, b: Array) -> float:
    return float(np.hypot(*(a[:2] - b[:2])))


def find_highest_points(cells: Array) -> Array:
    """Return where each plane of ``cells`` [K, h, w] is highest: [K, 3] of x, y in pixels of the square, and score."""
    maps = resize_cubic(cells, (REGION_SIDE, REGION_SIDE))
    best = maps.reshape(len(maps), -1).argmax(axis=1)
    y, x = np.divmod(best, REGION_SIDE)
    return np.stack([x, y, maps[np.arange(len(maps)), y, x]], axis=1).astype(np.float32)
