"""The blend for a performer who leaves the picture: the avatar eases into idle motion, and back, without a jump."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from livehead.motion.easing import smoothstep
from livehead.motion.keypoints import MESH478, Array, Keypoints
from livehead.motion.synthesis.hidden_features import HiddenFeatures, is_partly_hidden
from livehead.motion.synthesis.rigid_idle import SynthesizedMotion

_LOST_FACE_DELAY_S = 0.12  # a face missed for so long is most likely still there
_EASE_S = 0.35  # patience and ease together: idle within half a second


class IdleBlend:
    """The blend that follows live motion while the performer is seen and idle motion while he is not.

    At a switch the distance between where the avatar is and where it should be is kept, and then faded out; so the
    avatar's path has no jump even if the performer comes and goes in the middle of a fade.
    """

    def __init__(self, idle: SynthesizedMotion, source: Keypoints | None = None) -> None:
        """Take the avatar's own motion ``source`` where ``idle`` is to stand in for hidden lips and eyes as well."""
        self._idle = idle
        has_face = source is not None and source.set == MESH478 and source.depth is not None
        self._hidden_features = HiddenFeatures(source) if has_face and source is not None else None
        self._live: Keypoints | None = None
        self._last_output: Keypoints | None = None
        self._is_idle = True
        self._last_seen_ns = -(10**18)
        self._switched_ns = -(10**18)
        self._offset: Array = np.zeros((1, 1, 3), np.float32)
        self._jacobian_offset: Array | None = None
        self._torso_offset: Array | None = None

    @property
    def is_idle(self) -> bool:
        """True while the avatar is left to itself."""
        return self._is_idle

    def apply(self, motion: Keypoints, now_ns: int) -> Keypoints:
        """Return the motion to show at ``now_ns`` (the clock of ``captured_ns``); ``motion`` counts only while seen."""
        if motion.seen:
            self._live, self._last_seen_ns = self._complete_face(motion, now_ns), now_ns
        away = self._live is None or (now_ns - self._last_seen_ns) * 1e-9 > _LOST_FACE_DELAY_S
        target = self._idle.motion_at(now_ns) if away or self._live is None else self._live
        points = target.points3d()
        if away != self._is_idle:
            self._is_idle, self._switched_ns = away, now_ns
            self._offset = np.zeros_like(points) if self._last_output is None else self._last_output.points3d() - points
            self._jacobian_offset = (
                None if self._last_output is None else _offset_between(self._last_output.jacobian, target.jacobian)
            )
            self._torso_offset = (
                None if self._last_output is None else _offset_between(self._last_output.torso, target.torso)
            )
        left = np.float32(1 - smoothstep((now_ns - self._switched_ns) * 1e-9 / _EASE_S))
        points = points + left * self._offset
        jacobian = target.jacobian
        self._last_output = replace(
            motion,
            value=np.ascontiguousarray(points[..., :2]),
            depth=None if target.depth is None else np.ascontiguousarray(points[..., 2]),
            jacobian=jacobian
            if jacobian is None or self._jacobian_offset is None
            else jacobian + left * self._jacobian_offset,
            torso=self._blend_torso(target, left),
        )
        return self._last_output

    def _complete_face(self, motion: Keypoints, now_ns: int) -> Keypoints:
        """Return ``motion`` with idle lips and eyes in the place of hidden ones."""
        if self._hidden_features is None or not is_partly_hidden(motion):
            return motion
        return self._hidden_features.replace_hidden(motion, self._idle.motion_at(now_ns))

    def _blend_torso(self, target: Keypoints, left: np.float32) -> Array | None:
        """Return the torso to show: idle motion tells of one only where the performer's own is known.

        Otherwise the picture would change with every switch."""
        if target.torso is None or (self._live is not None and self._live.torso is None):
            return None
        return target.torso if self._torso_offset is None else target.torso + left * self._torso_offset


def _offset_between(shown: Array | None, target: Array | None) -> Array | None:
    """Return the difference from ``target`` to what is shown; None unless both are known."""
    return None if shown is None or target is None else shown - target
