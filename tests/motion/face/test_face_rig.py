"""A face on strings does what it is told."""

from __future__ import annotations

import numpy as np
import pytest

from livehead.motion.face.eyes import eye_aperture
from livehead.motion.face.face_rig import ControlTimeline, FaceControls, FaceRig, build_demo_timeline
from livehead.motion.face.head import fit_head_motion
from livehead.motion.face.lips import lip_gaps, mouth_width
from livehead.motion.face.mesh import FACE_MESH
from livehead.motion.keypoints import Keypoints


def test_the_pose_of_all_zeros_is_the_photo(source: Keypoints) -> None:
    posed = FaceRig(source).pose_face(FaceControls(), 7)
    np.testing.assert_allclose(posed.points3d(), source.points3d(), atol=1e-5)
    assert posed.captured_ns == 7


def test_the_head_turns_by_the_angles_it_is_given(source: Keypoints) -> None:
    posed = FaceRig(source).pose_face(FaceControls(yaw=15, pitch=-8, roll=5, right=0.1), 0)
    head = fit_head_motion(source.points3d()[0], posed.points3d()[0])
    assert head.euler_angles() == pytest.approx((15, -8, 5), abs=0.1)
    nose = FACE_MESH.nose
    assert posed.value[0, nose, 0] > source.value[0, nose, 0] + 0.1


def test_blink_jaw_smile_and_brows_move_what_they_name(source: Keypoints) -> None:
    rig = FaceRig(source)
    rest = source.points3d()[0]

    def points(pose: FaceControls) -> np.ndarray:
        return rig.pose_face(pose, 0).points3d()[0]

    assert eye_aperture(points(FaceControls(blink=1)), FACE_MESH.left_eye) < 1e-4
    assert lip_gaps(points(FaceControls(jaw=1))).max() > lip_gaps(rest).max() + 0.3 * mouth_width(rest)
    assert points(FaceControls(jaw=1))[FACE_MESH.chin, 1] > rest[FACE_MESH.chin, 1]
    assert mouth_width(points(FaceControls(smile=1))) > 1.1 * mouth_width(rest)
    assert points(FaceControls(brows=1))[FACE_MESH.left_eye.brow, 1].mean() < rest[FACE_MESH.left_eye.brow, 1].mean()


def test_a_performance_is_eased_and_two_keys_at_one_time_are_a_sudden_change() -> None:
    line = ControlTimeline(
        [(0.0, FaceControls()), (1.0, FaceControls(yaw=10)), (1.0, FaceControls(yaw=30)), (2.0, FaceControls(yaw=30))]
    )
    assert line.controls_at(-1).yaw == 0
    assert line.controls_at(0.5).yaw == pytest.approx(5)
    assert line.controls_at(0.999).yaw == pytest.approx(10, abs=0.01)
    assert line.controls_at(1.0).yaw == 30
    assert line.controls_at(9).yaw == 30


def test_keys_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="order"):
        ControlTimeline([(1.0, FaceControls()), (0.0, FaceControls())])


def test_the_sample_shows_everything_and_ends_as_it_begins() -> None:
    line = build_demo_timeline()
    poses = [line.controls_at(t) for t in np.arange(0, line.duration_s, 1 / 30)]
    assert max(pose.yaw for pose in poses) > 15
    assert max(pose.blink for pose in poses) > 0.9
    assert max(pose.jaw for pose in poses) > 0.7
    assert line.controls_at(0) == line.controls_at(line.duration_s)
    assert max(abs(a.yaw - b.yaw) for a, b in zip(poses, poses[1:], strict=False)) < 2.5
