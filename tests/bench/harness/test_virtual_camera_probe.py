"""The far end of a virtual camera."""

from fractions import Fraction

import cv2
import numpy as np
import pytest

from livehead.bench.harness.virtual_camera_probe import BACKEND_NAME, VirtualCameraProbe, VirtualCameraProbeSink
from livehead.clock import now_ns
from livehead.frames import VideoFrame

pyvirtualcam = pytest.importorskip("pyvirtualcam", reason="pyvirtualcam is an optional extra (GPL-2.0)")


@pytest.fixture
def receiver():
    receiver = VirtualCameraProbe()
    receiver.register()
    return receiver


def test_it_notes_the_luma_and_the_moment_of_each_picture(receiver):
    bright = np.full((720, 1280, 3), 200, np.uint8)
    bright[:, :640] = 40
    before = now_ns()
    with pyvirtualcam.Camera(1280, 720, 30, fmt=pyvirtualcam.PixelFormat.I420, backend=BACKEND_NAME) as camera:
        assert camera.native_fmt == pyvirtualcam.PixelFormat.I420
        camera.send(cv2.cvtColor(bright, cv2.COLOR_RGB2YUV_I420))
        camera.send(cv2.cvtColor(255 - bright, cv2.COLOR_RGB2YUV_I420))
    received = receiver.received_frames
    assert before < received.received_ns[0] < received.received_ns[1] < now_ns()
    assert received.thumbnails.shape == (2, 36, 64)
    assert received.thumbnails[0, :, 0].mean() < 60 < 150 < received.thumbnails[0, :, -1].mean()
    assert received.thumbnails[1, :, -1].mean() < 80


async def test_without_pyvirtualcam_a_sink_of_its_own_sees_the_same(receiver):
    picture = np.full((720, 1280, 3), 200, np.uint8)
    picture[:, :640] = 40
    with pyvirtualcam.Camera(1280, 720, 30, fmt=pyvirtualcam.PixelFormat.I420, backend=BACKEND_NAME) as camera:
        camera.send(cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420))
    async with VirtualCameraProbeSink(receiver) as sink:
        await sink.send(VideoFrame(picture, 0, Fraction(1, 30), now_ns()))
    first, second = receiver.received_frames.thumbnails
    assert np.array_equal(first, second)


def test_pictures_that_were_not_converted_are_refused(receiver):
    with (
        pyvirtualcam.Camera(64, 36, 30, fmt=pyvirtualcam.PixelFormat.RGB, backend=BACKEND_NAME) as camera,
        pytest.raises(RuntimeError, match="I420"),
    ):
        camera.send(np.zeros((36, 64, 3), np.uint8))
    assert len(receiver.received_frames.received_ns) == 0
