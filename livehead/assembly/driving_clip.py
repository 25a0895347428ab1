"""Pictures of the synthetic performer beside its motions, for networks that look at the performer themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from livehead.assembly.synthetic_performer import render_driving
from livehead.frames import Image
from livehead.motion.keypoints import Keypoints
from livehead.perception.portrait import Portrait
from livehead.perception.rgbd import DAGAN_SIDE


@dataclass(frozen=True, slots=True, eq=False)
class DrivingClip:
    """``pictures`` (uint8 [H, W, 3] RGB) of ``motions``; a motion's ``captured_ns`` is the number of its picture."""

    motions: Sequence[Keypoints]
    pictures: Sequence[Image]

    def picture_of(self, motion: Keypoints) -> Image:
        """The picture of a motion."""
        return self.pictures[motion.captured_ns]


def record_driving(portrait: Portrait, motions: Sequence[Keypoints]) -> DrivingClip:
    """The synthetic performer in ``motions`` (``mesh478``), square and as large as DaGAN's networks take it."""
    numbered = [replace(motion, captured_ns=number) for number, motion in enumerate(motions)]
    return DrivingClip(numbered, render_driving(portrait, (DAGAN_SIDE, DAGAN_SIDE), list(motions)))
