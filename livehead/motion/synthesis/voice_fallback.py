"""The motion of an avatar whose performer is not to be seen but may be heard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from livehead.motion.keypoints import Keypoints
from livehead.motion.retarget.transfer import MotionTransfer
from livehead.motion.synthesis.rigid_idle import SynthesizedMotion


class VoiceFallback:
    """A stand-in for idle motion in ``IdleBlend``: the motion that a voice makes, ``idle`` where there is none."""

    def __init__(
        self, latest_motion: Callable[[], Keypoints | None], transfer: MotionTransfer, idle: SynthesizedMotion
    ) -> None:
        """Take ``latest_motion``, which gives the voice's motion, and ``transfer``, which brings it to the avatar."""
        self._latest_motion = latest_motion
        self._transfer = transfer
        self._idle = idle

    def motion_at(self, now_ns: int) -> Keypoints:
        """Return the avatar's motion at ``now_ns``."""
        motion = self._latest_motion()
        if motion is None:
            return self._idle.motion_at(now_ns)
        return replace(self._transfer.apply(motion), captured_ns=now_ns)
