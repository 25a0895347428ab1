"""The pose of a body, smoothed, and people in pixels."""

from __future__ import annotations

import numpy as np
import pytest

from livehead.motion.body import BODY25, BODY25_POINTS, BodyPose, BodyPoseSmoother, PersonKeypoints

FRAME_NS = 33_333_333


def standing(shift: float = 0.0, index: int = 0) -> BodyPose:
    points = np.random.default_rng(0).uniform(-0.6, 0.6, (1, BODY25_POINTS, 2)).astype(np.float32)
    sure = np.ones((1, BODY25_POINTS), np.float32)
    return BodyPose(BODY25, points + np.float32(shift), np.zeros_like(sure), sure, index * FRAME_NS)


def test_a_still_body_trembles_less_and_a_moving_one_is_followed() -> None:
    smoother, chance = BodyPoseSmoother(), np.random.default_rng(1)
    given, shown = [], []
    for index in range(60):
        pose = standing(float(chance.normal(0, 0.003)), index)
        given.append(pose.value)
        shown.append(smoother.smooth(pose).value)
    trembling = [float(np.abs(np.diff(poses[20:], axis=0)).mean()) for poses in (given, shown)]
    assert trembling[1] < 0.5 * trembling[0]
    for index in range(60, 75):
        pose = standing(0.04 * (index - 59), index)
        moved = smoother.smooth(pose)
    assert np.abs(moved.value - pose.value).max() < 0.03
    np.testing.assert_array_equal(moved.confidence, pose.confidence)


def test_an_unseen_pose_passes_and_ends_what_was_before() -> None:
    smoother = BodyPoseSmoother()
    smoother.smooth(standing())
    lost = standing().as_unseen(FRAME_NS)
    assert not smoother.smooth(lost).seen
    there = standing(0.5, 2)
    np.testing.assert_array_equal(smoother.smooth(there).value, there.value)


def test_shapes_are_checked() -> None:
    nothing = np.zeros((1, 25, 2), np.float32)
    with pytest.raises(ValueError, match="confidence of body25"):
        BodyPose(BODY25, nothing, None, np.zeros(1, np.float32), 0)


def test_a_person_is_told_in_another_size_of_the_picture_and_what_is_missing_stays_so() -> None:
    pose = np.zeros((25, 3), np.float32)
    pose[0] = (9.5, 4.5, 0.8)
    person = PersonKeypoints(BODY25, pose, 0.5).rescale((2.0, 3.0))
    assert person.pose[0] == pytest.approx([19.5, 14.5, 0.8])
    assert not person.pose[1:].any()
    assert person.face.shape == (0, 3)
