"""The search for the performer's neutral face, against which relative motion is measured; no key need be pressed.

The first face that is seen is the neutral at once, so the avatar moves from the first frame on; calmer, more frontal
faces replace it in the next two seconds, much better ones later too. Every replacement is eased, so nothing jumps.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NotRequired, TypedDict, cast

import numpy as np

from livehead.errors import ConfigError
from livehead.motion.easing import smoothstep
from livehead.motion.face.eyes import estimate_gaze, eye_aperture
from livehead.motion.face.lips import lip_gaps, mouth_width
from livehead.motion.face.mesh import FACE_MESH
from livehead.motion.keypoints import MESH478, Array, Keypoints
from livehead.untrusted_files import DamagedFileError, guard_parser

_COLLECTION_S = 2.0
_EASE_S = 0.3
_LATE_EASE_S = 1.5  # unasked and in the middle of a talk: slow enough to go unnoticed
_LATE_COST_RATIO = 0.5  # after the collection only a face this much better is worth a change
_UPRIGHT_PITCH = 6.0  # degrees from forehead to chin, of MediaPipe's mesh of an upright face
_HIDDEN_COST = 3.0  # of a face whose lips or eyes are hidden
_POOR_COST = 1.0  # such as a head turned by 15 degrees, or a mouth wide open
_LONG_AGO_NS = -(10**18)
_COST_TOLERANCE = 0.02  # costs below this do not differ by anything that can be seen


class SavedNeutral(TypedDict):
    """A neutral face as plain JSON."""

    set: str
    value: list[list[float]]
    depth: list[float] | None
    jacobian: list[list[list[float]]] | None
    torso: NotRequired[list[list[float]] | None]


@dataclass(frozen=True, slots=True, eq=False)
class _NeutralTransition:
    """The eased way from one neutral face to the next."""

    start: Keypoints
    target: Keypoints
    since_ns: int
    ease_s: float

    def interpolate(self, now_ns: int) -> Keypoints:
        share = np.float32(smoothstep((now_ns - self.since_ns) * 1e-9 / self.ease_s))
        start, target = self.start, self.target
        if share >= 1 or start is target:
            return target
        depth = target.depth
        if start.depth is not None and target.depth is not None:
            depth = start.depth + share * (target.depth - start.depth)
        jacobian = target.jacobian
        if start.jacobian is not None and target.jacobian is not None:
            jacobian = start.jacobian + share * (target.jacobian - start.jacobian)
        torso = target.torso
        if start.torso is not None and target.torso is not None:
            torso = start.torso + share * (target.torso - start.torso)
        moved = target.with_points(start.value + share * (target.value - start.value), depth)
        return replace(moved, jacobian=jacobian, torso=torso)


class NeutralCalibration:
    """The neutral face of one performer, improved while he is watched."""

    def __init__(self, neutral: Keypoints | None = None) -> None:
        """Take a known ``neutral`` (a profile's, a whole clip's), which stays until ``restart``, or search for one."""
        self._fixed = neutral is not None
        self._transition = None if neutral is None else _NeutralTransition(neutral, neutral, 0, _EASE_S)
        self._search = _NeutralSearch()
        self._performer: int | None = None
        self._known_neutrals: dict[int, Keypoints] = {}

    @property
    def neutral(self) -> Keypoints | None:
        """The best neutral so far; None before the first face."""
        return None if self._transition is None else self._transition.target

    def restart(self) -> None:
        """Look for a new neutral from the next face on; the old one gives way to it within 0.3 s."""
        self._fixed = False
        self._search = _NeutralSearch()

    def add_neutral(self, performer: int, neutral: Keypoints) -> None:
        """Take ``neutral`` as that of the person, or shot, number ``performer``. Callable from any thread.

        It stays, unless it is far from neutral, since whoever chose it had not seen a better one yet. Then a much
        better face takes its place later on.
        """
        self._known_neutrals[performer] = neutral

    def observe(self, driving: Keypoints) -> Keypoints:
        """Return the neutral to measure ``driving`` against.

        A change of one person's neutral is spread over time, so nothing jumps. Another person's takes its place at
        once, since nobody's face can be measured against a mixture of two; ``MotionTransfer`` eases what is seen.
        """
        now_ns = driving.captured_ns
        if driving.seen:
            self._change_performer(driving.performer)
        if self._transition is None or self._transition.target.set != driving.set:
            self._transition = _NeutralTransition(driving, driving, now_ns, _EASE_S)
            self._search = _NeutralSearch()
        if driving.seen and not self._fixed and (ease_s := self._search.find_ease(driving)) is not None:
            before = self._transition.interpolate(now_ns)
            self._transition = _NeutralTransition(before, driving, now_ns, ease_s)
        return self._transition.interpolate(now_ns)

    def _change_performer(self, performer: int) -> None:
        """Turn to the neutral of another person or shot; the first person is the one whose neutral was given."""
        known = self._known_neutrals.get(performer)
        if performer == self._performer:
            return
        is_first, self._performer = self._performer is None, performer
        if known is not None:
            self._transition, self._search = _NeutralTransition(known, known, 0, _EASE_S), _NeutralSearch(known)
            self._fixed = self._search.is_content
        elif not is_first:
            self._fixed, self._transition = False, None

    def to_json(self) -> SavedNeutral | None:
        """Return the neutral as plain JSON for a profile; None before the first face."""
        neutral = self.neutral
        if neutral is None:
            return None
        return {
            "set": neutral.set,
            "value": np.round(neutral.value[0], 5).tolist(),
            "depth": None if neutral.depth is None else np.round(neutral.depth[0], 5).tolist(),
            "jacobian": None if neutral.jacobian is None else np.round(neutral.jacobian[0], 5).tolist(),
            "torso": None if neutral.torso is None else np.round(neutral.torso[0], 5).tolist(),
        }

    @classmethod
    def from_json(cls, saved: Mapping[str, object]) -> NeutralCalibration:
        """Restore the calibration whose neutral ``to_json`` wrote. Raises: ConfigError when it did not."""
        try:
            with guard_parser():
                neutral = _parse_neutral(saved)
        except DamagedFileError as error:
            raise ConfigError("the calibration in the profile is broken", "calibrate again and save it anew") from error
        return cls(neutral)


def _parse_neutral(saved: Mapping[str, object]) -> Keypoints:
    """Return the neutral that ``NeutralCalibration.to_json`` wrote. Raises: any exception for what is none."""
    depth, jacobian, torso = saved["depth"], saved["jacobian"], saved.get("torso")
    count = 478 if saved["set"] == MESH478 else len(cast("list[object]", saved["value"]))
    return Keypoints(
        set=str(saved["set"]),
        value=_parse_array(saved["value"], (count, 2)),
        depth=None if depth is None else _parse_array(depth, (count,)),
        jacobian=None if jacobian is None else _parse_array(jacobian, (count, 2, 2)),
        confidence=np.ones(1, np.float32),
        captured_ns=0,
        torso=None if torso is None else _parse_array(torso, (3, 2)),
    )


def _parse_array(numbers: object, shape: tuple[int, ...]) -> Array:
    """Return nested lists as an array [1, *shape]. Raises: ValueError for another, or what is not finite."""
    array = np.asarray(numbers, np.float32)
    if array.shape != shape or not np.isfinite(array).all():
        raise ValueError(f"it holds numbers of shape {array.shape}, not finite ones of {shape}")
    return array[None]


class _NeutralSearch:
    """The search for one performer's neutral face, from the first face that is seen, or for a better one."""

    def __init__(self, known: Keypoints | None = None) -> None:
        self._first_seen_ns: int | None = None if known is None else _LONG_AGO_NS
        self._cost = _NeutralityCost()
        self._best_cost = math.inf if known is None else self._cost.measure(known)
        self._cost.forget_motion()

    @property
    def is_content(self) -> bool:
        """True where the best face so far is near enough to neutral."""
        return self._best_cost <= _POOR_COST

    def find_ease(self, driving: Keypoints) -> float | None:
        """Return the seconds over which ``driving`` is to become the neutral; None when a better one is known."""
        cost = self._cost.measure(driving)
        if self._first_seen_ns is None:
            self._first_seen_ns = driving.captured_ns
        early = (driving.captured_ns - self._first_seen_ns) * 1e-9 <= _COLLECTION_S
        if cost + _COST_TOLERANCE >= self._best_cost * (1.0 if early else _LATE_COST_RATIO):
            return None
        self._best_cost = cost
        return _EASE_S if early else _LATE_EASE_S


def find_best_neutral(motion: Iterable[Keypoints]) -> Keypoints | None:
    """Find the calmest, most frontal face of a recording; its first one where the set tells nothing of faces."""
    cost = _NeutralityCost()
    frames = [each for each in motion if each.seen]
    # Twice: what counts as wide open is known only after the eyes have been seen.
    for each in frames:
        cost.measure(each)
    cost.forget_motion()
    return min(frames, key=cost.measure, default=None)


class _NeutralityCost:
    """The measure of how far a face is from neutral: turned, speaking, blinking, glancing aside, moving."""

    def __init__(self) -> None:
        self._widest_aperture = 0.0
        self._last: Keypoints | None = None

    def forget_motion(self) -> None:
        self._last = None

    def measure(self, driving: Keypoints) -> float:
        """Return the cost of ``driving`` as a neutral, 0 for a perfect one; faces come in the order of time."""
        last, self._last = self._last, driving
        if driving.set != MESH478:
            return 0.0
        points = driving.points3d()[0]
        open_now = (eye_aperture(points, FACE_MESH.right_eye) + eye_aperture(points, FACE_MESH.left_eye)) / 2
        self._widest_aperture = max(self._widest_aperture, open_now)
        looks = [estimate_gaze(points, eye) for eye in (FACE_MESH.right_eye, FACE_MESH.left_eye)]
        aside = sum(look.right for look in looks) / 2
        yaw, pitch, roll = _estimate_head_angles(points)
        speaking = float(lip_gaps(points).mean()) / max(mouth_width(points), 1e-6)
        terms = (
            yaw / 15,
            pitch / 20,
            roll / 20,
            (1 - open_now / max(self._widest_aperture, 1e-6)) / 0.3,
            speaking / 0.08,
            aside / 0.15,
            _mean_speed(last, driving) / 1.0,
            *_hidden_shares(driving),
        )
        return float(sum(term * term for term in terms))


def _hidden_shares(driving: Keypoints) -> tuple[float, float]:
    """Return terms for what hides lips and eyes, which are only guessed then: one of them outweighs a turned head."""
    seen = driving.sighting
    return (0.0, 0.0) if seen is None else (_HIDDEN_COST * seen.lips_hidden, _HIDDEN_COST * seen.eyes_hidden)


def _estimate_head_angles(points: Array) -> tuple[float, float, float]:
    """Estimate yaw, pitch and roll in degrees of mesh ``points`` [478, 3], each 0 for a usual upright face.

    Each is read off a line of the face, which costs less than ``measure_head_angles`` and has its signs.
    """
    across = points[FACE_MESH.left_eye.upper[0]] - points[FACE_MESH.right_eye.upper[0]]
    upright = points[FACE_MESH.chin] - points[FACE_MESH.forehead]
    yaw = math.degrees(math.atan2(across[2], across[0]))
    roll = math.degrees(math.atan2(across[1], across[0]))
    pitch = math.degrees(math.atan2(upright[2], upright[1])) - _UPRIGHT_PITCH
    return yaw, pitch, roll


def _mean_speed(last: Keypoints | None, now: Keypoints) -> float:
    """The mean speed of the points in sizes of the face (their standard deviation) per second."""
    if last is None or now.captured_ns <= last.captured_ns:
        return 0.0
    moved = float(np.linalg.norm(now.value - last.value, axis=-1).mean())
    return moved / max(float(now.value.std(axis=1).mean()), 1e-6) / ((now.captured_ns - last.captured_ns) * 1e-9)
