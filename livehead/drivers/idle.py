"""Nobody drives the avatar: it blinks, sways and glances about by itself."""

from __future__ import annotations

from dataclasses import replace

from livehead.interfaces import BaseDriver, DriverInputs
from livehead.motion.keypoints import Keypoints
from livehead.motion.synthesis.idle import IdleMotion


class IdleDriver(BaseDriver):
    """Idle motion of one avatar, made from the avatar's own points.

    It is transferred in the mode ``absolute``, or, to move other avatars too, relative to
    ``NeutralCalibration(source)``.
    """

    def __init__(self, source: Keypoints, seed: int = 0) -> None:
        """Start at rest from ``source``, the avatar's own motion: ``mesh478`` with depth."""
        self._source = source
        self._motion = IdleMotion(source, seed)
        self._start_ns: int | None = None

    @property
    def motion_set(self) -> str:
        """The set of points of the avatar's own motion."""
        return self._source.set

    @property
    def neutral_motion(self) -> Keypoints:
        """The avatar's own motion, from which idling starts."""
        return self._source

    def estimate(self, inputs: DriverInputs) -> Keypoints:
        """Return the avatar's motion at ``inputs.now_ns``; the first call is its time 0."""
        if self._start_ns is None:
            self._start_ns = inputs.now_ns
        captured_ns = inputs.now_ns if inputs.frame is None else inputs.frame.captured_ns
        return replace(self._motion.motion_at(inputs.now_ns - self._start_ns), captured_ns=captured_ns)
