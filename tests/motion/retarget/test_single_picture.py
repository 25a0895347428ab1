"""One picture of a performer tells a neutral face well enough to transfer what the face does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from livehead.errors import ConfigError
from livehead.motion.face.face_rig import FaceControls, FaceRig
from livehead.motion.face.head import fit_head_motion, measure_head_angles
from livehead.motion.face.lips import lip_gaps, mouth_width
from livehead.motion.face.mean_face import load_mean_face
from livehead.motion.keypoints import Keypoints, mesh_keypoints
from livehead.motion.retarget.calibration import NeutralCalibration
from livehead.motion.retarget.single_picture import assume_neutral
from livehead.motion.retarget.transfer import MotionTransfer


@pytest.fixture
def performer() -> Keypoints:
    """A face that is wider than the mean one."""
    return mesh_keypoints((load_mean_face() * np.array([0.55, 0.5, 0.5], np.float32)), 1.0, 0)


def test_the_neutral_looks_ahead_from_where_the_performer_s_head_is(performer: Keypoints) -> None:
    still = FaceRig(performer).pose_face(FaceControls(yaw=20, roll=10, right=0.2, jaw=0.5), 0)
    neutral = assume_neutral(still).points3d()[0]
    yaw, _, roll = measure_head_angles(neutral)
    assert abs(yaw) < 2
    assert abs(roll) < 2
    assert np.abs(neutral[:468].mean(axis=0) - still.points3d()[0, :468].mean(axis=0)).max() < 0.1
    assert fit_head_motion(performer.points3d()[0], neutral).scale == pytest.approx(1, abs=0.05)


def test_a_smile_and_an_open_mouth_reach_the_avatar(performer: Keypoints, source: Keypoints) -> None:
    def opening(controls: FaceControls) -> float:
        still = FaceRig(performer).pose_face(controls, 0)
        moved = MotionTransfer(source, calibration=NeutralCalibration(assume_neutral(still))).apply(still)
        points = moved.points3d()[0]
        return float(lip_gaps(points).mean()) / mouth_width(points)

    def width(controls: FaceControls) -> float:
        still = FaceRig(performer).pose_face(controls, 0)
        moved = MotionTransfer(source, calibration=NeutralCalibration(assume_neutral(still))).apply(still)
        return mouth_width(moved.points3d()[0]) / mouth_width(source.points3d()[0])

    assert opening(FaceControls(jaw=0.8)) > opening(FaceControls()) + 0.1
    assert width(FaceControls(smile=1)) > width(FaceControls()) + 0.05


def test_the_head_turns_as_the_performer_s(performer: Keypoints, source: Keypoints) -> None:
    def yaw(turned: float) -> float:
        still = FaceRig(performer).pose_face(FaceControls(yaw=turned), 0)
        moved = MotionTransfer(source, calibration=NeutralCalibration(assume_neutral(still))).apply(still)
        return fit_head_motion(source.points3d()[0], moved.points3d()[0]).euler_angles()[0]

    assert yaw(15) - yaw(0) == pytest.approx(15, abs=3)


def test_points_that_were_learned_tell_no_face(source: Keypoints) -> None:
    with pytest.raises(ConfigError, match="picture of a face"):
        assume_neutral(replace(source, set="other", depth=None))
