"""The transfer of the performer's motion to the avatar.

Absolute: the avatar takes the performer's points as they are. Relative: it takes what changed since the performer's
neutral face, in proportion to its own features; for a face mesh that is split into the head's rigid motion, the lids
and the gaze (as ratios), the lips (as a gap) and the rest of the expression (as displacements). The torso, where
the driver knows it, takes part with the gain of the head.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from livehead.errors import ConfigError
from livehead.motion.easing import smoothstep
from livehead.motion.face.eyes import EyeDeformer, GazeOffset, estimate_gaze, eye_aperture, eye_opening
from livehead.motion.face.face_weights import brow_weights, head_pivot, mouth_weights
from livehead.motion.face.head import HeadMotion, face_height, fit_head_motion, rotation_matrix
from livehead.motion.face.lips import LipDeformer, lip_gaps, lip_thickness, mouth_width, scale_lip_thickness
from livehead.motion.face.mesh import FACE_MESH
from livehead.motion.face.torso import rest_torso_points
from livehead.motion.keypoints import MESH478, Array, Keypoints
from livehead.motion.retarget.bounds import HeadBounds, hold_learned_points, soft_limit, soft_limit_lengths
from livehead.motion.retarget.calibration import NeutralCalibration
from livehead.motion.retarget.performer_ease import PerformerEase
from livehead.motion.retarget.relative import transfer_relative_motion

TransferMode: TypeAlias = Literal["relative", "absolute"]

_MAX_YAW, _MAX_PITCH, _MAX_ROLL = 38.0, 26.0, 38.0  # degrees that one photo bears
# Of the logarithm of the head's size; what a smaller head uncovers of the photo has to be made up.
_MAX_GROWTH, _MAX_SHRINKING = 0.35, 0.2
_MAX_TORSO_SHIFT = 0.7  # heights of the face that a point of the torso can leave its place
_MAX_NECK_STRETCH = 0.9  # heights of the face that the head can leave the torso, as when it turns or bows
_MAX_GAZE = 0.24  # widths of the eye that an iris can leave its middle
_EYEBALL_RADIUS = 0.42  # its radius in widths of the eye


@dataclass(frozen=True, slots=True)
class MotionGains:
    """The shares of each kind of motion that the avatar takes: 0 none, 1 as it is.

    ``gaze_to_camera``: 0 looks where the performer looks, 1 always into the camera.
    """

    eyes: float = 1.0
    mouth: float = 1.0
    brows: float = 1.0
    head: float = 1.0
    gaze_to_camera: float = 0.0


class MotionTransfer:
    """The transfer of motion to one avatar. ``gains`` and ``calibration`` may be replaced between two calls."""

    def __init__(
        self,
        source: Keypoints,
        *,
        mode: TransferMode = "relative",
        gains: MotionGains | None = None,
        calibration: NeutralCalibration | None = None,
    ) -> None:
        """Take the avatar's own motion ``source``, at rest, in the coordinates of its crop."""
        self.source = source
        self.mode: TransferMode = mode
        self.gains = gains or MotionGains()
        self.calibration = calibration or NeutralCalibration()
        self._face = _FaceMotionTransfer(source) if source.set == MESH478 and source.depth is not None else None
        self._performer_ease = PerformerEase()

    def apply(self, driving: Keypoints) -> Keypoints:
        """Return the avatar's motion for ``driving``, in the coordinates of the avatar's crop.

        Raises: ConfigError when the performer's points are not of the avatar's set.
        """
        if driving.set != self.source.set:
            raise ConfigError(
                f"a driver of {driving.set} points cannot move an avatar of {self.source.set} points",
                "choose a driver and a model that share a set of points",
            )
        if self.mode == "absolute":
            return driving
        if not driving.seen and self.calibration.neutral is None:
            return replace(self.source, confidence=driving.confidence, captured_ns=driving.captured_ns)
        neutral = self.calibration.observe(driving)
        if self._face is None:
            learned = transfer_relative_motion(self.source, driving, neutral, adapt_scale=True)
            return self._performer_ease.apply(replace(hold_learned_points(learned, self.source), torso=None))
        points = self._face.transfer(driving.points3d()[0], neutral.points3d()[0], self.gains)
        moved = driving.with_points(points[None, :, :2].copy(), points[None, :, 2].copy())
        head_shift = (points - self.source.points3d()[0])[FACE_MESH.rigid, :2].mean(axis=0)
        return self._performer_ease.apply(replace(moved, torso=self._transfer_torso(driving, neutral, head_shift)))

    def _transfer_torso(self, driving: Keypoints, neutral: Keypoints, head_shift: Array) -> Array | None:
        """Return the avatar's torso moved as the performer's did since ``neutral``, in proportion to the faces.

        It stays within reach of the head, which has gone by ``head_shift`` [2], so that the neck holds.
        """
        if driving.torso is None:
            return None
        # a neutral face of an older profile has no torso: it is where the driver would have put it
        before = rest_torso_points(neutral.value[0])[None] if neutral.torso is None else neutral.torso
        own = rest_torso_points(self.source.value[0])[None] if self.source.torso is None else self.source.torso
        height = face_height(self.source.value[0])
        change = self.gains.head * height / face_height(neutral.value[0]) * (driving.torso - before)
        limit = _MAX_TORSO_SHIFT * height
        held = np.array([soft_limit(float(each), limit) for each in change.ravel()], np.float32).reshape(change.shape)
        held = head_shift + soft_limit_lengths(held - head_shift, _MAX_NECK_STRETCH * height)
        return np.asarray(own + held, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class _NeutralMeasurements:
    """A neutral face of the performer, with all measurements that are taken on it once."""

    points: Array
    closed: Array
    apertures: tuple[float, float]
    gazes: tuple[GazeOffset, GazeOffset]
    to_source: HeadMotion
    mouth_ratio: float
    lip_ratio: Array


class _FaceMotionTransfer:
    """Relative motion of a face mesh. All arrays [478, 3] are in the unit of key points."""

    def __init__(self, source: Keypoints) -> None:
        self._rest = source.points3d()[0]
        self._eyes = (EyeDeformer(self._rest, FACE_MESH.right_eye), EyeDeformer(self._rest, FACE_MESH.left_eye))
        self._lips = LipDeformer(self._rest)
        self._thickness = lip_thickness(self._lips.closed)
        self._mouth_weights, self._brow_weights = mouth_weights(self._rest), brow_weights(self._rest)
        self._pivot = head_pivot(self._rest)
        self._bounds = HeadBounds(self._rest, self._pivot)
        self._neutral: _NeutralMeasurements | None = None

    def transfer(self, driving: Array, neutral: Array, gains: MotionGains) -> Array:
        """Return the avatar's face for the performer's face ``driving``, whose face at rest is ``neutral``."""
        measured = self._measure_neutral(neutral)
        motion = fit_head_motion(measured.points, driving)
        unturned = motion.inverse().apply(driving)
        head = self._transfer_head(measured, motion, gains)
        points = self._transfer_expression(measured, unturned, gains)
        self._transfer_eyes(points, measured, unturned, head, gains)
        return head.apply(points)

    def _measure_neutral(self, neutral: Array) -> _NeutralMeasurements:
        if self._neutral is None or not np.array_equal(self._neutral.points, neutral):
            to_source = fit_head_motion(neutral, self._rest)
            shape = LipDeformer(neutral)
            ratio = mouth_width(self._rest) / max(to_source.scale * mouth_width(neutral), 1e-6)
            self._neutral = _NeutralMeasurements(
                points=neutral,
                closed=shape.closed,
                apertures=(eye_aperture(neutral, FACE_MESH.right_eye), eye_aperture(neutral, FACE_MESH.left_eye)),
                gazes=(estimate_gaze(neutral, FACE_MESH.right_eye), estimate_gaze(neutral, FACE_MESH.left_eye)),
                to_source=to_source,
                mouth_ratio=float(np.clip(ratio, 0.85, 1.15)),
                lip_ratio=np.clip(
                    self._thickness / np.maximum(lip_thickness(neutral) * to_source.scale, 1e-6), 0.2, 1.2
                ),
            )
        return self._neutral

    def _transfer_head(self, neutral: _NeutralMeasurements, motion: HeadMotion, gains: MotionGains) -> HeadMotion:
        """Return the rigid motion of the avatar's head about its own middle, held back where a photo cannot follow."""
        yaw, pitch, roll = (gains.head * angle for angle in motion.euler_angles())
        turn = rotation_matrix(soft_limit(yaw, _MAX_YAW), soft_limit(pitch, _MAX_PITCH), soft_limit(roll, _MAX_ROLL))
        growth = gains.head * math.log(max(motion.scale, 1e-3))
        scale = math.exp(soft_limit(growth, _MAX_GROWTH if growth > 0 else _MAX_SHRINKING))
        middle = head_pivot(neutral.points)
        shift = gains.head * neutral.to_source.scale * (motion.apply(middle) - middle)
        place = self._pivot + self._bounds.hold_shift(shift, scale) - scale * turn @ self._pivot
        return HeadMotion(scale, turn, place.astype(np.float32))

    def _transfer_expression(self, neutral: _NeutralMeasurements, unturned: Array, gains: MotionGains) -> Array:
        """Return the source with the performer's mouth and brows; lids and irises still at rest."""
        to_source = neutral.to_source
        change = self._bounds.hold_displacements((unturned - neutral.closed) @ (to_source.scale * to_source.rotation.T))
        scale_lip_thickness(change, neutral.lip_ratio)
        mouth = gains.mouth * neutral.mouth_ratio
        followed = _clamp_gain(gains.mouth)
        points: Array = self._rest + followed * (self._lips.closed - self._rest)
        points = points + (mouth * self._mouth_weights + gains.brows * self._brow_weights)[:, None] * change
        wanted = mouth * to_source.scale * lip_gaps(unturned) + (1 - followed) * lip_gaps(self._rest)
        points = points.astype(np.float32)
        self._lips.open_lips(points, self._bounds.hold_gaps(wanted.astype(np.float32)))
        return points

    def _transfer_eyes(
        self, points: Array, neutral: _NeutralMeasurements, unturned: Array, head: HeadMotion, gains: MotionGains
    ) -> None:
        looks = [estimate_gaze(unturned, shape.eye) for shape in self._eyes]
        # Both eyes turn together; their mean halves the tracker's noise.
        right = sum(look.right - rest.right for look, rest in zip(looks, neutral.gazes, strict=True)) / 2
        down = sum(look.down - rest.down for look, rest in zip(looks, neutral.gazes, strict=True)) / 2
        yaw, pitch, _ = head.euler_angles()
        for shape, rest in zip(self._eyes, neutral.apertures, strict=True):
            wide = 1 + gains.eyes * (eye_opening(eye_aperture(unturned, shape.eye), rest) - 1)
            # Under a falling lid the tracker only guesses where the iris is.
            sure = smoothstep(wide / 0.5) * gains.eyes
            to_camera = gains.gaze_to_camera
            there = shape.rest_gaze.right + sure * right
            below = shape.rest_gaze.down + sure * down
            there += to_camera * (shape.rest_gaze.right - _EYEBALL_RADIUS * math.sin(math.radians(yaw)) - there)
            below += to_camera * (shape.rest_gaze.down - _EYEBALL_RADIUS * math.sin(math.radians(pitch)) - below)
            shape.set_lids_and_gaze(
                points, max(wide, 0.0), GazeOffset(soft_limit(there, _MAX_GAZE), soft_limit(below, _MAX_GAZE))
            )


def _clamp_gain(gain: float) -> float:
    """The share of a feature that is the performer's and not the photo's: gains above 1 exaggerate, but add none."""
    return min(max(gain, 0.0), 1.0)
