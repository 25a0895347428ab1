"""Ways from 0 to 1."""

from __future__ import annotations


def smoothstep(share: float) -> float:
    """From 0 to 1 with no kink at either end; ``share`` outside [0, 1] is clipped."""
    share = min(max(share, 0.0), 1.0)
    return share * share * (3 - 2 * share)
