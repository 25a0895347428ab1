"""Recordings on the server: whole files, one at a time, and a full disk ends one without ending the call."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from livehead.clock import now_ns
from livehead.errors import SinkError
from livehead.frames import AudioFrame, VideoFrame
from livehead.server import recorder as module
from livehead.server.recorder import SessionRecorder
from livehead.sinks.file import FileSink


def picture(number: int) -> VideoFrame:
    return VideoFrame(np.full((64, 64, 3), number * 9, np.uint8), number * 3000, Fraction(1, 90_000), now_ns())


def nothing(error: SinkError | None) -> None:
    raise AssertionError(f"the recording ended by itself: {error}")


async def test_what_is_sent_while_recording_is_in_the_file_and_nothing_else(tmp_path: Path) -> None:
    async with SessionRecorder(tmp_path, 30.0, nothing) as recorder:
        await recorder.send(picture(0))
        await recorder.start()
        assert recorder.recording
        for number in range(5):
            await recorder.send(picture(number))
            await recorder.send(AudioFrame(np.zeros((1, 960), np.float32), 48_000, number * 960, now_ns()))
        await recorder.stop()
        await recorder.send(picture(9))
        assert recorder.finished_path is not None
        with av.open(str(recorder.finished_path)) as film:
            assert sum(1 for _ in film.decode(video=0)) == 5


async def test_a_new_recording_takes_the_place_of_the_last(tmp_path: Path) -> None:
    async with SessionRecorder(tmp_path, 30.0, nothing) as recorder:
        for _ in range(2):
            await recorder.start()
            await recorder.send(picture(1))
            await recorder.stop()
        assert recorder.finished_path == tmp_path / "2.mp4"
    assert not (tmp_path / "1.mp4").exists()


async def test_a_full_disk_ends_the_recording_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(self: FileSink, frame: VideoFrame) -> None:
        raise SinkError("the disk is full", "free some space")

    ends: list[SinkError | None] = []
    async with SessionRecorder(tmp_path, 30.0, ends.append) as recorder:
        await recorder.start()
        monkeypatch.setattr(FileSink, "send", full)
        await recorder.send(picture(0))
        assert not recorder.recording
        assert [str(error) for error in ends] == ["the disk is full: free some space"]
        await recorder.send(picture(1))


async def test_a_recording_ends_after_its_longest_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_RECORDING_S", 0)
    ends: list[SinkError | None] = []
    async with SessionRecorder(tmp_path, 30.0, ends.append) as recorder:
        await recorder.start()
        await recorder.send(picture(0))
        assert ends == [None]
        assert recorder.finished_path is not None


async def test_no_recording_begins_or_goes_on_where_the_disk_is_nearly_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends: list[SinkError | None] = []
    async with SessionRecorder(tmp_path, 30.0, ends.append) as recorder:
        await recorder.start()
        await recorder.send(picture(0))
        monkeypatch.setattr(module, "MIN_FREE_BYTES", 1 << 60)
        monkeypatch.setattr(module, "CHECK_INTERVAL_NS", 0)
        await recorder.send(picture(1))
        assert not recorder.recording
        assert recorder.finished_path is not None
        with pytest.raises(SinkError, match="too little room"):
            await recorder.start()
    assert "too little room" in str(ends[0])


async def test_a_page_learns_no_path_of_the_server(tmp_path: Path) -> None:
    async with SessionRecorder(tmp_path, 30.0, nothing) as recorder:
        (tmp_path / "1.mp4").mkdir()
        with pytest.raises(SinkError) as refusal:
            await recorder.start()
    assert "/" not in str(refusal.value)


async def test_a_page_learns_no_path_when_a_recording_ends_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(self: FileSink, frame: VideoFrame) -> None:
        raise SinkError(f"cannot write {tmp_path}/1.mp4 (No space left on device)", f"make room in {tmp_path}")

    ends: list[SinkError | None] = []
    async with SessionRecorder(tmp_path, 30.0, ends.append) as recorder:
        await recorder.start()
        monkeypatch.setattr(FileSink, "send", full)
        await recorder.send(picture(0))
    assert "/" not in str(ends[0])
