"""A real PulseAudio server with a null sink for a microphone; PortAudio reaches it through ALSA's plug-in."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.fixtures.sound_files import write_sound

CONFIG = """
load-module module-null-sink sink_name=vmic rate=16000 channels=1
load-module module-null-sink sink_name=vstereo rate=16000 channels=2
load-module module-remap-source master=vmic.monitor source_name=livehead_mic
load-module module-native-protocol-unix
set-default-source livehead_mic
"""

# PortAudio looks for devices once, when it is loaded: each case needs a process of its own
PRELUDE = """
import asyncio
import faulthandler
import numpy as np
from livehead.capture.microphone import MicrophoneCapture, list_microphones
from livehead.clock import now_ns
from livehead.errors import CaptureError
from livehead.stats import StatsCollector

faulthandler.dump_traceback_later(20, exit=True)  # a call that hangs shows where
"""


def alsa_has_pulse() -> bool:
    return any(Path(folder).glob("**/alsa-lib/libasound_module_pcm_pulse.so") for folder in ("/usr/lib", "/usr/lib64"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    missing = [tool for tool in ("pulseaudio", "paplay") if shutil.which(tool) is None]
    if missing or not alsa_has_pulse():
        pytest.skip("needs apt-get install pulseaudio pulseaudio-utils libportaudio2 libasound2-plugins")
    home = tmp_path_factory.mktemp("pulse")
    home.chmod(0o700)
    (home / "pa.conf").write_text(CONFIG)
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(home), "HOME": str(home)}
    daemon = subprocess.Popen(
        ["pulseaudio", "-n", "-F", str(home / "pa.conf"), "--exit-idle-time=-1", "--daemonize=no"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for _ in range(100):
        if (home / "pulse" / "native").exists():
            break
        time.sleep(0.05)
    else:
        pytest.skip("pulseaudio does not start here")
    yield environment
    daemon.terminate()
    daemon.wait()


def run(code: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """``code`` in a fresh process."""
    command = [sys.executable, "-c", PRELUDE + textwrap.dedent(code)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)


def test_a_tone_comes_in_blocks_of_20_ms_on_the_monotonic_clock(
    server: dict[str, str], write_wav: Callable[..., Path]
) -> None:
    tone = write_wav(hz=1000.0, rate=16_000, channels=1)
    done = run(
        f"""
        async def main():
            async with MicrophoneCapture("pulse", block_ms=20) as microphone:
                words = ["paplay", "--latency-msec=50", "--device=vmic", {str(tone)!r}]
                player = await asyncio.create_subprocess_exec(*words)
                frames, ages = [], []
                heard = 0
                while heard < 9000:
                    frames.append(await microphone.recv())
                    ages.append(now_ns() - frames[-1].captured_ns)
                    heard += int((np.abs(frames[-1].samples) > 0.01).sum())
                await player.wait()
            assert {{(f.samples.shape, f.rate) for f in frames}} == {{((1, 320), 16_000)}}
            assert [f.pts for f in frames] == [320 * i for i in range(len(frames))]
            stamps = np.array([f.captured_ns for f in frames]) / 1e6
            assert 18 < np.median(np.diff(stamps)) < 22, stamps
            assert 0 < np.median(ages) / 1e6 < 100, ages
            sound = np.concatenate([f.samples[0] for f in frames])
            loud = np.abs(sound) > 0.01
            assert abs(np.abs(np.fft.rfft(sound[loud.argmax() :][:8000])).argmax() * 2 - 1000) <= 4
            assert 0.3 < np.abs(sound).max() < 0.7

        asyncio.run(main())
        """,
        server,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("left", "right"), [(1, -1), (0, 1), (1, 1)])
def test_a_voice_on_either_or_in_both_channels_of_a_device_is_heard_at_its_level(
    server: dict[str, str], tmp_path: Path, left: int, right: int
) -> None:
    tone = 0.5 * np.sin(2 * np.pi * 500 * np.arange(16_000) / 16_000)
    path = write_sound(tmp_path / "tone.wav", np.stack([left * tone, right * tone]), 16_000, layout="stereo")
    done = run(
        f"""
        async def main():
            async with MicrophoneCapture("pulse", block_ms=20) as microphone:
                player = await asyncio.create_subprocess_exec("paplay", "--device=vstereo", {str(path)!r})
                heard = []
                while len(heard) < 25:
                    frame = await microphone.recv()
                    if np.abs(frame.samples).max() > 0.1:
                        heard.append(frame.samples)
                await player.wait()
            level = np.abs(np.concatenate(heard[5:], 1)).max()
            assert 0.45 < level < 0.55, level

        asyncio.run(main())
        """,
        {**server, "PULSE_SOURCE": "vstereo.monitor"},
    )
    assert done.returncode == 0, done.stderr


def test_a_device_that_refuses_the_rate_is_resampled(server: dict[str, str]) -> None:
    done = run(
        """
        import sounddevice

        stream = sounddevice.InputStream

        def picky(*, samplerate, **settings):
            if samplerate != 44100:
                raise sounddevice.PortAudioError("Invalid sample rate")
            return stream(samplerate=samplerate, **settings)

        sounddevice.InputStream = picky

        async def main():
            async with MicrophoneCapture("pulse", rate=16_000) as microphone:
                frames = [await microphone.recv() for _ in range(30)]
                given = sum(f.samples.shape[1] for f in frames[:-1])
                assert {f.rate for f in frames} == {16_000}
                assert frames[-1].pts == given
                assert abs(given - 29 * 320) < 40, given
                assert abs(frames[-1].captured_ns - frames[5].captured_ns - 24 * 20_000_000) < 15_000_000

        asyncio.run(main())
        """,
        server,
    )
    assert done.returncode == 0, done.stderr


def test_an_unknown_name_is_refused_with_the_names_there_are(server: dict[str, str]) -> None:
    done = run(
        """
        async def main():
            async with MicrophoneCapture("Studio 9000"):
                pass

        try:
            asyncio.run(main())
        except CaptureError as error:
            print(error)
        print(list_microphones())
        """,
        server,
    )
    assert done.stdout.startswith("there is no microphone 'Studio 9000': found: "), done
    assert done.stdout.count("pulse") == 2


def test_a_part_of_the_name_in_any_case_will_do(server: dict[str, str]) -> None:
    done = run(
        """
        async def main():
            async with MicrophoneCapture("PUL", block_ms=10) as microphone:
                print((await microphone.recv()).samples.shape)

        asyncio.run(main())
        """,
        server,
    )
    assert done.stdout == "(1, 160)\n", done.stderr


def test_a_reader_that_sleeps_loses_the_oldest_blocks_and_they_are_counted(server: dict[str, str]) -> None:
    done = run(
        """
        async def main():
            stats = StatsCollector()
            async with MicrophoneCapture("pulse", block_ms=10, stats=stats) as microphone:
                await microphone.recv()
                await asyncio.sleep(0.75)
                first = await microphone.recv()
            print(stats.read_counters()["microphone.dropped"] > 10, first.pts > 10 * 160)

        asyncio.run(main())
        """,
        server,
    )
    assert done.stdout == "True True\n", done.stderr


def test_a_microphone_that_goes_away_goes_on_when_it_is_back(server: dict[str, str]) -> None:
    """A second server, killed in use; it comes back with another rate."""
    done = run(
        """
        import os
        from livehead.bench.harness.pulseaudio_server import MICROPHONE, PulseServer

        async def main():
            stats = StatsCollector()
            server = PulseServer(rate=48_000)
            os.environ.update(server.environment)
            server.start()
            async with MicrophoneCapture(MICROPHONE, rate=48_000, stats=stats) as microphone:
                before = [await microphone.recv() for _ in range(20)][-1]
                server.stop()
                reading = asyncio.create_task(microphone.recv())
                while not stats.read_counters().get("microphone.lost"):
                    reading = asyncio.create_task(microphone.recv()) if reading.done() else reading
                    await asyncio.sleep(0.05)
                await asyncio.sleep(0.7)
                server.start()
                async with asyncio.timeout(15):
                    after = await reading
                    later = [await microphone.recv() for _ in range(20)][-1]
                assert after.rate == later.rate == 48_000
                jump_s = (after.pts - before.pts) / 48_000
                passed_s = (after.captured_ns - before.captured_ns) / 1e9
                assert jump_s > 0.5 and abs(jump_s - passed_s) < 0.1, (jump_s, passed_s)
                assert later.pts - after.pts == 20 * 960
            print(stats.read_counters()["microphone.lost"])
            server.stop()

        asyncio.run(main())
        """,
        server,
    )
    assert done.stdout == "1\n", done
    assert "it goes on when it is back" in done.stderr


@pytest.mark.parametrize("rate", [8000, 96_000])
def test_a_device_of_any_rate_is_heard_at_ours(
    rate: int, server: dict[str, str], write_wav: Callable[..., Path]
) -> None:
    tone = write_wav(hz=1000.0, rate=16_000, channels=1)
    done = run(
        f"""
        import os
        from livehead.bench.harness.pulseaudio_server import MICROPHONE, PulseServer

        async def main():
            with PulseServer(rate={rate}) as server:
                os.environ.update(server.environment)
                async with MicrophoneCapture(MICROPHONE, rate=48_000) as microphone:
                    player = server.play({str(tone)!r})
                    heard = []
                    while sum(map(len, heard)) < 40_000:
                        block = (await microphone.recv()).samples[0]
                        heard += [block] if np.abs(block).max() > 0.01 or heard else []
                    player.wait()
            sound = np.concatenate(heard)[4800:28_800]
            print(np.abs(np.fft.rfft(sound * np.hanning(24_000))).argmax() * 2)

        asyncio.run(main())
        """,
        server,
    )
    assert done.stdout == "1000\n", done.stderr


def test_without_any_device_it_says_so(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "XDG_RUNTIME_DIR": str(tmp_path),
        "HOME": str(tmp_path),
        "PULSE_SERVER": "unix:/nowhere",
    }
    done = run(
        """
        async def main():
            async with MicrophoneCapture("pulse"):
                pass

        try:
            asyncio.run(main())
        except CaptureError as error:
            print(error)
        """,
        environment,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "microphone" in done.stdout or "PortAudio" in done.stdout
    assert ": " in done.stdout
    assert done.stdout.count("\n") == 1


def test_alsa_says_nothing_about_devices_that_the_machine_lacks(server: dict[str, str]) -> None:
    done = run(
        """
        import ctypes

        list_microphones()
        pcm = ctypes.c_void_p()
        print(ctypes.CDLL("libasound.so.2").snd_pcm_open(ctypes.byref(pcm), b"nonsense", 1, 0))
        """,
        server,
    )
    assert int(done.stdout) < 0
    assert done.stderr == ""


def test_without_portaudio_it_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    from livehead.capture.microphone import list_microphones
    from livehead.errors import CaptureError

    def nothing(name: str) -> None:
        return None

    monkeypatch.setattr("ctypes.util.find_library", nothing)
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    with pytest.raises(CaptureError, match="apt-get install libportaudio2"):
        list_microphones()
