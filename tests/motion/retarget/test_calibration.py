"""The neutral face is found without a button, improved, and changed without a jump."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from livehead.errors import ConfigError
from livehead.motion.face.face_rig import FaceControls, FaceRig
from livehead.motion.keypoints import Keypoints
from livehead.motion.retarget.calibration import NeutralCalibration, find_best_neutral

FRAME_NS = 33_333_333
CALM = FaceControls()
POOR = [FaceControls(yaw=25), FaceControls(blink=1), FaceControls(jaw=0.8), FaceControls(look_right=0.2)]


@pytest.fixture(scope="module")
def rig(source: Keypoints) -> FaceRig:
    return FaceRig(source)


def play(calibration: NeutralCalibration, rig: FaceRig, poses: list[FaceControls], start: int = 0) -> list[Keypoints]:
    return [calibration.observe(rig.pose_face(pose, (start + i) * FRAME_NS)) for i, pose in enumerate(poses)]


def test_the_first_face_is_the_neutral_at_once(rig: FaceRig) -> None:
    first = rig.pose_face(POOR[0], 0)
    np.testing.assert_array_equal(NeutralCalibration().observe(first).value, first.value)


@pytest.mark.parametrize("poor", POOR, ids=["turned", "blinking", "speaking", "glancing"])
def test_a_calmer_face_takes_its_place(rig: FaceRig, poor: FaceControls) -> None:
    # Eyes open for a moment at first: what a blink is, is known only then.
    neutral = play(NeutralCalibration(), rig, [FaceControls(yaw=30)] + [poor] * 10 + [CALM] * 20)[-1]
    np.testing.assert_allclose(neutral.value, rig.pose_face(CALM, 0).value, atol=1e-5)


def test_a_poorer_face_does_not(rig: FaceRig) -> None:
    neutral = play(NeutralCalibration(), rig, [CALM] * 5 + POOR * 5)[-1]
    np.testing.assert_allclose(neutral.value, rig.pose_face(CALM, 0).value, atol=1e-5)


def test_no_change_of_the_neutral_is_a_jump(rig: FaceRig) -> None:
    calibration = NeutralCalibration()
    path = play(calibration, rig, [FaceControls(yaw=25)] * 10 + [CALM] * 100)
    calibration.restart()
    path += play(calibration, rig, [FaceControls(right=0.2)] * 30, start=110)
    steps = np.abs(np.diff([each.value for each in path], axis=0)).max(axis=(1, 2, 3))
    whole = np.abs(path[-1].value - path[0].value).max()
    assert steps.max() < 0.2 * whole


def test_after_a_restart_the_face_of_that_moment_counts(rig: FaceRig) -> None:
    calibration = NeutralCalibration()
    play(calibration, rig, [CALM] * 100)
    calibration.restart()
    neutral = play(calibration, rig, [FaceControls(pitch=10, right=0.1)] * 12, start=100)[-1]
    np.testing.assert_allclose(neutral.value, rig.pose_face(FaceControls(pitch=10, right=0.1), 0).value, atol=1e-5)


def test_it_comes_back_from_a_profile(rig: FaceRig) -> None:
    calibration = NeutralCalibration()
    play(calibration, rig, [CALM] * 3)
    again = NeutralCalibration.from_json(json.loads(json.dumps(calibration.to_json())))
    neutral = play(again, rig, [FaceControls(yaw=5)] * 90)[-1]
    np.testing.assert_allclose(neutral.value, rig.pose_face(CALM, 0).value, atol=1e-4)


@pytest.mark.parametrize("saved", [{}, {"set": "mesh478", "value": "x", "depth": None, "jacobian": None}])
def test_a_broken_profile_is_refused(saved: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        NeutralCalibration.from_json(saved)


def test_the_best_of_a_recording_is_the_calm_one_wherever_it_is(rig: FaceRig) -> None:
    recording = [rig.pose_face(pose, i * FRAME_NS) for i, pose in enumerate([*POOR, CALM, CALM, *POOR])]
    best = find_best_neutral(recording)
    assert best is not None
    np.testing.assert_array_equal(best.value, rig.pose_face(CALM, 0).value)


def test_a_recording_without_a_face_has_no_neutral() -> None:
    assert find_best_neutral([]) is None


def test_the_neutral_torso_is_eased_saved_and_loaded(rig: FaceRig) -> None:
    first, second = (
        replace(rig.pose_face(pose, at), torso=np.full((1, 3, 2), place, np.float32))
        for pose, at, place in ((POOR[0], 0, 0.0), (CALM, 40 * FRAME_NS, 0.4))
    )
    calibration = NeutralCalibration()
    calibration.observe(first)
    eased = [calibration.observe(replace(second, captured_ns=(40 + i) * FRAME_NS)).torso for i in range(20)]
    places = [float(each[0, 0, 0]) for each in eased if each is not None]
    assert len(places) == 20
    assert np.abs(np.diff(places)).max() < 0.1
    assert places[-1] == pytest.approx(0.4)
    saved = json.loads(json.dumps(calibration.to_json()))
    neutral = NeutralCalibration.from_json(saved).neutral
    assert neutral is not None
    assert neutral.torso is not None
    np.testing.assert_allclose(neutral.torso, 0.4, atol=1e-5)


def test_a_neutral_that_was_saved_before_torsos_were_known_is_read(rig: FaceRig) -> None:
    saved = NeutralCalibration(rig.pose_face(CALM, 0)).to_json()
    assert saved is not None
    del saved["torso"]
    neutral = NeutralCalibration.from_json(saved).neutral
    assert neutral is not None
    assert neutral.torso is None
