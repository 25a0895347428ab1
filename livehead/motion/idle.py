"""What a face does when nobody drives it: it blinks, sways a little and glances about."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import replace

import numpy as np

from livehead.motion.easing import smoothstep
from livehead.motion.keypoints import Keypoints
from livehead.motion.performance import Pose, Puppet
from livehead.motion.torso import torso_at_rest

_BLINK_EVERY_S = (1.4, 7.0)
_CLOSING_S, _SHUT_S, _OPENING_S = 0.075, 0.035, 0.17
_GLANCE_EVERY_S = (0.9, 3.5)
_GLANCE_S = 0.05
_GLANCE = (0.035, 0.015)  # standard deviation to the side and up or down, in widths of an eye
_SWAY = {"yaw": 1.8, "pitch": 0.9, "roll": 1.1, "right": 0.008, "down": 0.005}
_PERIODS_S = (11.3, 6.1, 3.7)  # no common multiple that anybody would notice
_PARTS = (0.55, 0.3, 0.15)


class IdleMotion:
    """Idle motion of one avatar: a function of time and ``seed`` alone."""

    def __init__(self, source: Keypoints, seed: int = 0) -> None:
        """``source``: the avatar's own motion, ``mesh478`` with depth."""
        self._puppet = Puppet(source)
        self._torso = torso_at_rest(source.value[0])[None] if source.torso is None else source.torso
        self._pose = IdlePose(seed)

    def at(self, now_ns: int) -> Keypoints:
        """The avatar at ``now_ns`` of any clock that starts at or after 0."""
        return replace(self._puppet(self.pose(now_ns * 1e-9), now_ns), torso=self._torso)

    def pose(self, seconds: float) -> Pose:
        """The same as controls."""
        return self._pose.at(seconds)


class IdlePose:
    """The controls of an idle face: a function of time and ``seed`` alone."""

    def __init__(self, seed: int = 0) -> None:
        self._phases = np.random.default_rng([seed, 0]).uniform(0, 2 * math.pi, (len(_SWAY), len(_PERIODS_S)))
        self._blinks = _Moments(seed, 1, _BLINK_EVERY_S)
        self._glances = _Moments(seed, 2, _GLANCE_EVERY_S)

    def at(self, seconds: float) -> Pose:
        """The pose at a time from 0 on."""
        waves = np.sin(2 * math.pi * seconds / np.array(_PERIODS_S) + self._phases) @ np.array(_PARTS)
        sway = {name: size * float(wave) for (name, size), wave in zip(_SWAY.items(), waves, strict=True)}
        right, down = self._glance(seconds)
        return Pose(**sway, blink=self._blink(seconds), look_right=right, look_down=down)

    def _blink(self, seconds: float) -> float:
        since, _ = self._blinks.before(seconds)
        if since < _CLOSING_S:
            return smoothstep(since / _CLOSING_S)
        return 1 - smoothstep((since - _CLOSING_S - _SHUT_S) / _OPENING_S)

    def _glance(self, seconds: float) -> tuple[float, float]:
        since, index = self._glances.before(seconds)
        share = smoothstep(since / _GLANCE_S)
        (x0, y0), (x1, y1) = self._aim(index - 1), self._aim(index)
        return x0 + share * (x1 - x0), y0 + share * (y1 - y0)

    def _aim(self, index: int) -> tuple[float, float]:
        if index <= 0 or index % 2 == 0:
            return 0.0, 0.0  # every other look is into the camera
        x, y = np.random.default_rng([self._glances.seed, 3, index]).normal(0, 1, 2).clip(-2, 2)
        return _GLANCE[0] * float(x), _GLANCE[1] * float(y)


class _Moments:
    """Random moments from 0 on, the same for the same seed; found again at any time."""

    def __init__(self, seed: int, kind: int, every_s: tuple[float, float]) -> None:
        self.seed = seed
        self._random = np.random.default_rng([seed, kind])
        self._every_s = every_s
        self._seconds = [0.0]

    def before(self, seconds: float) -> tuple[float, int]:
        """Seconds since the last moment and its number; before the first: a long time, 0."""
        while self._seconds[-1] <= seconds:
            shortest, longest = self._every_s
            # Short intervals are more frequent than long ones.
            interval = shortest + (longest - shortest) * float(self._random.beta(1.6, 2.6))
            self._seconds.append(self._seconds[-1] + interval)
        index = bisect_right(self._seconds, seconds) - 1
        return (seconds - self._seconds[index], index) if index > 0 else (math.inf, 0)
