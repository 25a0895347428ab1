"""The idle motion of learned points that nobody drives: they have no lids to blink with, so the picture sways."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Protocol

import numpy as np

from livehead.motion.keypoints import MESH478, Keypoints
from livehead.motion.synthesis.idle import IdleControls, IdleMotion


class SynthesizedMotion(Protocol):
    """The interface of motion that is made up: a function of time alone, as far as its caller sees."""

    def motion_at(self, now_ns: int) -> Keypoints:
        """Return the avatar's motion at ``now_ns`` of any clock that starts at or after 0."""
        ...


class RigidIdleMotion:
    """Idle motion of any set of points: the turns and shifts of ``IdleControls`` in the picture, about their middle."""

    def __init__(self, source: Keypoints, seed: int = 0) -> None:
        self._source = source
        self._controls = IdleControls(seed)
        self._centre = source.value.mean(axis=1, keepdims=True)

    def motion_at(self, now_ns: int) -> Keypoints:
        """Return the avatar's motion at ``now_ns``; Jacobians turn along."""
        pose = self._controls.controls_at(now_ns * 1e-9)
        c, s = math.cos(math.radians(pose.roll)), math.sin(math.radians(pose.roll))
        turn = np.array([[c, -s], [s, c]], np.float32)
        shift = self._centre + np.array([pose.right, pose.down], np.float32)
        value = (self._source.value - self._centre) @ turn.T + shift
        jacobian = self._source.jacobian
        return replace(
            self._source,
            value=value.astype(np.float32),
            jacobian=None if jacobian is None else turn @ jacobian,
            captured_ns=now_ns,
        )


def make_idle_motion(source: Keypoints) -> SynthesizedMotion:
    """Make the idle motion that suits the source's set: a face that blinks and glances, or points that sway."""
    return IdleMotion(source) if source.set == MESH478 else RigidIdleMotion(source)
