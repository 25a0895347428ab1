"""The idle motion of a face that nobody drives: it blinks, sways a little and glances about."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import replace

import numpy as np

from livehead.motion.easing import smoothstep
from livehead.motion.face.face_rig import FaceControls, FaceRig
from livehead.motion.face.torso import rest_torso_points
from livehead.motion.keypoints import Keypoints

# Measured by ``training.fits.idle_statistics`` on 110 real clips of 68 persons, most of whom speak (14 minutes,
# 25 pictures a second). 21.2 blinks a minute, of which one in ten comes within 0.5 s of the last.
_BLINK_INTERVAL_S, _MIN_BLINK_INTERVAL_S = 60 / 21.2, 0.5
# From four fifths open to shut in 0.069 s and back in 0.116 s (medians); the rest of the way is as fast.
_LID_CLOSING_S, _LID_SHUT_S, _LID_OPENING_S = 0.097, 0.035, 0.163
# 41.8 jumps of the gaze a minute; one in ten within 0.12 s of the last. Gaze has a standard deviation of 0.028 widths
# of the eye to the sides and 0.011 up and down (medians); every other look is into the camera, so aims are 1.4 wider.
_GLANCE_INTERVAL_S, _MIN_GLANCE_INTERVAL_S = 60 / 41.8, 0.12
_GLANCE_DURATION_S = 0.05
_GLANCE_STD = (0.040, 0.015)
# Standard deviations in the octaves from 0.05 to 0.8 Hz of the calmest quarter of the clips (lower quartiles): degrees,
# and units of key points. Octaves above are left out: they are beats of speech, and the tracker's noise.
_OCTAVES_HZ = (0.05, 0.1, 0.2, 0.4, 0.8)
_SWAY_STD = {
    "yaw": (0.42, 0.71, 0.59, 0.59),
    "pitch": (0.63, 0.66, 0.45, 0.53),
    "roll": (0.47, 0.51, 0.30, 0.32),
    "right": (0.0082, 0.0146, 0.0118, 0.0095),
    "down": (0.0075, 0.0093, 0.0065, 0.0066),
}


class IdleMotion:
    """Idle motion of one avatar: a function of time and ``seed`` alone."""

    def __init__(self, source: Keypoints, seed: int = 0) -> None:
        """Take the avatar's own motion ``source``, ``mesh478`` with depth."""
        self._rig = FaceRig(source)
        self._torso = rest_torso_points(source.value[0])[None] if source.torso is None else source.torso
        self._controls = IdleControls(seed)

    def motion_at(self, now_ns: int) -> Keypoints:
        """Return the avatar's motion at ``now_ns`` of any clock that starts at or after 0."""
        return replace(self._rig.pose_face(self.controls_at(now_ns * 1e-9), now_ns), torso=self._torso)

    def controls_at(self, seconds: float) -> FaceControls:
        """Return the controls that make the face of ``motion_at``."""
        return self._controls.controls_at(seconds)


class IdleControls:
    """The controls of an idle face: a function of time and ``seed`` alone."""

    def __init__(self, seed: int = 0, liveliness: float = 1.0) -> None:
        """Take ``liveliness``: how much the head sways, against the calmest quarter of people who speak."""
        random = np.random.default_rng([seed, 0])
        shape = (len(_SWAY_STD), len(_OCTAVES_HZ) - 1)
        low, high = np.log(_OCTAVES_HZ[:-1]), np.log(_OCTAVES_HZ[1:])
        self._angular_rates = 2 * math.pi * np.exp(random.uniform(low, high, shape))  # one wave an octave
        self._phases = random.uniform(0, 2 * math.pi, shape)
        self._amplitudes = liveliness * math.sqrt(2) * np.array(list(_SWAY_STD.values()))
        self._blinks = _RandomEvents(seed, 1, _MIN_BLINK_INTERVAL_S, _BLINK_INTERVAL_S)
        self._glances = _RandomEvents(seed, 2, _MIN_GLANCE_INTERVAL_S, _GLANCE_INTERVAL_S)

    def controls_at(self, seconds: float) -> FaceControls:
        """Return the controls at a time in seconds, from 0 on."""
        waves = (self._amplitudes * np.sin(self._angular_rates * seconds + self._phases)).sum(axis=1)
        sway = {name: float(wave) for name, wave in zip(_SWAY_STD, waves, strict=True)}
        right, down = self._glance_at(seconds)
        return FaceControls(**sway, blink=self._blink_at(seconds), look_right=right, look_down=down)

    def _blink_at(self, seconds: float) -> float:
        since, _ = self._blinks.find_last_event(seconds)
        if since < _LID_CLOSING_S:
            return smoothstep(since / _LID_CLOSING_S)
        return 1 - smoothstep((since - _LID_CLOSING_S - _LID_SHUT_S) / _LID_OPENING_S)

    def _glance_at(self, seconds: float) -> tuple[float, float]:
        since, index = self._glances.find_last_event(seconds)
        share = smoothstep(since / _GLANCE_DURATION_S)
        (x0, y0), (x1, y1) = self._glance_target(index - 1), self._glance_target(index)
        return x0 + share * (x1 - x0), y0 + share * (y1 - y0)

    def _glance_target(self, index: int) -> tuple[float, float]:
        if index <= 0 or index % 2 == 0:
            return 0.0, 0.0  # every other look is into the camera
        x, y = np.random.default_rng([self._glances.seed, 3, index]).normal(0, 1, 2).clip(-2, 2)
        return _GLANCE_STD[0] * float(x), _GLANCE_STD[1] * float(y)


class _RandomEvents:
    """A row of events at random moments from 0 on, the same for the same seed; it can be looked up at any time."""

    def __init__(self, seed: int, stream: int, min_interval_s: float, mean_interval_s: float) -> None:
        """Let events follow each other after ``min_interval_s`` at the soonest, ``mean_interval_s`` on average."""
        self.seed = seed
        self._random = np.random.default_rng([seed, stream])
        self._min_interval_s, self._mean_interval_s = min_interval_s, mean_interval_s
        self._event_seconds = [0.0]

    def find_last_event(self, seconds: float) -> tuple[float, int]:
        """Return the seconds since the last event and its number; infinity and 0 before the first."""
        while self._event_seconds[-1] <= seconds:
            # Short intervals are more frequent than long ones.
            interval = self._min_interval_s + float(
                self._random.gamma(2.0, (self._mean_interval_s - self._min_interval_s) / 2.0)
            )
            self._event_seconds.append(self._event_seconds[-1] + interval)
        index = bisect_right(self._event_seconds, seconds) - 1
        return (seconds - self._event_seconds[index], index) if index > 0 else (math.inf, 0)
