"""The performer comes and goes; the avatar never jumps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from livehead.motion.face.face_rig import FaceControls, FaceRig
from livehead.motion.face.torso import rest_torso_points
from livehead.motion.keypoints import Keypoints
from livehead.motion.synthesis.idle import IdleMotion
from livehead.motion.synthesis.idle_blend import IdleBlend

FRAME_NS = 33_333_333
LARGEST_STEP = 0.14  # of the distance to go: the steepest part of a fade of 0.35 s, a frame of 1/30 s


def steps(source: Keypoints, seen: list[bool], poses: list[FaceControls]) -> tuple[np.ndarray, list[Keypoints]]:
    presence, rig = IdleBlend(IdleMotion(source)), FaceRig(source)
    shown = []
    for i, (here, pose) in enumerate(zip(seen, poses, strict=True)):
        live = rig.pose_face(pose, i * FRAME_NS)
        live = live if here else replace(live, confidence=np.zeros(1, np.float32))
        shown.append(presence.apply(live, i * FRAME_NS))
    nose = np.array([each.value[0, 4] for each in shown])
    return np.linalg.norm(np.diff(nose, axis=0), axis=1), shown


def test_leaving_and_coming_back_elsewhere_makes_no_jump(source: Keypoints) -> None:
    away, back = FaceControls(right=0.3), FaceControls(right=-0.3, down=0.1)
    taken, shown = steps(source, [True] * 20 + [False] * 30 + [True] * 30, [away] * 50 + [back] * 30)
    assert taken.max() < LARGEST_STEP * 0.4
    np.testing.assert_allclose(shown[-1].value, FaceRig(source).pose_face(back, 0).value, atol=1e-5)


def test_idle_is_reached_within_half_a_second(source: Keypoints) -> None:
    _, shown = steps(source, [True] * 20 + [False] * 20, [FaceControls(right=0.3)] * 40)
    gone = 20 + round(0.5 * 30)
    np.testing.assert_allclose(shown[gone].value, IdleMotion(source).motion_at(gone * FRAME_NS).value, atol=1e-5)


def test_coming_back_in_the_middle_of_the_fade_makes_no_jump(source: Keypoints) -> None:
    taken, _ = steps(
        source,
        [True] * 20 + [False] * 9 + [True] * 20,
        [FaceControls(right=0.3)] * 29 + [FaceControls(right=-0.3)] * 20,
    )
    assert taken.max() < LARGEST_STEP * 0.65


def test_a_face_missed_for_two_frames_is_held_not_left(source: Keypoints) -> None:
    taken, _ = steps(source, [True] * 20 + [False] * 3 + [True] * 20, [FaceControls(right=0.3)] * 43)
    assert taken.max() == 0


def test_confidence_and_time_are_those_of_the_live_motion(source: Keypoints) -> None:
    _, shown = steps(source, [True, False], [FaceControls(), FaceControls()])
    assert [each.seen for each in shown] == [True, False]
    assert shown[1].captured_ns == FRAME_NS


def with_torso(motion: Keypoints, right: float) -> Keypoints:
    points = rest_torso_points(motion.value[0])[None] + np.array([right, 0], np.float32)
    return replace(motion, torso=points.astype(np.float32))


def test_a_torso_that_leant_comes_to_rest_without_a_jump(source: Keypoints) -> None:
    presence, rig = IdleBlend(IdleMotion(source)), FaceRig(source)
    places = []
    for i in range(60):
        live = with_torso(rig.pose_face(FaceControls(), i * FRAME_NS), 0.2)
        live = live if i < 30 else replace(live, confidence=np.zeros(1, np.float32))
        shown = presence.apply(live, i * FRAME_NS).torso
        assert shown is not None
        places.append(shown[0, 0, 0] - rest_torso_points(source.value[0])[0, 0])
    assert np.abs(np.diff(places)).max() < 0.15 * 0.2
    assert abs(places[29] - 0.2) < 1e-5
    assert abs(places[-1]) < 1e-5


def test_the_torso_of_a_driver_that_knows_none_stays_unknown_while_nobody_is_there(source: Keypoints) -> None:
    _, shown = steps(source, [True] * 10 + [False] * 30, [FaceControls()] * 40)
    assert {each.torso is None for each in shown} == {True}
