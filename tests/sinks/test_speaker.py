"""A real PulseAudio server: what is played on a null sink is recorded from its other end, on the same clock."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

from livehead.bench.harness.pulseaudio_server import INSTALL_REMEDY, find_missing_package
from livehead.errors import SinkError

needs_pulse = pytest.mark.skipif(find_missing_package() is not None, reason=f"needs {INSTALL_REMEDY}")

# PortAudio looks for devices once, when it is loaded: each case needs a process of its own
PRELUDE = """
import asyncio
import faulthandler
import os
import time
import numpy as np
from livehead.capture.microphone import MicrophoneCapture
from livehead.clock import NS, now_ns
from livehead.errors import LiveheadError
from livehead.frames import AudioFrame
from livehead.bench.harness.pulseaudio_server import CABLE, CABLE_END, PulseServer
from livehead.sinks.speaker import SpeakerSink
from livehead.stats import StatsCollector

faulthandler.dump_traceback_later(40, exit=True)  # a call that hangs shows where
RATE = 48_000

def pulses(first, count):
    '''A tone of 50 ms each half second.'''
    n = np.arange(first, first + count)
    return (0.5 * np.sin(2 * np.pi * 1000 * n / RATE) * (n % (RATE // 2) < RATE // 20)).astype(np.float32)

async def speak(sink, start_ns, first_s, last_s, sound=pulses):
    '''As a microphone: blocks of 10 ms, when they are over.'''
    for block in range(round(first_s * 100), round(last_s * 100)):
        await asyncio.sleep(max(start_ns + (block + 1) * NS // 100 - now_ns(), 0) / NS)
        pts = block * 480
        await sink.send(AudioFrame(sound(pts, 480)[None], RATE, pts, start_ns + block * NS // 100))

async def record(frames):
    async with MicrophoneCapture(CABLE_END, rate=RATE, block_ms=10) as microphone:
        while True:
            frames.append(await microphone.recv())

async def ended(recording):
    recording.cancel()
    await asyncio.wait([recording])

def onsets(frames, start_ns):
    '''Seconds since the start at which a tone begins.'''
    samples = np.concatenate([f.samples[0] for f in frames])
    times = np.concatenate([(f.captured_ns - start_ns) / NS + np.arange(f.samples.shape[1]) / RATE for f in frames])
    loud = times[np.abs(samples) > 0.05]
    return loud[np.diff(loud, prepend=-1e9) > 0.2]
"""


def run(code: str) -> str:
    command = [sys.executable, "-c", PRELUDE + textwrap.dedent(code)]
    done = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_pulse
def test_sound_is_heard_as_late_as_the_picture_is_shown_and_follows_when_that_changes() -> None:
    run(
        """
        async def main():
            stats, frames = StatsCollector(), []
            with PulseServer() as server:
                os.environ.update(server.environment)
                recording = asyncio.create_task(record(frames))
                async with SpeakerSink(CABLE, stats=stats) as sink:
                    start_ns = now_ns()
                    for _ in range(200):
                        stats.record_timing("capture_to_sink", 150.0)
                    await speak(sink, start_ns, 0, 5)
                    for _ in range(200):
                        stats.record_timing("capture_to_sink", 300.0)
                    await speak(sink, start_ns, 5, 9)
                await ended(recording)
            at_s = onsets(frames, start_ns)
            late_ms = at_s % 0.5 * 1000
            early = (at_s > 2) & (at_s < 5)
            first, second = stats.recent_timings("sound_out", 100)[8], stats.recent_timings("sound_out", 1)[0]
            assert first >= 150 and second >= 300, "more only where a busy machine makes the sound come later"
            assert abs(np.median(late_ms[early]) - first) < 40, (late_ms, first)
            assert abs(np.median(late_ms[at_s > 7]) - second) < 40, (late_ms, second)
            assert not stats.read_counters().get("sound_out.lost")

        asyncio.run(main())
        """
    )


@needs_pulse
def test_an_output_that_goes_away_goes_on_when_it_is_back() -> None:
    said = run(
        """
        async def main():
            stats, frames = StatsCollector(), []
            server = PulseServer()
            os.environ.update(server.environment)
            server.start()
            for _ in range(200):
                stats.record_timing("capture_to_sink", 100.0)
            async with SpeakerSink(CABLE, stats=stats) as sink:
                start_ns = now_ns()
                await speak(sink, start_ns, 0, 1)
                server.stop()
                await speak(sink, start_ns, 1, 3)
                server.start()
                await speak(sink, start_ns, 3, 5)
                recording = asyncio.create_task(record(frames))
                await speak(sink, start_ns, 5, 7)
                await ended(recording)
            server.stop()
            print(stats.read_counters()["sound_out.lost"], len(onsets(frames, start_ns)) >= 3)

        asyncio.run(main())
        """
    )
    assert said == "1 True\n"


@needs_pulse
def test_without_sound_the_device_is_let_go_and_taken_again() -> None:
    said = run(
        """
        async def main():
            stats, frames = StatsCollector(), []
            for _ in range(200):
                stats.record_timing("capture_to_sink", 100.0)
            with PulseServer() as server:
                os.environ.update(server.environment)
                async with SpeakerSink(CABLE, stats=stats) as sink:
                    start_ns = now_ns()
                    await speak(sink, start_ns, 0, 1)
                    await asyncio.sleep(2)
                    released = not sink.is_playing
                    recording = asyncio.create_task(record(frames))
                    await speak(sink, start_ns, 3, 6)
                    await ended(recording)
            print(released, stats.read_counters().get("sound_out.lost", 0), len(onsets(frames, start_ns)) >= 4)

        asyncio.run(main())
        """
    )
    assert said == "True 0 True\n"


@needs_pulse
@pytest.mark.parametrize("rate", [8000, 96_000])
def test_a_device_of_any_rate_plays(rate: int) -> None:
    run(
        f"""
        async def main():
            stats, frames = StatsCollector(), []
            for _ in range(200):
                stats.record_timing("capture_to_sink", 100.0)
            with PulseServer(rate={rate}) as server:
                os.environ.update(server.environment)
                recording = asyncio.create_task(record(frames))
                async with SpeakerSink(CABLE, stats=stats) as sink:
                    start_ns = now_ns()
                    await speak(sink, start_ns, 0, 4)
                await ended(recording)
            heard = np.concatenate([frame.samples[0] for frame in frames])
            strength = np.abs(np.fft.rfft(heard))
            assert abs(strength.argmax() * RATE / len(heard) - 1000) < 25
            assert len(onsets(frames, start_ns)) >= 4

        asyncio.run(main())
        """
    )


@needs_pulse
def test_an_unknown_name_is_refused_with_the_names_there_are() -> None:
    said = run(
        """
        async def main():
            async with SpeakerSink("Cable 9000", stats=StatsCollector()):
                pass

        with PulseServer() as server:
            os.environ.update(server.environment)
            try:
                asyncio.run(main())
            except LiveheadError as error:
                print(error)
        """
    )
    assert said.startswith("there is no sound output 'Cable 9000': found: livehead_microphone, livehead_cable")
    assert said.count("\n") == 1


def test_without_portaudio_it_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    from livehead.sinks.speaker import list_outputs

    def nothing(name: str) -> None:
        return None

    monkeypatch.setattr("ctypes.util.find_library", nothing)
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    with pytest.raises(SinkError, match="apt-get install libportaudio2"):
        list_outputs()
