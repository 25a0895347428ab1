import cv2
import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from livehead.assembly.live_avatar import build_live_avatar, initial_calibration, resolve_driver_name
from livehead.assembly.model_factories import create_voice_driver
from livehead.assembly.synthetic_performer import ASTRONAUT_PHOTO, bundled_portrait
from livehead.avatars.cache import AvatarCache
from livehead.bench.voice_timing import synthesize_babble
from livehead.config import RunSettings
from livehead.drivers.face import FaceDriver
from livehead.drivers.face_voice import FaceVoiceDriver
from livehead.drivers.voice import VoiceDriver
from livehead.frames import AudioFrame
from livehead.interfaces import DriverInputs
from livehead.models.voice.build import load_voice_model


@pytest.mark.parametrize(
    ("spec", "model", "expected"),
    [
        ("auto", "warp", "face"),
        ("auto", "auto", "face"),
        ("auto", "dagan", "dagan:dagan"),
        ("auto", "dagan-spade", "dagan:dagan-spade"),
        ("dagan", "dagan-spade", "dagan:dagan-spade"),
        ("dagan", "warp", "dagan"),
        ("dagan:dagan", "dagan-spade", "dagan:dagan"),
        ("face", "dagan", "face"),
        ("motion:x.npz", "dagan", "motion:x.npz"),
    ],
)
def test_a_model_gets_the_driver_of_its_own_points_unless_another_is_named(spec, model, expected):
    assert resolve_driver_name(spec, model) == expected


def test_eyes_and_renderer_share_a_precision():
    assert resolve_driver_name("auto", "dagan", "fp32") == "dagan:dagan/fp32"
    assert resolve_driver_name("auto", "warp", "fp32") == "face"


def test_a_voice_is_transferred_against_the_avatar_s_own_face():
    portrait = bundled_portrait(ASTRONAUT_PHOTO)
    driver = create_voice_driver(portrait)
    assert initial_calibration(driver).neutral is portrait.motion
    still = driver.estimate(DriverInputs(None, None, 0))
    assert driver.motion_set == still.set == portrait.motion.set


def test_while_no_face_is_seen_the_avatar_speaks_what_is_heard():
    portrait = bundled_portrait(ASTRONAUT_PHOTO)
    settings = RunSettings(model="warp", render_size=128)
    driver = FaceVoiceDriver(FaceDriver(), VoiceDriver(portrait.motion, load_voice_model()))
    company = build_live_avatar(settings, [portrait], driver, AvatarCache(), size=(128, 128))
    assert len(company.transfers) == 2  # so that gains change what is seen and what is heard
    sound = synthesize_babble(1.0)
    pictures = []
    for end in range(1600, len(sound), 1600):
        audio = AudioFrame(sound[None, :end], 16_000, 0, 0)
        pictures.append(company.animator.animate(DriverInputs(None, audio, end * 62_500)).astype(int))
    assert max(np.abs(picture - pictures[0]).max() for picture in pictures) > 20


def test_no_library_keeps_threads_that_wait_busily_beside_a_live_avatar():
    threadpool_limits(2, user_api="blas")
    cv2.setNumThreads(2)
    build_live_avatar(
        RunSettings(model="warp", render_size=64), [bundled_portrait(ASTRONAUT_PHOTO)], FaceDriver(), AvatarCache()
    )
    assert cv2.getNumThreads() == 1
    assert {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"} == {1}
