"""Media ends as the command line writes them: ``camera:1``, ``virtualcam``, ``udp:HOST:PORT``, a sound device's name.

A spec is checked (``check_capture`` and the like, which open nothing) before a photo is prepared, and made into a
capture or sink afterwards.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from livehead.assembly.media_factories import require_no_address
from livehead.audio.portaudio import require_device
from livehead.capture.file import AudioFileCapture
from livehead.capture.microphone import MicrophoneCapture
from livehead.capture.network_capture import NetworkAudioCapture, share_stream
from livehead.capture.stream_address import STREAM_SCHEMES, StreamAddress, redact_address
from livehead.capture.tts_input import PushedAudioCapture
from livehead.config import CameraSettings, StreamSettings
from livehead.errors import CaptureError, ConfigError
from livehead.interfaces import Capture, Sink
from livehead.perception.audio_blocks import count_channels
from livehead.registry import find_capture, find_sink
from livehead.sinks.speaker import SpeakerSink
from livehead.stats import StatsCollector

_AUDIO_BLOCK_MS = 10.0  # sound waits for half a block on average
_MICROPHONE_KINDS = ("file", "speech", "url")


def split_input_spec(spec: str) -> tuple[str, str]:
    """The name and the argument of a capture or microphone; a bare address is url:, a bare path in /dev camera:."""
    if spec.startswith("/dev/"):
        return "camera", spec
    name, _, argument = spec.partition(":")
    return ("url", spec) if name in STREAM_SCHEMES and argument.startswith("//") else (name, argument)


def check_capture(spec: str) -> None:
    """Look at a capture's name and argument without opening anything. Raises: ConfigError, CaptureError."""
    name, argument = split_input_spec(spec)
    find_capture(name).check(argument)


def check_sink(spec: str) -> None:
    """Look at a sink's name and argument without opening anything. Raises: ConfigError, SinkError."""
    name, _, argument = spec.partition(":")
    find_sink(name).check(argument)


def check_microphone(spec: str) -> None:
    """Look whether there is what a microphone's spec names, without opening it. Raises: ConfigError, CaptureError."""
    _check_sound_spec(spec)
    if split_input_spec(spec)[0] not in _MICROPHONE_KINDS:
        require_device("input", _parse_device(spec))


def check_sound_output(spec: str) -> None:
    """Look whether there is an output device that ``spec`` names, without opening it. Raises: SinkError."""
    require_device("output", _parse_device(spec))


def _check_sound_spec(spec: str) -> None:
    """Check a microphone's spec. Raises: ConfigError where its argument is missing, CaptureError where its file is."""
    kind, argument = split_input_spec(spec)
    if kind in _MICROPHONE_KINDS and not argument:
        remedy = "write --microphone file:talk.wav, speech:PATH|PORT or url:ADDRESS"
        raise ConfigError(f"a {kind} microphone needs more", remedy)
    if kind == "url":
        StreamAddress.parse(argument)
    if kind == "file":
        require_no_address(argument)
    if kind == "file" and not Path(argument).is_file():
        raise CaptureError(f"{argument} does not exist", "give the path of a sound file", subject=argument)


def open_capture(spec: str, camera: CameraSettings) -> Capture:
    """The capture that ``spec`` names. Raises: ConfigError."""
    name, argument = split_input_spec(spec)
    return find_capture(name).create(argument, camera)


def open_sink(spec: str, stream: StreamSettings) -> Sink:
    """The sink that ``spec`` names. Raises: ConfigError."""
    name, _, argument = spec.partition(":")
    return find_sink(name).create(argument, stream)


def open_microphone(spec: str, rate: int, stats: StatsCollector) -> Capture:
    """A device by ``NAME``, number or ``default``; ``file:PATH`` in real time; ``speech:PATH|PORT`` of another program;
    ``url:ADDRESS`` of a stream, whose sound comes at 48 kHz.

    Raises: ConfigError.
    """
    _check_sound_spec(spec)
    kind, argument = split_input_spec(spec)
    if kind == "url":
        return NetworkAudioCapture(share_stream(StreamAddress.parse(argument)))
    if kind == "file":
        return AudioFileCapture(Path(argument), rate=rate)
    if kind == "speech":
        return PushedAudioCapture(int(argument) if argument.isdigit() else Path(argument), rate=rate)
    return MicrophoneCapture(_parse_device(spec), rate=rate, block_ms=_AUDIO_BLOCK_MS, stats=stats)


def count_microphone_channels(spec: str) -> int:
    """How many channels a recording of ``open_microphone`` should have: those of a file, two of a stream, else one.

    Raises: CaptureError.
    """
    kind, argument = split_input_spec(spec)
    return count_channels(Path(argument)) if kind == "file" else 2 if kind == "url" else 1


def open_sound_output(spec: str, rate: int, stats: StatsCollector) -> Sink:
    """An output device by ``NAME``, number or ``default``."""
    return SpeakerSink(_parse_device(spec), stats=stats, rate=rate, block_ms=_AUDIO_BLOCK_MS)


def _parse_device(spec: str) -> str | int | None:
    if spec == "default":
        return None
    return int(spec) if spec.isdigit() else spec


def redacted(spec: str) -> str:
    """The spec of a sink or capture as it may be shown.

    Of a server that is sent to, only the host is shown, of a stream that is read the address without its password and
    query, since the rest may be secret.
    """
    kind, address = split_input_spec(spec)
    name, _, argument = spec.partition(":")
    if kind == "url" and name not in ("rtmp", "rtmps", "udp"):
        return f"url:{redact_address(address)}"
    if name not in ("whip", "rtmp", "rtmps"):
        return spec
    try:
        host = urlsplit(spec if argument.startswith("//") else argument).netloc.rpartition("@")[2]
    except ValueError:
        host = ""
    return f"{name}:{host or '...'}"
