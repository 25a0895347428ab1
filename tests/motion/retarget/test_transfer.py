"""What the performer does, the avatar does, in its own proportions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from livehead.errors import ConfigError
from livehead.motion.face.eyes import estimate_gaze, eye_aperture
from livehead.motion.face.face_rig import FaceControls, FaceRig
from livehead.motion.face.head import face_height, fit_head_motion
from livehead.motion.face.lips import LipDeformer, lip_gaps
from livehead.motion.face.mesh import FACE_MESH
from livehead.motion.face.torso import rest_torso_points
from livehead.motion.keypoints import Keypoints, mesh_keypoints
from livehead.motion.retarget.calibration import NeutralCalibration
from livehead.motion.retarget.transfer import MotionGains, MotionTransfer


@pytest.fixture(scope="module")
def performer(source: Keypoints) -> FaceRig:
    """Another person: narrower, with a closed mouth and small eyes, at another place and distance, a little turned."""
    points = source.points3d()[0]
    points = LipDeformer(points).closed * np.array([0.8, 1.1, 0.9], np.float32)
    narrow = FaceRig(mesh_keypoints(points, 1.0, 0)).pose_face(FaceControls(blink=0.3, growth=0.4, right=0.2, yaw=4), 0)
    return FaceRig(narrow)


def transfer(source: Keypoints, performer: FaceRig, pose: FaceControls, gains: MotionGains | None = None) -> np.ndarray:
    moved = MotionTransfer(source, gains=gains, calibration=NeutralCalibration(performer.pose_face(FaceControls(), 0)))
    return moved.apply(performer.pose_face(pose, 0)).points3d()[0]


def closed(source: Keypoints) -> np.ndarray:
    """What the avatar is when the performer is neutral: its photo with the mouth closed."""
    return LipDeformer(source.points3d()[0]).closed


def test_at_rest_the_avatar_is_its_photo_but_for_lips_that_meet_as_the_performers_do(
    source: Keypoints, performer: FaceRig
) -> None:
    np.testing.assert_allclose(transfer(source, performer, FaceControls()), closed(source), atol=2e-4)


def test_without_mouth_gain_it_is_the_photo(source: Keypoints, performer: FaceRig) -> None:
    still = transfer(source, performer, FaceControls(jaw=1), MotionGains(mouth=0))
    np.testing.assert_allclose(still, source.points3d()[0], atol=5e-3)


@pytest.mark.parametrize("eye", [FACE_MESH.right_eye, FACE_MESH.left_eye], ids=["right", "left"])
def test_shut_eyes_shut_the_avatars_fully(source: Keypoints, performer: FaceRig, eye: object) -> None:
    for blink in (0.8, 1.0):
        assert eye_aperture(transfer(source, performer, FaceControls(blink=blink)), eye) < 1e-4  # type: ignore[arg-type]


def test_lips_that_part_part_and_lips_that_meet_meet(source: Keypoints, performer: FaceRig) -> None:
    assert lip_gaps(transfer(source, performer, FaceControls(jaw=0.5))).max() > 0.02
    points = transfer(source, performer, FaceControls(smile=0.7))
    np.testing.assert_allclose(points[FACE_MESH.mouth.upper], points[FACE_MESH.mouth.lower], atol=3e-3)


@pytest.mark.parametrize(
    "pose",
    [
        FaceControls(yaw=15),
        FaceControls(yaw=-15),
        FaceControls(pitch=10),
        FaceControls(pitch=-10),
        FaceControls(roll=12),
        FaceControls(yaw=10, roll=-8),
    ],
)
def test_the_head_turns_as_far_and_to_the_same_side(source: Keypoints, performer: FaceRig, pose: FaceControls) -> None:
    head = fit_head_motion(source.points3d()[0], transfer(source, performer, pose))
    assert head.euler_angles() == pytest.approx((pose.yaw, pose.pitch, pose.roll), abs=0.5)


def test_a_head_that_turns_too_far_is_held_softly(source: Keypoints, performer: FaceRig) -> None:
    turned = [
        fit_head_motion(source.points3d()[0], transfer(source, performer, FaceControls(yaw=y))).euler_angles()[0]
        for y in (30, 60, 80)
    ]
    assert 25 < turned[0] < turned[1] < turned[2] < 40


def test_a_performer_who_leaves_the_frame_does_not_drag_the_face_out(source: Keypoints, performer: FaceRig) -> None:
    for pose in (FaceControls(right=3), FaceControls(right=-3), FaceControls(down=3), FaceControls(down=-3)):
        assert np.abs(transfer(source, performer, pose)[:468, :2]).max() < 1.1


def test_the_gaze_goes_the_same_way(source: Keypoints, performer: FaceRig) -> None:
    rest = estimate_gaze(source.points3d()[0], FACE_MESH.left_eye)
    look = estimate_gaze(transfer(source, performer, FaceControls(look_right=0.1)), FACE_MESH.left_eye)
    assert look.right - rest.right == pytest.approx(0.1, abs=0.03)


def test_looking_into_the_camera_turns_the_eyes_against_the_head(source: Keypoints, performer: FaceRig) -> None:
    camera = MotionGains(gaze_to_camera=1.0)
    rest = estimate_gaze(source.points3d()[0], FACE_MESH.left_eye)
    aside = estimate_gaze(transfer(source, performer, FaceControls(look_right=0.15), camera), FACE_MESH.left_eye)
    assert aside.right == pytest.approx(rest.right, abs=0.02)
    turned = estimate_gaze(transfer(source, performer, FaceControls(yaw=15), camera), FACE_MESH.left_eye)
    assert turned.right < rest.right - 0.05


def test_gains_scale_their_region_alone(source: Keypoints, performer: FaceRig) -> None:
    pose = FaceControls(yaw=10, brows=0.8, blink=0.5)
    none = transfer(source, performer, pose, MotionGains(eyes=0, mouth=0, brows=0, head=0))
    np.testing.assert_allclose(none, source.points3d()[0], atol=1e-2)
    stiff = transfer(source, performer, pose, MotionGains(head=0))
    assert abs(fit_head_motion(source.points3d()[0], stiff).euler_angles()[0]) < 0.5
    assert eye_aperture(stiff, FACE_MESH.left_eye) < 0.7 * eye_aperture(source.points3d()[0], FACE_MESH.left_eye)


def test_absolute_motion_is_the_performers_own(source: Keypoints, performer: FaceRig) -> None:
    driving = performer.pose_face(FaceControls(yaw=5), 9)
    assert MotionTransfer(source, mode="absolute").apply(driving) is driving


def test_before_any_face_was_seen_the_avatar_rests(source: Keypoints) -> None:
    unseen = replace(source, value=np.zeros_like(source.value), confidence=np.zeros(1, np.float32))
    shown = MotionTransfer(source).apply(unseen)
    np.testing.assert_array_equal(shown.value, source.value)
    assert not shown.seen


def test_other_points_are_refused_by_name(source: Keypoints) -> None:
    other = Keypoints("dagan15", np.zeros((1, 15, 2), np.float32), None, None, np.ones(1, np.float32), 0)
    with pytest.raises(ConfigError, match="dagan15.*mesh478"):
        MotionTransfer(source).apply(other)


def leaning(motion: Keypoints, shift: tuple[float, float]) -> Keypoints:
    torso = rest_torso_points(motion.value[0])[None] + np.array(shift, np.float32)
    return replace(motion, torso=torso.astype(np.float32))


def test_the_torso_leans_in_proportion_to_the_faces(source: Keypoints, performer: FaceRig) -> None:
    neutral = performer.pose_face(FaceControls(), 0)
    moved = MotionTransfer(source, calibration=NeutralCalibration(leaning(neutral, (0, 0))))
    shift = 0.1 * face_height(neutral.value[0])
    told = moved.apply(leaning(neutral, (shift, 0))).torso
    assert told is not None
    expected = rest_torso_points(source.value[0]) + [0.1 * face_height(source.value[0]), 0]
    np.testing.assert_allclose(told[0], expected, atol=1e-5)


def test_the_gain_of_the_head_is_the_torsos_too(source: Keypoints, performer: FaceRig) -> None:
    neutral = leaning(performer.pose_face(FaceControls(), 0), (0, 0))
    moved = MotionTransfer(source, gains=MotionGains(head=0), calibration=NeutralCalibration(neutral))
    told = moved.apply(leaning(neutral, (0.1, 0.05))).torso
    assert told is not None
    np.testing.assert_allclose(told[0], rest_torso_points(source.value[0]), atol=1e-6)


def test_a_torso_that_leaves_the_picture_is_held_back(source: Keypoints, performer: FaceRig) -> None:
    neutral = leaning(performer.pose_face(FaceControls(), 0), (0, 0))
    told = MotionTransfer(source, calibration=NeutralCalibration(neutral)).apply(leaning(neutral, (9.0, 0))).torso
    assert told is not None
    away = np.abs(told[0] - rest_torso_points(source.value[0])).max()
    assert 0.3 < away / face_height(source.value[0]) < 0.8


def test_an_unknown_torso_stays_unknown_and_an_older_neutral_is_made_up_for(
    source: Keypoints, performer: FaceRig
) -> None:
    neutral = performer.pose_face(FaceControls(), 0)
    moved = MotionTransfer(source, calibration=NeutralCalibration(neutral))
    assert moved.apply(performer.pose_face(FaceControls(yaw=10), 0)).torso is None
    told = moved.apply(leaning(neutral, (0, 0))).torso
    assert told is not None
    np.testing.assert_allclose(told[0], rest_torso_points(source.value[0]), atol=1e-6)


def test_absolute_motion_tells_the_torso_as_it_is(source: Keypoints) -> None:
    driving = leaning(source, (0.07, -0.02))
    assert MotionTransfer(source, mode="absolute").apply(driving).torso is driving.torso
