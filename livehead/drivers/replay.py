"""Recorded motion drives the avatar."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from livehead.interfaces import BaseDriver, DriverInputs
from livehead.motion.keypoints import Array, Keypoints
from livehead.motion.retarget.calibration import find_best_neutral


class ReplayDriver(BaseDriver):
    """Plays recorded motion at its own pace, forwards and backwards in turn, so that it never jumps or ends.

    With ``once`` it is played forwards a single time; then nobody is seen any more, and the avatar idles.
    """

    def __init__(self, motion: Sequence[Keypoints], *, once: bool = False) -> None:
        """Play ``motion``, not empty and in the order of time, as ``protocol.motion_file.load_motion`` gives it."""
        self.motion = motion
        self._once = once
        self._times_ns = [each.captured_ns for each in motion]
        self._start_ns: int | None = None

    @property
    def motion_set(self) -> str:
        """The set of points that was recorded."""
        return self.motion[0].set

    @property
    def neutral_motion(self) -> Keypoints | None:
        """The most neutral moment of the recording."""
        return find_best_neutral(self.motion)

    def estimate(self, inputs: DriverInputs) -> Keypoints:
        """Return the recorded motion at ``inputs.now_ns``; the first call is its beginning."""
        if self._start_ns is None:
            self._start_ns = inputs.now_ns
        captured_ns = inputs.now_ns if inputs.frame is None else inputs.frame.captured_ns
        since_ns = inputs.now_ns - self._start_ns
        if self._once and since_ns > self._times_ns[-1] - self._times_ns[0]:
            return replace(self.motion[-1], confidence=np.zeros(1, np.float32), captured_ns=captured_ns)
        return replace(self._interpolate_at(since_ns), captured_ns=captured_ns)

    def _interpolate_at(self, since_ns: int) -> Keypoints:
        length = self._times_ns[-1] - self._times_ns[0]
        there = since_ns % (2 * length) if length else 0
        there = self._times_ns[0] + min(there, 2 * length - there)
        after = bisect_right(self._times_ns, there)
        if after == len(self._times_ns):
            return self.motion[-1]
        start, end = self.motion[after - 1], self.motion[after]
        if not (start.seen and end.seen) or start.performer != end.performer:
            return start
        share = (there - start.captured_ns) / (end.captured_ns - start.captured_ns)
        return replace(
            start,
            value=start.value + (end.value - start.value) * share,
            depth=_lerp_optional(start.depth, end.depth, share),
            jacobian=_lerp_optional(start.jacobian, end.jacobian, share),
            torso=_lerp_optional(start.torso, end.torso, share),
        )


def _lerp_optional(start: Array | None, end: Array | None, share: float) -> Array | None:
    return start if start is None or end is None else start + (end - start) * share
