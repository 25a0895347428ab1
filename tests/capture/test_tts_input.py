from __future__ import annotations

import asyncio
import socket
import stat
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from livehead.audio.ring import AudioRingBuffer
from livehead.capture import tts_socket
from livehead.capture.tts_input import PushedAudioCapture
from livehead.clock import NS, now_ns
from livehead.errors import CaptureError
from livehead.frames import AudioFrame
from livehead.interfaces import EndOfStream

from .conftest import HandClock, rest

unix = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no Unix sockets")


def ones(seconds: float, rate: int = 16_000) -> np.ndarray:
    return np.ones(round(seconds * rate), np.float32)


async def said(speech: PushedAudioCapture, seconds: float) -> np.ndarray:
    """What it says in the next ``seconds``, one number a block: how loud."""
    return np.array([float(np.abs((await speech.recv()).samples).mean()) for _ in range(round(seconds * 100))])


async def connect(path: Path, first: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(first)
    await writer.drain()
    return reader, writer


async def test_what_is_pushed_is_said_in_real_time_and_silence_is_around_it(hand_clock: HandClock) -> None:
    async with PushedAudioCapture(rate=16_000, clock=hand_clock.keeping()) as speech:
        start = hand_clock.now
        assert not (await said(speech, 0.1)).any()
        speech.push(ones(0.5), 16_000)
        loud = await said(speech, 1.0)
        assert (loud[:50] == 1).all()
        assert not loud[50:].any()
        assert hand_clock.now - start == pytest.approx(1.1 * NS)
        block = await speech.recv()
        assert block.pts == round(1.1 * 16_000)
        assert block.captured_ns == start + round(1.1 * NS), "the time at which its first sample was said"


@pytest.mark.parametrize("rate", [8000, 22_050, 24_000, 48_000, 96_000])
async def test_any_rate_layout_and_type_is_taken(rate: int, hand_clock: HandClock) -> None:
    async with PushedAudioCapture(rate=16_000, clock=hand_clock.keeping()) as speech:
        speech.push(np.full((2, rate), 16384, np.int16), rate)
        loud = await said(speech, 1.2)
    assert loud[10:95] == pytest.approx(0.5, abs=1e-3)
    assert abs(loud.sum() / 0.5 - 100) < 1


async def test_what_is_no_sound_becomes_none(hand_clock: HandClock) -> None:
    async with PushedAudioCapture(rate=16_000, clock=hand_clock.keeping()) as speech:
        speech.push(np.array([np.nan, np.inf, -np.inf, 9.0] * 40, np.float32), 16_000)
        assert np.isfinite(await said(speech, 0.02)).all()
        for samples, rate in ((ones(0.1), 7), (ones(0.1), 10**7), (np.zeros((1, 2, 3), np.float32), 16_000)):
            with pytest.raises(ValueError, match="speech is"):
                speech.push(samples, rate)


async def test_no_more_waits_than_a_minute() -> None:
    async with PushedAudioCapture() as speech:
        for _ in range(6):
            speech.push(ones(10), 16_000)
        with pytest.raises(CaptureError, match="as it is spoken"):
            speech.push(ones(1), 16_000)


async def test_clear_is_silence_at_once_and_a_driver_hears_that_another_sound_began(hand_clock: HandClock) -> None:
    ring = AudioRingBuffer()
    async with PushedAudioCapture(rate=16_000, clock=hand_clock.keeping()) as speech:
        speech.push(ones(5), 16_000)
        for _ in range(100):
            ring.put(await speech.recv())
        before = ring.read_newest(hand_clock.now)
        speech.clear()
        ring.put(await speech.recv())
        after = ring.read_newest(hand_clock.now)
        assert before is not None
        assert after is not None
        assert before.samples.min() == 1
        assert not after.samples.any(), "10 ms later nothing is left of it"
        assert after.pts > before.pts + before.samples.shape[1]
        speech.push(ones(0.1), 16_000)
        assert (await said(speech, 0.2)).sum() == pytest.approx(10)


async def test_it_is_pushed_cleared_and_closed_from_other_threads() -> None:
    async with PushedAudioCapture(rate=16_000) as speech:

        def talk() -> None:
            speech.push(ones(30), 16_000)
            time.sleep(0.1)
            speech.clear()
            time.sleep(0.1)
            speech.close()

        thread = threading.Thread(target=talk)
        thread.start()
        frames: list[AudioFrame] = []
        with pytest.raises(EndOfStream):
            await rest(speech, frames)
        thread.join()
    loud = [frame.samples.mean() for frame in frames]
    assert 3 <= sum(loud) <= 20
    assert not any(loud[-5:])


@unix
async def test_a_program_that_writes_faster_than_it_is_spoken_is_made_to_wait(tmp_path: Path) -> None:
    path = tmp_path / "speech"
    async with PushedAudioCapture(path, rate=16_000) as speech:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        _, writer = await connect(path, b"livehead-pcm 16000 1 s16le\n")
        minute = np.full(16_000 * 60, 16384, "<i2").tobytes()
        writer.write(minute)
        loud, most = [], 0.0
        for _ in range(60):
            loud.append(float((await speech.recv()).samples.mean()))
            most = max(most, speech.queued_s)
        assert most < 1.5
        assert sum(loud) > 20
        assert writer.transport.get_write_buffer_size() > len(minute) // 2
        writer.transport.abort()
    assert not path.exists()


@unix
async def test_connections_are_heard_one_after_the_other(tmp_path: Path) -> None:
    path = tmp_path / "speech"
    async with PushedAudioCapture(path, rate=16_000) as speech:
        for level in (8192, 16384):
            _, writer = await connect(path, b"livehead-pcm 16000 1 s16le\n")
            writer.write(np.full(1600, level, "<i2").tobytes()[:-1])  # an odd byte is no sample
            await writer.drain()
            writer.close()
            await asyncio.sleep(0.02)
        loud = await said(speech, 0.5)
    heard = [round(float(level), 2) for level in loud if level > 0.1]
    assert heard[:9] == [0.25] * 9
    assert heard[-9:] == pytest.approx([0.5] * 9, abs=0.02)


@unix
async def test_clear_over_the_socket_ends_what_pushes(tmp_path: Path) -> None:
    path = tmp_path / "speech"
    async with PushedAudioCapture(path, rate=16_000) as speech:
        reader, writer = await connect(path, b"livehead-pcm 16000 1 s16le\n")
        writer.write(np.full(16_000 * 2, 16384, "<i2").tobytes())
        assert (await said(speech, 0.3)).any()
        _, clearing = await connect(path, b"livehead-clear\n")
        await asyncio.sleep(0.05)
        assert not (await said(speech, 0.3))[1:].any()
        assert await reader.read() == b"", "the connection is closed"
        clearing.close()
        writer.close()
        _, again = await connect(path, b"livehead-pcm 16000 1 s16le\n" + np.full(4800, 8192, "<i2").tobytes())
        again.close()
        assert (await said(speech, 0.5)).sum() == pytest.approx(0.25 * 30, rel=0.1)


@unix
@pytest.mark.parametrize(
    "first",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"livehead-pcm 16000 1 f32le\n",
        b"livehead-pcm 99999999 1 s16le\n",
        b"livehead-pcm 16000 0 s16le\n",
        b"livehead-pcm\n",
        b"\xff\xfe\x00\n",
        b"x" * 5000,
    ],
)
async def test_what_is_not_understood_is_answered_with_one_line(tmp_path: Path, first: bytes) -> None:
    path = tmp_path / "speech"
    async with PushedAudioCapture(path, rate=16_000) as speech:
        reader, writer = await connect(path, first)
        answer = await asyncio.wait_for(reader.read(), 2)
        assert answer.startswith(b"error: ")
        assert answer.count(b"\n") == 1
        assert not (await said(speech, 0.1)).any()
        writer.close()


@unix
async def test_too_many_connections_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "speech"
    async with PushedAudioCapture(path):
        waiting = [await connect(path, b"livehead-pcm 16000 1 s16le\n") for _ in range(8)]
        await asyncio.sleep(0.05)
        reader, writer = await connect(path, b"livehead-pcm 16000 1 s16le\n")
        assert (await asyncio.wait_for(reader.read(), 2)).startswith(b"error: too many connections")
        for _, each in [*waiting, (reader, writer)]:
            each.close()


@unix
@pytest.mark.parametrize("first", [b"livehead-pcm 16000 1 s16le\n", b""], ids=["speakers", "silent ones"])
async def test_clear_has_room_whoever_stalls(tmp_path: Path, first: bytes) -> None:
    path = tmp_path / "speech"
    async with PushedAudioCapture(path, rate=16_000) as speech:
        stalling = [await connect(path, first) for _ in range(40)]
        speech.push(ones(5), 16_000)
        reader, writer = await connect(path, b"livehead-clear\n")
        assert await asyncio.wait_for(reader.read(), 2) == b""
        assert speech.queued_s == 0
        for _, each in [*stalling, (reader, writer)]:
            each.close()


@unix
async def test_a_speaker_that_falls_silent_lets_the_next_one_speak_and_goes_on_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tts_socket, "TURN_TIMEOUT_S", 0.2)
    path = tmp_path / "speech"
    async with PushedAudioCapture(path, rate=16_000) as speech:
        _, first = await connect(path, b"livehead-pcm 16000 1 s16le\n" + np.full(800, 8192, "<i2").tobytes())
        await asyncio.sleep(0.05)
        _, second = await connect(path, b"livehead-pcm 16000 1 s16le\n" + np.full(800, 16384, "<i2").tobytes())
        loud = await said(speech, 0.6)
        first.write(np.full(800, 24576, "<i2").tobytes())
        await first.drain()
        later = await said(speech, 0.6)
        first.close()
        second.close()
    assert {round(float(level), 2) for level in loud} >= {0.25, 0.5}
    assert {round(float(level), 2) for level in later} >= {0.75}


async def test_a_port_of_this_machine_will_do_too() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    async with PushedAudioCapture(port, rate=16_000) as speech:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"livehead-pcm 16000 1 s16le\n" + np.full(4800, 16384, "<i2").tobytes())
        writer.close()
        assert (await said(speech, 0.6)).sum() == pytest.approx(15, rel=0.1)
        with pytest.raises(CaptureError, match="another port"):
            async with PushedAudioCapture(port):
                pass


@unix
async def test_a_path_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    async with PushedAudioCapture(tmp_path / "used"):
        for path in (tmp_path / "notes.txt", tmp_path / "none" / "speech", tmp_path / "used"):
            with pytest.raises(CaptureError, match="name a new file"):
                async with PushedAudioCapture(path):
                    pass
    assert (tmp_path / "notes.txt").read_text() == "mine"


@unix
async def test_a_socket_that_a_crash_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "speech"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    async with PushedAudioCapture(path, rate=16_000) as speech:
        start = now_ns()
        assert not (await said(speech, 0.1)).any()
        assert now_ns() - start > 0.09 * NS
