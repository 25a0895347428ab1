"""The lips of the face mesh: how far they are apart, and how their surroundings follow when that is changed."""

from __future__ import annotations

import numpy as np

from livehead.motion.eyes import carried
from livehead.motion.keypoints import Array
from livehead.motion.mesh import MESH

_UPPER = MESH.mouth.upper[1:-1]
_LOWER = MESH.mouth.lower[1:-1]
_LOWER_SHARE = 0.65  # the lower lip's usual share of a change of the gap: it hangs on the jaw


def mouth_width(points: Array) -> float:
    """Distance of the corners of the mouth in mesh ``points`` [478, 3]."""
    return float(np.linalg.norm(points[MESH.mouth.upper[0]] - points[MESH.mouth.upper[-1]]))


def gaps(points: Array) -> Array:
    """Distances [9] between the inner edges of the lips, along the mouth's vertical; 0 where they touch or cross."""
    apart = (points[_LOWER] - points[_UPPER]) @ _down(points)
    return np.asarray(np.maximum(apart, 0), np.float32)


class LipShape:
    """The mouth of a mesh at rest, and how the skin about it follows the lips."""

    def __init__(self, rest: Array) -> None:
        """``rest``: mesh [478, 3] of the source."""
        width = mouth_width(rest)
        below = (rest[:468] - rest[[MESH.mouth.upper[0], MESH.mouth.upper[-1]]].mean(axis=0)) @ _down(rest)
        edges = MESH.mouth.inner
        near = np.linalg.norm(rest[:468, None] - rest[None, edges], axis=2).min(axis=1) < width
        near[edges] = False
        self._skin_above = np.flatnonzero(near & (below < 0))
        self._skin_below = np.flatnonzero(near & (below >= 0))
        thickness = 0.17 * width
        self._above = carried(rest, _UPPER, self._skin_above, 0.12 * width, thickness)
        self._below = carried(rest, _LOWER, self._skin_below, 0.35 * width, thickness)
        self.closed = rest.copy()
        self.part(self.closed, np.zeros(len(_UPPER), np.float32))

    def part(self, points: Array, gaps: Array, lower_share: float = _LOWER_SHARE) -> None:
        """Moves the lips of ``points`` [478, 3], in place, until they are ``gaps`` [9] apart; 0 lets them touch.

        ``lower_share`` of the way is the lower lip's. The skin follows. The lips never cross, whatever they did before.
        """
        down = _down(points)
        apart = points[_LOWER] - points[_UPPER]
        along = apart @ down
        sideways = apart - along[:, None] * down
        # Lips that touch touch point by point; parted ones keep their own sideways offset.
        kept = np.clip(gaps / np.maximum(np.abs(along), 1e-6), 0, 1)[:, None]
        change = (gaps[:, None] * down + kept * sideways - apart).astype(np.float32)
        rise, fall = (lower_share - 1) * change, lower_share * change
        points[_UPPER] += rise
        points[_LOWER] += fall
        points[self._skin_above] += self._above @ rise
        points[self._skin_below] += self._below @ fall


def _down(points: Array) -> Array:
    """Unit vector across the line between the mouth's corners, in the picture's plane, towards the chin."""
    across = points[MESH.mouth.upper[-1]] - points[MESH.mouth.upper[0]]
    length = max(float(np.hypot(across[0], across[1])), 1e-9)
    return np.array([-across[1] / length, across[0] / length, 0], np.float32)
