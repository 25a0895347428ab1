"""A real ``cv2.VideoCapture`` that reads a file plays the camera: at its end it refuses, as an unplugged one does.

The real device is driven by ``scripts/test_v4l2.py``.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from livehead.capture.camera import CameraCapture
from livehead.clock import ExponentialBackoff, now_ns
from livehead.errors import CaptureError
from livehead.interfaces import EndOfStream

from .conftest import rest


class PacedFile:
    """A video file that gives its pictures at a camera's pace, ``slowed_fps`` after the first twelve."""

    def __init__(self, path: Path, fps: float, *, promised_fps: float = 0.0, slowed_fps: float = 0.0) -> None:
        self._capture = cv2.VideoCapture(str(path))
        self._fps = fps
        self._slowed_fps = slowed_fps
        self._grabbed = 0
        self.promised_fps = promised_fps
        self.released = False

    def grab(self) -> bool:
        self._grabbed += 1
        time.sleep(1 / (self._slowed_fps if self._slowed_fps and self._grabbed > 12 else self._fps))
        return self._capture.grab()

    def retrieve(self) -> tuple[bool, npt.NDArray[np.uint8]]:
        return self._capture.retrieve()  # type: ignore[return-value]

    def release(self) -> None:
        self.released = True
        self._capture.release()


class Socket:
    """What a camera is plugged into: opens each device in turn, None for an empty socket."""

    def __init__(self, *devices: PacedFile | None) -> None:
        self.devices: Iterator[PacedFile | None] = iter(devices)
        self.tries = 0

    def __call__(self) -> PacedFile | None:
        self.tries += 1
        return next(self.devices, None)


def open_camera(device: int | str = 0, **options: Any) -> CameraCapture:
    """A capture that waits a fraction of a second where an ordinary one waits for seconds."""
    patience = {"first_frame_timeout_s": 0.2, "stall_timeout_s": 0.1, "reopen_backoff": ExponentialBackoff(0.05, 0.05)}
    return CameraCapture(device, **(patience | options))


@pytest.fixture
def clip(write_video: Callable[..., Path]) -> Path:
    red = np.zeros((48, 64, 3), np.uint8)
    red[..., 0] = 200
    return write_video(images=[red] * 60)


async def test_frames_are_rgb_and_stamped_when_they_were_grabbed(clip: Path) -> None:
    begun = now_ns()
    async with open_camera(size=(64, 48), opener=Socket(PacedFile(clip, 100))) as capture:
        frames = [await capture.recv() for _ in range(5)]
    stamps = [begun, *(frame.captured_ns for frame in frames), now_ns()]
    assert stamps == sorted(stamps)
    red, green, blue = frames[0].image.mean(axis=(0, 1))
    assert red > 180
    assert max(green, blue) < 20
    assert capture.status.size == (64, 48)


async def test_a_slow_reader_gets_the_newest_frame_and_the_others_are_counted(clip: Path) -> None:
    async with open_camera(size=(64, 48), opener=Socket(PacedFile(clip, 200))) as capture:
        await asyncio.sleep(0.15)
        frame = await capture.recv()
        assert now_ns() - frame.captured_ns < 100_000_000
        assert capture.dropped >= 5


async def test_an_unplugged_camera_keeps_its_last_frame_says_so_and_comes_back_by_itself(
    clip: Path, write_video: Callable[..., Path]
) -> None:
    short = write_video("short.mp4", images=[np.full((48, 64, 3), 120, np.uint8)] * 8)
    first, second = PacedFile(short, 200), PacedFile(clip, 200)
    notices: list[str] = []
    socket = Socket(first, None, second)
    async with open_camera(2, size=(64, 48), fps=100, on_notice=notices.append, opener=socket) as capture:
        async with asyncio.timeout(5):
            while not (frame := await capture.recv()).attached.get("stale"):
                last = frame
            assert not capture.status.connected
            assert np.array_equal(frame.image, last.image)
            assert frame.captured_ns > last.captured_ns
            while (frame := await capture.recv()).attached.get("stale"):
                pass
        assert frame.image[0, 0, 0] > 180
        assert capture.status.reopened == 1
        assert capture.status.connected
        await asyncio.sleep(0)
    assert first.released
    assert second.released
    assert [text.split(":")[0] for text in notices] == ["camera 2 is gone", "camera 2 is back"]


@pytest.mark.parametrize(("fps", "promised", "slowed"), [(100, 0, 30), (30, 100, 0)])
async def test_a_camera_that_slowed_down_is_reported_once(clip: Path, fps: int, promised: int, slowed: int) -> None:
    notices: list[str] = []
    socket = Socket(PacedFile(clip, fps, promised_fps=promised, slowed_fps=slowed))
    capture = open_camera(size=(64, 48), fps=100, on_notice=notices.append, opener=socket, rate_window=5)
    async with capture:
        for _ in range(25):
            await capture.recv()
    assert len(notices) == 1
    assert "dark room" in notices[0]
    assert re.search(r"gives \d\d of (100|9\d|8\d) frames a second", notices[0])


@pytest.mark.parametrize("promised", [0, 25])
async def test_a_camera_that_has_no_more_frames_than_it_gives_is_not_asked_for_light(clip: Path, promised: int) -> None:
    notices: list[str] = []
    socket = Socket(PacedFile(clip, 25, promised_fps=promised))
    capture = open_camera(size=(64, 48), fps=60, on_notice=notices.append, opener=socket, rate_window=5)
    async with capture:
        for _ in range(15):
            await capture.recv()
    assert notices == []


async def test_another_size_than_requested_is_reported(clip: Path) -> None:
    notices: list[str] = []
    async with open_camera(size=(1280, 720), on_notice=notices.append, opener=Socket(PacedFile(clip, 100))) as capture:
        await capture.recv()
        await capture.recv()
    assert notices == ["camera 0 gives 64x48 instead of 1280x720"]


async def test_a_camera_that_is_absent_is_refused_with_what_there_is() -> None:
    with pytest.raises(CaptureError, match="there is no camera 99") as caught:
        async with open_camera(99):
            pass
    assert "found" in caught.value.remedy
    assert "\n" not in str(caught.value)


async def test_a_camera_that_gives_no_picture_is_called_busy(tmp_path: Path) -> None:
    node = tmp_path / "video0"
    node.touch()
    busy = PacedFile(tmp_path / "nothing.mp4", 100)
    with pytest.raises(CaptureError, match="gives no picture: end the other program"):
        async with open_camera(str(node), opener=Socket(busy)):
            pass
    assert busy.released


async def test_leaving_while_the_first_frame_is_awaited_is_quick(tmp_path: Path) -> None:
    silent = PacedFile(tmp_path / "nothing.mp4", 100)
    capture = open_camera(opener=Socket(silent), first_frame_timeout_s=60.0)
    async with asyncio.timeout(5):
        entering = asyncio.create_task(capture.__aenter__())
        await asyncio.sleep(0.1)
        entering.cancel()
        await asyncio.wait([entering])
    assert entering.cancelled()
    assert silent.released


async def test_an_error_of_the_device_reaches_the_reader(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = PacedFile(clip, 100)
    async with open_camera(size=(64, 48), opener=Socket(device)) as capture:
        await capture.recv()
        monkeypatch.setattr(device, "retrieve", lambda: (True, np.zeros((0, 0, 3), np.uint8)))
        with pytest.raises(CaptureError, match="camera 0 failed"):
            await rest(capture)
    assert device.released


async def test_a_file_that_is_no_camera_is_refused_in_silence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    node = tmp_path / "video0"
    node.write_text("not a camera")
    with pytest.raises(CaptureError, match="cannot be opened"):
        async with open_camera(str(node)):
            pass
    assert capfd.readouterr().err == ""


async def test_a_reader_ends_when_the_camera_is_closed(clip: Path) -> None:
    device = PacedFile(clip, 100)
    async with open_camera(size=(64, 48), opener=Socket(device)) as capture:
        await capture.recv()
    with pytest.raises(EndOfStream):
        await rest(capture)
    assert device.released
