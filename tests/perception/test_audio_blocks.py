"""The sound of whatever file there is, a block at a time."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from livehead.errors import CaptureError
from livehead.frames import Samples
from livehead.perception.audio_blocks import count_channels, read_audio_blocks, read_channel_blocks
from tests.fixtures.sound_files import decibels, rewrite_packets, write_sound

RATE = 16_000
SECONDS = 2.0
KINDS = {
    "wav": ("pcm_s16le", "s16", "mono", 16_000),
    "stereo.wav": ("pcm_s16le", "s16", "stereo", 44_100),
    "8k.wav": ("pcm_s16le", "s16", "mono", 8_000),
    "96k-24.wav": ("pcm_s24le", "s32", "stereo", 96_000),
    "mp3": ("libmp3lame", "fltp", "stereo", 44_100),
    "ogg": ("libopus", "flt", "stereo", 48_000),
    "m4a": ("aac", "fltp", "mono", 44_100),
}


def write(path: Path, blocks: Iterator[Samples], codec: str, kind: str, layout: str, rate: int) -> Path:
    """Blocks [channels, N] in [-1, 1] as a file."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        resampler = av.AudioResampler(format=kind, layout=layout, rate=rate, frame_size=stream.frame_size or 0)
        given = 0
        for samples in blocks:
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples, np.float32), "fltp", layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, given, Fraction(1, rate)
            given += samples.shape[1]
            for part in resampler.resample(frame):
                container.mux(stream.encode(part))
        for part in resampler.resample(None):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return path


def tone(layout: str, rate: int) -> Iterator[Samples]:
    """440 Hz on the left, nothing on the right."""
    times = np.arange(round(SECONDS * rate)) / rate
    left = 0.5 * np.sin(2 * np.pi * 440 * times)
    yield np.stack([left, np.zeros_like(left)]) if layout == "stereo" else left[None]


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_file_becomes_the_same_mono_sound(tmp_path: Path, name: str) -> None:
    codec, kind, layout, rate = KINDS[name]
    path = write(tmp_path / f"tone.{name}", tone(layout, rate), codec, kind, layout, rate)
    sound = np.concatenate(list(read_audio_blocks(path, RATE)), axis=1)
    assert sound.dtype == np.float32
    assert abs(sound.shape[1] - SECONDS * RATE) < 0.06 * RATE
    middle = sound[0, RATE // 2 : RATE // 2 + 8000] * np.hanning(8000)
    assert abs(int(np.abs(np.fft.rfft(middle)).argmax()) * 2 - 440) <= 4
    level = np.sqrt(np.square(sound[0, RATE // 2 : RATE]).mean()) * np.sqrt(2)
    np.testing.assert_allclose(level, 0.5, rtol=0.1)


def test_clipped_and_silent_sound_passes_as_it_is(tmp_path: Path) -> None:
    def loud() -> Iterator[Samples]:
        yield np.sign(np.sin(np.arange(RATE) / 20))[None].astype(np.float32)
        yield np.zeros((1, RATE), np.float32)

    path = write(tmp_path / "loud.wav", loud(), "pcm_s16le", "s16", "mono", RATE)
    sound = np.concatenate(list(read_audio_blocks(path, RATE)), axis=1)
    assert np.isfinite(sound).all()
    assert np.abs(sound[:, :RATE]).max() > 0.95
    assert np.abs(sound[:, RATE + 100 :]).max() == 0


def test_a_long_file_is_never_held_whole(tmp_path: Path) -> None:
    def minutes() -> Iterator[Samples]:
        for _ in range(10 * 60):
            yield np.zeros((1, 8000), np.float32)

    path = write(tmp_path / "long.wav", minutes(), "pcm_s16le", "s16", "mono", 8000)
    longest = total = 0
    for block in read_audio_blocks(path, RATE):
        longest, total = max(longest, block.shape[1]), total + block.shape[1]
    assert total == pytest.approx(600 * RATE, rel=1e-3)
    assert longest <= RATE


def test_a_truncated_file_gives_what_is_there(tmp_path: Path) -> None:
    path = write(tmp_path / "tone.wav", tone("mono", RATE), "pcm_s16le", "s16", "mono", RATE)
    path.write_bytes(path.read_bytes()[: RATE * 2])
    sound = np.concatenate(list(read_audio_blocks(path, RATE)), axis=1)
    assert 0.9 * RATE < sound.shape[1] <= RATE


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"this is no sound at all" * 100, "no media file"), (b"", "no media file"), (None, "does not exist")],
)
def test_what_is_no_sound_is_told_in_one_line(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "speech.wav"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CaptureError, match=said) as caught:
        next(read_audio_blocks(path, RATE))
    assert "\n" not in str(caught.value)


def test_a_video_without_sound_is_told(tmp_path: Path) -> None:
    path = tmp_path / "silent.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, width=64, height=64, pix_fmt="yuv420p")
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), "rgb24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(CaptureError, match="has no sound"):
        next(read_audio_blocks(path, RATE))


def beep_at(seconds: float) -> Samples:
    """Two seconds [1, N] of silence with a tone of 0.3 s in them."""
    times = np.arange(round(SECONDS * RATE)) / RATE
    inside = (times >= seconds) & (times < seconds + 0.3)
    return np.asarray(0.5 * np.sin(2 * np.pi * 440 * times) * inside, np.float32)[None]


def first_loud_s(sound: Samples) -> float:
    return int((np.abs(sound[0]) > 0.1).argmax()) / RATE


def test_damaged_sound_is_skipped_counted_and_keeps_its_time(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = write_sound(tmp_path / "whole.m4a", beep_at(1.2), RATE, codec="aac")
    path = rewrite_packets(whole, tmp_path / "damaged.m4a", damaged=range(4, 12))
    with caplog.at_level(logging.WARNING):
        sound = np.concatenate(list(read_audio_blocks(path, RATE)), axis=1)
    assert "damaged.m4a: 8 damaged pieces of sound skipped" in caplog.text
    assert len(caplog.records) == 1
    assert first_loud_s(sound) == pytest.approx(1.2, abs=0.02)
    assert sound.shape[1] == pytest.approx(SECONDS * RATE, abs=0.1 * RATE)


def test_a_gap_in_the_times_of_a_file_is_silence(tmp_path: Path) -> None:
    whole = write_sound(tmp_path / "whole.mka", beep_at(1.2), RATE, codec="aac")
    path = rewrite_packets(whole, tmp_path / "gap.mka", missing=range(4, 12))
    sound = np.concatenate(list(read_audio_blocks(path, RATE)), axis=1)
    assert first_loud_s(sound) == pytest.approx(1.2, abs=0.02)


@pytest.mark.parametrize(
    ("layout", "channels"),
    [("mono", 1), ("stereo", 2), ("5.1", 6), ("5.1(side)", 6), ("6.1", 6), ("2.1", 2)],
)
def test_a_recording_keeps_channels_and_loudness(tmp_path: Path, layout: str, channels: int) -> None:
    count = av.AudioLayout(layout).nb_channels
    samples = np.zeros((count, RATE), np.float32)
    place = 2 if count > 3 else 0
    samples[place] = beep_at(0.2)[0, :RATE]
    path = write_sound(tmp_path / "film.mka", samples, RATE, codec="flac", layout=layout)
    sound = np.concatenate(list(read_channel_blocks(path, RATE)), axis=1)
    assert count_channels(path) == channels
    assert sound.shape[0] == channels
    power = 10 ** (decibels(sound) / 10) * channels
    assert power == pytest.approx(10 ** (decibels(samples) / 10) * count, rel=0.02)


def test_a_voice_in_the_centre_or_in_counter_phase_is_heard_at_its_level(tmp_path: Path) -> None:
    voice = beep_at(0.2)[0]
    silence = np.zeros_like(voice)
    layouts = {"5.1": [silence, silence, voice, silence, silence, silence], "stereo": [voice, -voice]}
    for layout, channels in layouts.items():
        path = write_sound(tmp_path / f"{layout}.flac", np.stack(channels), RATE, layout=layout)
        heard = np.concatenate(list(read_audio_blocks(path, RATE)), axis=1)
        assert decibels(heard) == pytest.approx(decibels(voice), abs=0.2)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows allows no colon in a name")
@pytest.mark.parametrize("name", ["Interview: part 1.wav", "pipe:0.wav", "concat:a|b.wav", "http:/example.wav"])
def test_a_name_with_a_colon_is_a_file_and_no_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).parent.mkdir(exist_ok=True)
    write_sound(tmp_path / "plain.wav", beep_at(0.5), RATE).rename(name)
    sound = np.concatenate(list(read_audio_blocks(Path(name), RATE)), axis=1)
    assert first_loud_s(sound) == pytest.approx(0.5, abs=0.01)
