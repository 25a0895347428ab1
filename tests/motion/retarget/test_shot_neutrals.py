"""Each person and shot of a recording has a neutral face of its own, and the change from one to the next is eased."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from livehead.motion.face.face_rig import FaceControls, FaceRig
from livehead.motion.keypoints import FaceSighting, Keypoints, mesh_keypoints
from livehead.motion.retarget.calibration import NeutralCalibration
from livehead.motion.retarget.shot_neutrals import add_shot_neutrals
from livehead.motion.retarget.transfer import MotionTransfer

FRAME_NS = 40_000_000


@pytest.fixture
def rigs(source: Keypoints) -> tuple[FaceRig, FaceRig]:
    """Two persons: the second narrow, with a long face, elsewhere in the picture."""
    points = source.points3d()[0] * np.array([0.6, 1.3, 1], np.float32) + np.array([0.5, 0.1, 0], np.float32)
    return FaceRig(source), FaceRig(mesh_keypoints(points, 1.0, 0))


def shot(rig: FaceRig, performer: int, first: int, frames: int) -> list[Keypoints]:
    """Frames in which the person nods and speaks, and is calm for some in the middle."""
    motions = []
    for frame in range(frames):
        busy = FaceControls(jaw=0.5, yaw=14, pitch=6) if abs(frame - frames // 2) > 3 else FaceControls()
        motion = rig.pose_face(busy, (first + frame) * FRAME_NS)
        motions.append(replace(motion, sighting=FaceSighting(performer)))
    return motions


def test_each_shot_is_measured_against_a_face_of_its_own(source: Keypoints, rigs: tuple[FaceRig, FaceRig]) -> None:
    film = [*shot(rigs[0], 1, 0, 21), *shot(rigs[1], 2, 21, 21), *shot(rigs[0], 3, 42, 21)]
    calibration = NeutralCalibration()
    for index, motion in enumerate(add_shot_neutrals(film, calibration, look_ahead=25)):
        neutral = calibration.observe(motion)
        calm = film[21 * (index // 21) + 10]
        np.testing.assert_array_equal(neutral.value, calm.value)


def test_a_short_look_ahead_still_gives_every_shot_its_own_neutral(
    source: Keypoints, rigs: tuple[FaceRig, FaceRig]
) -> None:
    film = [*shot(rigs[0], 1, 0, 20), *shot(rigs[1], 2, 20, 20)]
    calibration = NeutralCalibration()
    for index, motion in enumerate(add_shot_neutrals(iter(film), calibration, look_ahead=3)):
        assert calibration.observe(motion).performer == 1 + index // 20


def test_motion_that_no_camera_told_of_is_one_shot(source: Keypoints, rigs: tuple[FaceRig, FaceRig]) -> None:
    film = [replace(motion, sighting=None) for motion in shot(rigs[0], 1, 0, 21)]
    calibration = NeutralCalibration()
    for motion in add_shot_neutrals(film, calibration, look_ahead=100):
        np.testing.assert_array_equal(calibration.observe(motion).value, film[10].value)


def test_live_another_person_is_a_new_neutral_at_once_and_a_given_one_is_the_first_persons(
    source: Keypoints, rigs: tuple[FaceRig, FaceRig]
) -> None:
    kept = rigs[0].pose_face(FaceControls(), 0)
    calibration = NeutralCalibration(kept)
    for motion in shot(rigs[0], 1, 0, 21):
        np.testing.assert_array_equal(calibration.observe(motion).value, kept.value)
    first, *rest = shot(rigs[1], 2, 21, 90)
    np.testing.assert_array_equal(calibration.observe(first).value, first.value)
    for motion in rest:
        found = calibration.observe(motion)
    assert np.abs(found.value - rigs[1].pose_face(FaceControls(), 0).value).max() < 0.01


def test_a_cut_to_another_person_makes_no_jump(source: Keypoints, rigs: tuple[FaceRig, FaceRig]) -> None:
    film = [*shot(rigs[0], 1, 0, 25), *shot(rigs[1], 2, 25, 25)]
    calm = [motion for index, motion in enumerate(film) if abs(index % 25 - 12) > 3]
    calibration = NeutralCalibration()
    transfer = MotionTransfer(source, calibration=calibration)
    shown = [transfer.apply(motion).points3d()[0] for motion in add_shot_neutrals(calm, calibration, 100)]
    steps = [float(np.abs(after - before).max()) for before, after in zip(shown, shown[1:], strict=False)]
    assert steps[17] < 0.01
    assert max(steps) < 0.08
    np.testing.assert_allclose(shown[-1], shown[-2], atol=1e-5)


@pytest.mark.parametrize(("yaw", "replaced"), [(4.0, False), (40.0, True)])
def test_only_a_poor_neutral_gives_way_to_a_calm_face_that_comes_after_the_look_ahead(
    source: Keypoints, yaw: float, replaced: bool
) -> None:
    rig, calibration = FaceRig(source), NeutralCalibration()
    turned = [rig.pose_face(FaceControls(yaw=yaw), number * 40_000_000) for number in range(20)]
    calm = [rig.pose_face(FaceControls(), number * 40_000_000) for number in range(20, 80)]
    used = [calibration.observe(each) for each in add_shot_neutrals([*turned, *calm], calibration, 10)]
    np.testing.assert_array_equal(used[0].value, turned[9].value if replaced else used[-1].value)
    if replaced:
        np.testing.assert_allclose(used[-1].value, calm[0].value, atol=1e-3)
        steps = [np.abs(b.value - a.value).max() for a, b in zip(used[:-1], used[1:], strict=True)]
        assert max(steps) < 0.03, "it is eased"
