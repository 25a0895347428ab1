"""Smoothing of tracked points that takes away jitter and adds next to no delay.

After Casiez, Roussel and Vogel, "1€ Filter" (CHI 2012), with two changes that a mesh of hundreds of points makes
worth it: neighbouring points share the estimate of their speed, and the cutoff grows with its square, which parts the
trembling of a tracker from motion more sharply than the paper's straight line does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from livehead.motion.keypoints import Array, Keypoints

_MAX_GAP_S = 0.5  # after a longer one the past says nothing about the present
_MIN_GAP_S = 1e-3


@dataclass(frozen=True, slots=True)
class SmoothingParameters:
    """The strength of smoothing. A *size* is the points' standard deviation about their centre, so no unit is needed.

    ``cutoff``: Hz at rest; lower is steadier. ``beta``: Hz per (size / s) squared; higher follows sooner.
    ``speed_cutoff``: Hz, of the speed estimate. ``neighbourhood``: sizes over which points share that estimate.

    The defaults, at 30 frames a second: MediaPipe's trembling on a still face under camera noise falls to 0.3 (steps
    from frame to frame); talking heads are late by 0.06 frames (2 ms), their mouths by 2 ms, their lids by 3 ms; of a
    sudden shift by a tenth of a size 93 % arrive in the same frame.
    """

    cutoff: float = 1.0
    beta: float = 60.0
    speed_cutoff: float = 3.0
    neighbourhood: float = 0.12


class KeypointSmoother:
    """A filter of one stream of ``Keypoints`` by their ``captured_ns``; it smooths jacobians and torso too.

    It starts afresh by itself after a gap, a lost face or another set of points.
    """

    def __init__(self, smoothing: SmoothingParameters | None = None) -> None:
        self.parameters = smoothing or SmoothingParameters()
        self._last: Keypoints | None = None
        self._size = 1.0
        self._velocity: Array = np.zeros((1, 1, 3), np.float32)
        self._torso_velocity: Array = np.zeros((1, 2), np.float32)
        self._neighbour_weights: Array = np.ones((1, 1), np.float32)

    def reset(self) -> None:
        """Forget the past; the next key points pass unchanged."""
        self._last = None

    def smooth(self, keypoints: Keypoints) -> Keypoints:
        """Return ``keypoints`` where they are in all likelihood. Unseen ones pass unchanged and end what was before."""
        if not keypoints.seen:
            self._last = None
            return keypoints
        last = self._last
        seconds = 0.0 if last is None else (keypoints.captured_ns - last.captured_ns) * 1e-9
        if last is None or last.set != keypoints.set or not 0 <= seconds <= _MAX_GAP_S:
            self._restart_filter(keypoints)
            self._last = keypoints
        else:
            self._last = self._filter_keypoints(last, keypoints, max(seconds, _MIN_GAP_S))
        return self._last

    def _restart_filter(self, keypoints: Keypoints) -> None:
        points = keypoints.points3d()
        self._velocity = np.zeros_like(points)
        self._torso_velocity = np.zeros((len(points), 2), np.float32)
        self._size = max(float(keypoints.value.std(axis=1).mean()), 1e-6)
        self._neighbour_weights = _neighbour_weights(points[0], self.parameters.neighbourhood * self._size)

    def _filter_keypoints(self, last: Keypoints, now: Keypoints, seconds: float) -> Keypoints:
        smoothing = self.parameters
        velocity = (now.points3d() - last.points3d()) / np.float32(seconds * self._size)
        self._velocity = self._velocity + np.float32(_smoothing_factor(smoothing.speed_cutoff, seconds)) * (
            velocity - self._velocity
        )
        squared = np.square(self._neighbour_weights @ self._velocity).sum(axis=-1)
        share = _smoothing_factor(smoothing.cutoff + smoothing.beta * squared, seconds).astype(np.float32)
        return replace(
            now,
            value=last.value + share[..., None] * (now.value - last.value),
            depth=_lerp(last.depth, now.depth, share),
            jacobian=_lerp(last.jacobian, now.jacobian, share[..., None, None]),
            torso=self._filter_torso(last.torso, now.torso, seconds),
        )

    def _filter_torso(self, last: Array | None, now: Array | None, seconds: float) -> Array | None:
        """Filter the torso's points [B, 3, 2]; being a plane's they share one speed."""
        if last is None or now is None:
            return now
        smoothing = self.parameters
        velocity = (now - last).mean(axis=1) / np.float32(seconds * self._size)
        self._torso_velocity = self._torso_velocity + np.float32(_smoothing_factor(smoothing.speed_cutoff, seconds)) * (
            velocity - self._torso_velocity
        )
        squared = np.square(self._torso_velocity).sum(axis=-1)
        share = _smoothing_factor(smoothing.cutoff + smoothing.beta * squared, seconds)
        return np.asarray(last + share[:, None, None] * (now - last), np.float32)


def _lerp(last: Array | None, now: Array | None, share: Array) -> Array | None:
    return now if last is None or now is None else last + share * (now - last)


def _smoothing_factor(cutoff: Array | float, seconds: float) -> Array:
    """The new value's share in a first-order low pass of ``cutoff`` Hz (equation 3 of the paper)."""
    rate = 2 * math.pi * seconds * np.asarray(cutoff)
    return np.asarray(rate / (rate + 1), np.float32)


def _neighbour_weights(points: Array, reach: float) -> Array:
    """Weigh each point's neighbours in ``points`` [K, 3] by a Gaussian of ``reach``: [K, K], rows summing to 1."""
    apart = np.square(points[:, None] - points[None]).sum(axis=-1)
    weights = np.exp(-apart / max(2 * reach * reach, 1e-12))
    weights[weights < 1e-3] = 0  # far ones do not matter, and numbers near the smallest float would make it slow
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)
