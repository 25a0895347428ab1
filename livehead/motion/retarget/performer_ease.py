"""The way from the motion of one person to that of the next, so that no change of person makes the avatar jump."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from livehead.motion.easing import smoothstep
from livehead.motion.keypoints import Array, Keypoints

_EASE_S = 0.3
_MAX_AGE_S = 0.5  # of the last motion; after a longer pause there is nothing to ease from


class PerformerEase:
    """Keeps, where the performer changes, the distance from what was shown, and lets it fade out."""

    def __init__(self) -> None:
        self._last: Keypoints | None = None
        self._offsets: list[Array | None] = []
        self._since_ns = 0

    def apply(self, moved: Keypoints) -> Keypoints:
        """Return the avatar's motion ``moved``, eased if it is another performer's than a moment ago."""
        last, now_ns = self._last, moved.captured_ns
        if last is not None and last.performer != moved.performer and last.set == moved.set:
            recent = 0 <= (now_ns - last.captured_ns) * 1e-9 < _MAX_AGE_S
            self._offsets = (
                [_difference(*pair) for pair in zip(_parts(last), _parts(moved), strict=True)] if recent else []
            )
            self._since_ns = now_ns
        left = (
            np.float32(1 - smoothstep((now_ns - self._since_ns) * 1e-9 / _EASE_S)) if self._offsets else np.float32(0)
        )
        if left > 0:
            value, depth, jacobian, torso = (
                part if part is None or offset is None else part + left * offset
                for part, offset in zip(_parts(moved), self._offsets, strict=True)
            )
            assert value is not None
            moved = replace(moved, value=value, depth=depth, jacobian=jacobian, torso=torso)
        else:
            self._offsets = []
        self._last = moved
        return moved


def _parts(motion: Keypoints) -> tuple[Array | None, ...]:
    return motion.value, motion.depth, motion.jacobian, motion.torso


def _difference(shown: Array | None, target: Array | None) -> Array | None:
    return None if shown is None or target is None else shown - target
