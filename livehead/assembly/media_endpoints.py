"""Media ends as the command line writes them: ``camera:1``, ``virtualcam``, ``udp:HOST:PORT``, a sound device's name.

A spec is checked (``check_capture`` and the like, which open nothing) before a photo is prepared, and made into a
capture or sink afterwards.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from livehead.audio.portaudio import require_device
from livehead.capture.file import AudioFileCapture
from livehead.capture.microphone import MicrophoneCapture
from livehead.capture.tts_input import PushedAudioCapture
from livehead.config import CameraSettings, StreamSettings
from livehead.errors import CaptureError, ConfigError
from livehead.interfaces import Capture, Sink
from livehead.perception.audio_blocks import count_channels
from livehead.registry import find_capture, find_sink
from livehead.sinks.speaker import SpeakerSink
from livehead.stats import StatsCollector

_AUDIO_BLOCK_MS = 10.0  # sound waits for half a block on average


def check_capture(spec: str) -> None:
    """Look at a capture's name and argument without opening anything. Raises: ConfigError, CaptureError."""
    name, _, argument = spec.partition(":")
    find_capture(name).check(argument)


def check_sink(spec: str) -> None:
    """Look at a sink's name and argument without opening anything. Raises: ConfigError, SinkError."""
    name, _, argument = spec.partition(":")
    find_sink(name).check(argument)


def check_microphone(spec: str) -> None:
    """Look whether there is what a microphone's spec names, without opening it. Raises: ConfigError, CaptureError."""
    _check_sound_spec(spec)
    if spec.partition(":")[0] not in ("file", "speech"):
        require_device("input", _parse_device(spec))


def check_sound_output(spec: str) -> None:
    """Look whether there is an output device that ``spec`` names, without opening it. Raises: SinkError."""
    require_device("output", _parse_device(spec))


def _check_sound_spec(spec: str) -> None:
    """Check a microphone's spec. Raises: ConfigError where its argument is missing, CaptureError where its file is."""
    kind, _, argument = spec.partition(":")
    if kind in ("file", "speech") and not argument:
        raise ConfigError(f"a {kind} microphone needs more", "write --microphone file:talk.wav or speech:PATH|PORT")
    if kind == "file" and not Path(argument).is_file():
        raise CaptureError(f"{argument} does not exist", "give the path of a sound file", subject=argument)


def open_capture(spec: str, camera: CameraSettings) -> Capture:
    """The capture that ``spec`` names. Raises: ConfigError."""
    name, _, argument = spec.partition(":")
    return find_capture(name).create(argument, camera)


def open_sink(spec: str, stream: StreamSettings) -> Sink:
    """The sink that ``spec`` names. Raises: ConfigError."""
    name, _, argument = spec.partition(":")
    return find_sink(name).create(argument, stream)


def open_microphone(spec: str, rate: int, stats: StatsCollector) -> Capture:
    """A device by ``NAME``, number or ``default``; ``file:PATH`` in real time; ``speech:PATH|PORT`` of another program.

    Raises: ConfigError.
    """
    _check_sound_spec(spec)
    kind, _, argument = spec.partition(":")
    if kind == "file":
        return AudioFileCapture(Path(argument), rate=rate)
    if kind == "speech":
        return PushedAudioCapture(int(argument) if argument.isdigit() else Path(argument), rate=rate)
    return MicrophoneCapture(_parse_device(spec), rate=rate, block_ms=_AUDIO_BLOCK_MS, stats=stats)


def count_microphone_channels(spec: str) -> int:
    """How many channels the sound of ``open_microphone`` has: those of a file, else one. Raises: CaptureError."""
    kind, _, argument = spec.partition(":")
    return count_channels(Path(argument)) if kind == "file" else 1


def open_sound_output(spec: str, rate: int, stats: StatsCollector) -> Sink:
    """An output device by ``NAME``, number or ``default``."""
    return SpeakerSink(_parse_device(spec), stats=stats, rate=rate, block_ms=_AUDIO_BLOCK_MS)


def _parse_device(spec: str) -> str | int | None:
    if spec == "default":
        return None
    return int(spec) if spec.isdigit() else spec


def redacted(spec: str) -> str:
    """The spec of a sink as it may be shown: a server's address without all but its host, as the rest may be secret."""
    name, _, argument = spec.partition(":")
    if name not in ("whip", "rtmp", "rtmps"):
        return spec
    try:
        host = urlsplit(spec if argument.startswith("//") else argument).netloc.rpartition("@")[2]
    except ValueError:
        host = ""
    return f"{name}:{host or '...'}"
