"""The camera leads, the voice takes over, and nobody sees a seam."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from livehead.bench.voice_timing import synthesize_babble
from livehead.clock import NS
from livehead.drivers.face import FaceDriver
from livehead.drivers.face_voice import FaceVoiceDriver
from livehead.drivers.voice import VoiceDriver
from livehead.frames import AudioFrame, Image, VideoFrame
from livehead.interfaces import DriverInputs
from livehead.models.voice.build import load_voice_model
from livehead.motion.keypoints import Array, Keypoints
from livehead.motion.retarget.calibration import NeutralCalibration
from livehead.motion.retarget.transfer import MotionTransfer
from livehead.motion.synthesis.idle_blend import IdleBlend
from livehead.motion.synthesis.rigid_idle import make_idle_motion
from livehead.motion.synthesis.voice_fallback import VoiceFallback
from tests.fixtures.occlusions import paint_mask

RATE, FPS = 16_000, 30
LARGEST_STEP = 0.03
"""Of any point between two pictures, in the unit of key points: 4 pixels of 256, as fast speech moves a lip."""


class Avatar:
    """What the animator does with a motion, without drawing it."""

    def __init__(self, source: Keypoints, driver: FaceVoiceDriver) -> None:
        self._transfer = MotionTransfer(source)
        speaking = MotionTransfer(source, calibration=NeutralCalibration(source))
        fallback = VoiceFallback(driver.unseen_motion, speaking, make_idle_motion(source))
        self._presence = IdleBlend(fallback, source)

    @property
    def left_to_the_voice(self) -> bool:
        return self._presence.is_idle

    def show(self, motion: Keypoints) -> Array:
        live = self._transfer.apply(motion) if motion.seen else motion
        return self._presence.apply(live, motion.captured_ns).points3d()[0]


@pytest.fixture
def driver(source: Keypoints) -> FaceVoiceDriver:
    return FaceVoiceDriver(FaceDriver(), VoiceDriver(source, load_voice_model()))


def at(number: int, picture: Image | None, sound: Array) -> DriverInputs:
    now_ns = round(number * NS / FPS)
    end = round((number + 1) * RATE / FPS)
    start = max(end - RATE, 0)
    audio = AudioFrame(sound[None, start:end], RATE, start, start * NS // RATE)
    frame = None if picture is None else VideoFrame(picture, number, Fraction(1, FPS), now_ns)
    return DriverInputs(frame, audio, now_ns)


@pytest.mark.parametrize("lost", ["no face", "no frame"])
def test_from_face_to_voice_and_back_nothing_jumps(
    source: Keypoints, driver: FaceVoiceDriver, picture: Image, lost: str
) -> None:
    sound = synthesize_babble(5.0)
    avatar = Avatar(source, driver)
    empty = np.zeros_like(picture) if lost == "no face" else None
    shown, alone = [], []
    for number in range(100):
        seen = picture if number < 30 or number >= 70 else empty
        shown.append(avatar.show(driver.estimate(at(number, seen, sound))))
        alone.append(avatar.left_to_the_voice)
    assert not any(alone[2:30])
    assert all(alone[40:70])
    assert not any(alone[75:])
    steps = np.linalg.norm(np.diff(np.stack(shown), axis=0)[..., :2], axis=-1).max(axis=1)
    assert steps[1:].max() < LARGEST_STEP


def test_the_voice_speaks_while_there_is_no_face(source: Keypoints, driver: FaceVoiceDriver) -> None:
    avatar, sound = Avatar(source, driver), synthesize_babble(3.0)
    shown = np.stack([avatar.show(driver.estimate(at(number, None, sound))) for number in range(80)])
    apart = np.linalg.norm(shown[:, 13, :2] - shown[:, 14, :2], axis=1)
    assert apart.max() > 0.02


def test_a_frame_now_and_then_is_a_slow_camera_and_not_a_lost_face(driver: FaceVoiceDriver, picture: Image) -> None:
    sound = synthesize_babble(2.0)
    motions = [driver.estimate(at(number, picture if number % 3 == 0 else None, sound)) for number in range(30)]
    assert all(motion.seen for motion in motions[3:])


def test_behind_a_mask_the_mouth_is_the_voices_and_the_head_is_the_cameras(
    source: Keypoints, driver: FaceVoiceDriver, picture: Image
) -> None:
    avatar, sound, masked = Avatar(source, driver), synthesize_babble(5.0), paint_mask(picture, source)
    shown, motions = [], []
    for number in range(130):
        motions.append(driver.estimate(at(number, masked if 30 <= number < 100 else picture, sound)))
        shown.append(avatar.show(motions[-1]))
    assert all(motion.seen for motion in motions[3:])
    assert not avatar.left_to_the_voice
    points = np.stack(shown)
    opened = np.linalg.norm(points[:, 13, :2] - points[:, 14, :2], axis=1)
    assert np.ptp(opened[50:100]) > 3 * np.ptp(opened[10:30])
    eyes = points[:, [33, 263], :2]
    assert np.abs(eyes[50:100] - eyes[10]).max() < 0.05
    steps = np.linalg.norm(np.diff(points, axis=0)[..., :2], axis=-1).max(axis=1)
    steps[[29, 99]] = 0  # no mask comes in a single frame; the tracker itself leaps there
    assert steps[3:].max() < LARGEST_STEP
    np.testing.assert_allclose(opened[-1], opened[20], atol=0.01)


def test_before_any_inputs_the_voice_says_nothing(driver: FaceVoiceDriver) -> None:
    assert driver.has_unseen_motion
    assert driver.unseen_motion() is None
    driver.estimate(at(0, None, synthesize_babble(1.0)))
    assert driver.unseen_motion() is not None
