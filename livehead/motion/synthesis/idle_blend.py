"""When the performer leaves the picture: the avatar eases into idle motion, and back, without a jump."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from livehead.motion.easing import smoothstep
from livehead.motion.keypoints import Array, Keypoints
from livehead.motion.synthesis.rigid_idle import Idle

_PATIENCE_S = 0.12  # a face missed for so long is most likely still there
_EASE_S = 0.35  # patience and ease together: idle within half a second


class Presence:
    """Follows live motion while the performer is seen and idle motion while he is not.

    At a switch the distance between where the avatar is and where it should be is kept, and then faded out; so the
    avatar's path has no jump even if the performer comes and goes in the middle of a fade.
    """

    def __init__(self, idle: Idle) -> None:
        self._idle = idle
        self._live: Keypoints | None = None
        self._shown: Keypoints | None = None
        self._away = True
        self._seen_ns = -(10**18)
        self._switched_ns = -(10**18)
        self._offset: Array = np.zeros((1, 1, 3), np.float32)
        self._turn: Array | None = None
        self._lean: Array | None = None

    @property
    def away(self) -> bool:
        """Whether the avatar is left to itself at present."""
        return self._away

    def apply(self, motion: Keypoints, now_ns: int) -> Keypoints:
        """What to show at ``now_ns`` (the clock of ``captured_ns``), given live motion (ignored while unseen)."""
        if motion.seen:
            self._live, self._seen_ns = motion, now_ns
        away = self._live is None or (now_ns - self._seen_ns) * 1e-9 > _PATIENCE_S
        target = self._idle.at(now_ns) if away or self._live is None else self._live
        points = target.points3d()
        if away != self._away:
            self._away, self._switched_ns = away, now_ns
            self._offset = np.zeros_like(points) if self._shown is None else self._shown.points3d() - points
            self._turn = None if self._shown is None else _difference(self._shown.jacobian, target.jacobian)
            self._lean = None if self._shown is None else _difference(self._shown.torso, target.torso)
        left = np.float32(1 - smoothstep((now_ns - self._switched_ns) * 1e-9 / _EASE_S))
        points = points + left * self._offset
        jacobian = target.jacobian
        self._shown = replace(
            motion,
            value=np.ascontiguousarray(points[..., :2]),
            depth=None if target.depth is None else np.ascontiguousarray(points[..., 2]),
            jacobian=jacobian if jacobian is None or self._turn is None else jacobian + left * self._turn,
            torso=self._torso(target, left),
        )
        return self._shown

    def _torso(self, target: Keypoints, left: np.float32) -> Array | None:
        """Idle motion tells of a torso only where the performer's own is known: else the picture would change with
        every switch."""
        if target.torso is None or (self._live is not None and self._live.torso is None):
            return None
        return target.torso if self._lean is None else target.torso + left * self._lean


def _difference(shown: Array | None, target: Array | None) -> Array | None:
    """Where both are there."""
    return None if shown is None or target is None else shown - target
