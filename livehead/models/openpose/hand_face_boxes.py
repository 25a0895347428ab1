"""Where the hands and the face of a person are, told by the body's points, and the points of one inside its square."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from livehead.frames import Image
from livehead.models.openpose.heatmaps import Array, enlarged
from livehead.models.openpose.skeletons import Skeleton

SIDE = 368
"""Pixels of the square that the networks of hands and faces look at."""

_HAND_SURE, _FACE_SURE = 0.03, 0.25  # least scores of the points that tell a square
_SMALLEST_FACE = 40.0  # pixels
_SMALLEST_AREA = 10.0  # square pixels of a hand's square


@dataclass(frozen=True, slots=True)
class Square:
    """In pixels of the picture: the upper left corner and the side; side 0 where there is none."""

    left: float
    top: float
    side: float

    @property
    def middle(self) -> Array:
        """[2]."""
        return np.array([self.left + self.side / 2, self.top + self.side / 2], np.float32)

    def about(self, side: float) -> Square:
        """A square of another side with the same middle."""
        return _about(self.middle, side)

    def overlap(self, other: Square) -> float:
        """Square pixels of both."""
        across = min(self.left + self.side, other.left + other.side) - max(self.left, other.left)
        down = min(self.top + self.side, other.top + other.side) - max(self.top, other.top)
        return max(across, 0.0) * max(down, 0.0)

    def cut(self, image: Image, *, mirrored: bool = False) -> Image:
        """uint8 [368, 368, 3] of ``image``, black beyond its border, mirrored left to right if asked for."""
        return np.asarray(
            cv2.warpAffine(
                image,
                self._to_image(mirrored=mirrored),
                (SIDE, SIDE),
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_CONSTANT,
            ),
            np.uint8,
        )

    def to_image(self, points: Array, *, mirrored: bool = False) -> Array:
        """Points [K, 3] found in ``cut``, in pixels of the image; the third number stays."""
        matrix = self._to_image(mirrored=mirrored)
        placed = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
        return np.concatenate([placed, points[:, 2:]], axis=1).astype(np.float32)

    def _to_image(self, *, mirrored: bool) -> npt.NDArray[np.float64]:
        scale = self.side / SIDE
        across, left = (-scale, self.left + self.side) if mirrored else (scale, self.left)
        return np.array([[across, 0, left], [0, scale, self.top]])


NOWHERE = Square(0, 0, 0)


def hand_squares(person: Array, skeleton: Skeleton) -> tuple[Square, Square]:
    """Of the left and the right hand of ``person`` [K, 3], ``NOWHERE`` where the arm is not known well enough."""
    left, right = (_hand(person, [skeleton.part(side + joint) for joint in _ARM]) for side in ("L", "R"))
    return left, right


_ARM = ("Wrist", "Elbow", "Shoulder")


def _hand(person: Array, arm: list[int]) -> Square:
    wrist, elbow, shoulder = person[arm, :2]
    if person[arm, 2].min() <= _HAND_SURE:
        return NOWHERE
    fore, upper = _distance(wrist, elbow), _distance(elbow, shoulder)
    square = _about(wrist + np.float32(0.33) * (wrist - elbow), 1.5 * max(fore, 0.9 * upper))
    return square if square.side**2 > _SMALLEST_AREA else NOWHERE


def followed(square: Square, before: Square) -> Square:
    """A hand's square with that of the frame before, if they overlap: half as large again, around both."""
    if square.side == 0 or square.overlap(before) == 0:
        return square
    return _about((square.middle + before.middle) / 2, (2 * square.side + before.side) / 2)


def face_square(person: Array, skeleton: Skeleton) -> Square:
    """Of the face of ``person`` [K, 3]: the mean of what neck and nose, the eyes and the ears tell."""
    sure = person[:, 2] > _FACE_SURE
    if "Head" in skeleton.parts:
        neck, head = (skeleton.part(name) for name in ("Neck", "Head"))
        size = 1.33 * _distance(person[neck], person[head])
        return _about(person[head, :2], size) if sure[[neck, head]].all() else NOWHERE
    part = {name: skeleton.part(name) for name in ("Neck", "Nose", "REye", "LEye", "REar", "LEar")}
    at = {name: person[index, :2] for name, index in part.items()}
    known = {name for name, index in part.items() if sure[index]}
    told = []
    if {"Neck", "Nose"} <= known:
        told.append(_profile(at, known) or (_mean(at, "Neck", "Nose"), 2 * _distance(at["Neck"], at["Nose"])))
    for pair, times in ((("REye", "LEye"), 3), (("REar", "LEar"), 2)):
        if set(pair) <= known:
            told.append((_mean(at, *pair), times * _distance(at[pair[0]], at[pair[1]])))
    if not told:
        return NOWHERE
    middles, sizes = zip(*told, strict=True)
    return _about(np.mean(middles, axis=0), float(np.mean(sizes)))


def large_enough(square: Square) -> bool:
    """Whether a face of that square can be told apart from others."""
    return square.side >= _SMALLEST_FACE


def _profile(at: dict[str, Array], known: set[str]) -> tuple[Array, float] | None:
    """Middle and size of a face of which eye and ear of one side only can be seen."""
    sides = [{f"{side}Eye", f"{side}Ear"} for side in ("R", "L")]
    seen = [side <= known for side in sides]
    if seen == [True, True] or not any(seen) or (sides[1 - seen.index(True)] & known):
        return None
    eye, ear = ("REye", "REar") if seen[0] else ("LEye", "LEar")
    spans = (("Nose", eye), ("Nose", ear), ("Neck", "Nose"))
    return _mean(at, "Nose", eye, ear), 0.85 * sum(_distance(at[a], at[b]) for a, b in spans)


def _mean(at: dict[str, Array], *names: str) -> Array:
    return np.asarray(np.mean([at[name] for name in names], axis=0), np.float32)


def _about(middle: Array, side: float) -> Square:
    return Square(float(middle[0] - side / 2), float(middle[1] - side / 2), float(side))


def _distance(a: Array, b: Array) -> float:
    return float(np.hypot(*(a[:2] - b[:2])))


def highest_points(cells: Array) -> Array:
    """[K, 3]: x, y in pixels of the square, and score, where each plane of ``cells`` [K, h, w] is highest."""
    maps = enlarged(cells, (SIDE, SIDE))
    best = maps.reshape(len(maps), -1).argmax(axis=1)
    y, x = np.divmod(best, SIDE)
    return np.stack([x, y, maps[np.arange(len(maps)), y, x]], axis=1).astype(np.float32)
