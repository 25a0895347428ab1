"""The avatar's head stays whole and in its picture, whatever was measured on the performer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from livehead.motion.face.face_rig import FaceControls, FaceRig
from livehead.motion.face.head import face_height, fit_head_motion
from livehead.motion.face.mesh import FACE_MESH
from livehead.motion.keypoints import Array, Keypoints, mesh_keypoints
from livehead.motion.retarget.bounds import soft_limit, soft_limit_lengths
from livehead.motion.retarget.calibration import NeutralCalibration
from livehead.motion.retarget.transfer import MotionTransfer


def crop_pose(source: Keypoints) -> Keypoints:
    """The portrait's mesh as it lies in the crop of an avatar: half as high as the crop, in its middle."""
    points = source.points3d()[0]
    middle = (points[:468].max(axis=0) + points[:468].min(axis=0)) / 2
    return mesh_keypoints((points - middle) * np.float32(0.98 / face_height(points)), 1.0, 0)


@pytest.mark.parametrize("right", [-3.0, -0.8, 0.8, 3.0])
@pytest.mark.parametrize("down", [-3.0, 3.0])
@pytest.mark.parametrize("growth", [-1.5, 0.0, 1.0])
def test_a_performer_measured_against_a_neutral_far_away_leaves_the_head_in_its_crop(
    source: Keypoints, right: float, down: float, growth: float
) -> None:
    own = crop_pose(source)
    driving = FaceRig(own).pose_face(FaceControls(right=right, down=down, growth=growth), 0)
    shown = MotionTransfer(own, calibration=NeutralCalibration(own)).apply(driving).value[0, :468]
    assert np.abs(shown).max() <= 1
    beside = 0.2 * np.ptp(shown[:, 0])  # hair
    assert shown[:, 0].min() - beside > -1
    assert shown[:, 0].max() + beside < 1


def test_another_persons_neutral_distorts_the_face_by_a_bounded_amount_only(source: Keypoints) -> None:
    own = crop_pose(source)
    long_face = mesh_keypoints(own.points3d()[0] * np.array([0.6, 1.5, 1], np.float32), 1.0, 0)
    shown = MotionTransfer(own, calibration=NeutralCalibration(long_face)).apply(own).points3d()[0]
    flat = fit_head_motion(own.points3d()[0], shown).inverse().apply(shown)
    moved = np.linalg.norm((flat - own.points3d()[0])[:468], axis=1) / face_height(own.value[0])
    assert moved.max() < 0.45


def test_the_neck_holds_when_the_torso_is_seen_somewhere_else(source: Keypoints) -> None:
    own = crop_pose(source)
    torso = np.array([[[0, 0.9], [-0.6, 1.3], [0.6, 1.3]]], np.float32)
    neutral = replace(own, torso=torso)
    moved = FaceRig(own).pose_face(FaceControls(right=-2.0), 0)
    transfer = MotionTransfer(neutral, calibration=NeutralCalibration(neutral))
    shown = transfer.apply(replace(moved, torso=torso + np.array([3.0, 0], np.float32)))
    assert shown.torso is not None
    head_shift = (shown.value - own.value)[0, FACE_MESH.rigid].mean(axis=0)
    apart = np.linalg.norm((shown.torso - torso)[0] - head_shift, axis=1)
    assert apart.max() < 0.95 * face_height(own.value[0])


@pytest.mark.parametrize(
    "pose", [FaceControls(jaw=1.0), FaceControls(yaw=20, right=0.2), FaceControls(smile=1, brows=1)]
)
def test_what_people_do_passes_unchanged(source: Keypoints, pose: FaceControls) -> None:
    own = crop_pose(source)
    driving = FaceRig(own).pose_face(pose, 0)
    shown = MotionTransfer(own, calibration=NeutralCalibration(own)).apply(driving).points3d()[0]
    expected = fit_head_motion(own.points3d()[0], driving.points3d()[0])
    found = fit_head_motion(own.points3d()[0], shown)
    np.testing.assert_allclose(found.shift[:2], expected.shift[:2], atol=0.03)


def test_learned_points_stay_in_their_crop(source: Keypoints) -> None:
    points = np.array([[[-0.4, -0.4], [0.4, -0.4], [0.0, 0.0], [0.0, 0.5]]], np.float32)
    jacobian = np.tile(np.eye(2, dtype=np.float32), (1, 4, 1, 1))
    own = Keypoints("dagan15", points, None, jacobian, np.ones(1, np.float32), 0)
    away = replace(own, value=points + np.array([4.0, -4.0], np.float32))
    shown = MotionTransfer(own, calibration=NeutralCalibration(own)).apply(away)
    assert np.linalg.norm(shown.value - points, axis=-1).max() < 0.75


def test_a_soft_limit_changes_nothing_below_its_knee_and_is_never_passed() -> None:
    assert soft_limit(0.59, 1.0) == 0.59
    assert 0.9 < soft_limit(3.0, 1.0) <= 1.0
    assert soft_limit(-3.0, 1.0) == -soft_limit(3.0, 1.0)
    vectors: Array = np.array([[0.3, 0.4], [30.0, 40.0]], np.float32)
    held = soft_limit_lengths(vectors, 1.0)
    np.testing.assert_array_equal(held[0], vectors[0])
    np.testing.assert_allclose(held[1] / np.linalg.norm(held[1]), [0.6, 0.8], rtol=1e-5)
    assert np.linalg.norm(held[1]) <= 1.0 + 1e-6
