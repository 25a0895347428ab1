"""What learned points do when nobody drives them: they have no lids to blink with, so the whole picture sways."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Protocol

import numpy as np

from livehead.motion.keypoints import MESH478, Keypoints
from livehead.motion.synthesis.idle import IdleMotion, IdlePose


class Idle(Protocol):
    """Motion as a function of time."""

    def at(self, now_ns: int) -> Keypoints:
        """The avatar at ``now_ns`` of any clock that starts at or after 0."""
        ...


class Sway:
    """The turns and shifts of ``IdlePose`` in the picture's plane, of any set of points, about their middle."""

    def __init__(self, source: Keypoints, seed: int = 0) -> None:
        self._source = source
        self._pose = IdlePose(seed)
        self._middle = source.value.mean(axis=1, keepdims=True)

    def at(self, now_ns: int) -> Keypoints:
        """The avatar at ``now_ns``; Jacobians turn along."""
        pose = self._pose.at(now_ns * 1e-9)
        c, s = math.cos(math.radians(pose.roll)), math.sin(math.radians(pose.roll))
        turn = np.array([[c, -s], [s, c]], np.float32)
        shift = self._middle + np.array([pose.right, pose.down], np.float32)
        value = (self._source.value - self._middle) @ turn.T + shift
        jacobian = self._source.jacobian
        return replace(
            self._source,
            value=value.astype(np.float32),
            jacobian=None if jacobian is None else turn @ jacobian,
            captured_ns=now_ns,
        )


def idle_motion(source: Keypoints) -> Idle:
    """What suits the source's set: a face that blinks and glances, or points that sway."""
    return IdleMotion(source) if source.set == MESH478 else Sway(source)
