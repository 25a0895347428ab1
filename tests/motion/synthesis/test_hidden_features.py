"""Where lips or eyes are hidden, idle motion or the voice moves those of the avatar, and nothing jumps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from livehead.motion.face.eyes import eye_aperture
from livehead.motion.face.face_rig import FaceControls, FaceRig
from livehead.motion.face.head import fit_head_motion
from livehead.motion.face.lips import lip_gaps
from livehead.motion.face.mesh import FACE_MESH
from livehead.motion.keypoints import FaceSighting, Keypoints
from livehead.motion.synthesis.hidden_features import HiddenFeatures
from livehead.motion.synthesis.idle_blend import IdleBlend

FRAME_NS = 33_333_333


class FixedMotion:
    """Idle motion that stands still in one pose, as a voice that holds a vowel."""

    def __init__(self, source: Keypoints, pose: FaceControls) -> None:
        self._rig, self._pose = FaceRig(source), pose

    def motion_at(self, now_ns: int) -> Keypoints:
        return self._rig.pose_face(self._pose, now_ns)


def live(source: Keypoints, pose: FaceControls, *, lips: float = 0.0, eyes: float = 0.0, now_ns: int = 0) -> Keypoints:
    sighting = FaceSighting(lips_hidden=lips, eyes_hidden=eyes)
    return replace(FaceRig(source).pose_face(pose, now_ns), sighting=sighting)


def unturned(source: Keypoints, motion: Keypoints) -> np.ndarray:
    points = motion.points3d()[0]
    return fit_head_motion(source.points3d()[0], points).inverse().apply(points)


def test_hidden_lips_are_those_of_the_voice_on_the_head_that_is_seen(source: Keypoints) -> None:
    guessed = live(source, FaceControls(yaw=15, roll=5, right=0.1, jaw=0.1), lips=1.0)
    voice = FaceRig(source).pose_face(FaceControls(yaw=-3, jaw=0.8), 0)
    shown = HiddenFeatures(source).replace_hidden(guessed, voice)
    spoken = lip_gaps(unturned(source, voice))
    np.testing.assert_allclose(lip_gaps(unturned(source, shown)), spoken, atol=0.004)
    eyes = np.concatenate([FACE_MESH.right_eye.opening, FACE_MESH.left_eye.opening, FACE_MESH.right_eye.brow])
    np.testing.assert_array_equal(shown.value[:, eyes], guessed.value[:, eyes])


def test_hidden_eyes_are_those_of_idle_motion_and_the_mouth_stays(source: Keypoints) -> None:
    guessed = live(source, FaceControls(yaw=-10, jaw=0.7), eyes=1.0)
    shown = HiddenFeatures(source).replace_hidden(guessed, FaceRig(source).pose_face(FaceControls(blink=1), 0))
    for eye in (FACE_MESH.right_eye, FACE_MESH.left_eye):
        assert eye_aperture(unturned(source, shown), eye) < 0.3 * eye_aperture(unturned(source, guessed), eye)
    np.testing.assert_array_equal(shown.value[:, FACE_MESH.mouth.lips], guessed.value[:, FACE_MESH.mouth.lips])


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_half_hidden_is_halfway_and_nothing_hidden_changes_nothing(source: Keypoints, share: float) -> None:
    guessed = live(source, FaceControls(jaw=0.0), lips=share)
    voice = FaceRig(source).pose_face(FaceControls(jaw=1.0), 0)
    shown = HiddenFeatures(source).replace_hidden(guessed, voice)
    chin = (shown.value - guessed.value)[0, FACE_MESH.chin, 1]
    all_of_it = (voice.value - guessed.value)[0, FACE_MESH.chin, 1]
    assert chin == pytest.approx(share * all_of_it, rel=0.1, abs=1e-6)


def test_a_mask_that_comes_and_goes_moves_the_mouth_without_a_jump(source: Keypoints) -> None:
    blend = IdleBlend(FixedMotion(source, FaceControls(jaw=0.9)), source)
    shares = [0.0] * 20 + [min(step / 7, 1.0) for step in range(30)] + [max(1 - step / 7, 0.0) for step in range(30)]
    shown = [
        blend.apply(live(source, FaceControls(), lips=share, now_ns=number * FRAME_NS), number * FRAME_NS)
        for number, share in enumerate(shares)
    ]
    gaps = np.array([lip_gaps(motion.points3d()[0]).max() for motion in shown[12:]])
    rest = gaps[0]
    assert gaps[25] > rest + 0.03
    assert gaps[-1] == pytest.approx(rest, abs=1e-4)
    assert np.abs(np.diff(gaps)).max() < 0.25 * (gaps.max() - rest)
