"""Absolute motion of a wide picture, told relative to the square of head and shoulders, as avatars' photos are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from livehead.motion.keypoints import Array, Keypoints, to_pixels, to_square
from livehead.perception.portrait import propose_crop

_ASSUMED_SIDE = 1024  # pixels of the square in which motion of unknown pictures is taken to have been seen


@dataclass(frozen=True, slots=True, eq=False)
class HeadFraming:
    """The square about head and shoulders: its ``corner`` float32 [2] and how many times the frame's square it is less.

    Both are in the coordinates of the frame's square.
    """

    corner: Array
    zoom: np.float32

    @classmethod
    def around(cls, neutral: Keypoints, frame_size: tuple[int, int] | None) -> HeadFraming | None:
        """The square about the face ``neutral`` in a frame of ``frame_size``; None where the frame is such a square.

        ``frame_size`` None: nobody knows any more in what frame the face was seen.
        """
        width, height = frame_size or (_ASSUMED_SIDE, _ASSUMED_SIDE)
        if frame_size is not None and width == height:
            return None
        points = neutral.points3d()[0]
        points[:, :2] = to_pixels(points[:, :2], width, height)
        points[:, 2] *= max(width, height) / 2
        crop = propose_crop(points, width, height)
        corner = to_square(np.array([crop.left, crop.top], np.float32) - 0.5, width, height)
        return cls(corner, np.float32(max(width, height) / crop.side))

    def apply(self, motion: Keypoints) -> Keypoints:
        """Return ``motion`` in the coordinates of the square."""
        return replace(
            motion,
            value=(motion.value - self.corner) * self.zoom - 1,
            depth=None if motion.depth is None else motion.depth * self.zoom,
            torso=None if motion.torso is None else (motion.torso - self.corner) * self.zoom - 1,
        )


class HeadFramings:
    """The framing of each person, or shot, by its number; it is known before the first motion that it applies to."""

    def __init__(self) -> None:
        self._framings: dict[int, HeadFraming] = {}

    def add_neutral(self, neutral: Keypoints | None, frame_size: tuple[int, int] | None) -> None:
        """Frame a person about the face ``neutral``."""
        framing = None if neutral is None else HeadFraming.around(neutral, frame_size)
        if neutral is not None and framing is not None:
            self._framings[neutral.performer] = framing

    def frame_motions(self, motions: Iterator[Keypoints]) -> Iterator[Keypoints]:
        """Iterate over ``motions``, each in the square of its person."""
        for motion in motions:
            framing = self._framings.get(motion.performer)
            yield motion if framing is None else framing.apply(motion)
