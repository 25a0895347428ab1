"""Media ends by name, as the command line writes them: ``camera:1``, ``virtualcam``, ``udp:HOST:PORT``.

A capture's factory is called with the text after the colon and the camera's settings, a sink's with the text and the
stream's; those of plugins likewise.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

from livehead.capture.camera import CameraCapture
from livehead.capture.file import AudioFileCapture, FileCapture
from livehead.capture.microphone import MicrophoneCapture
from livehead.capture.tts_input import PushedAudioCapture
from livehead.config import CameraSettings, StreamSettings
from livehead.errors import ConfigError
from livehead.interfaces import Capture, Sink
from livehead.registry import load_factory
from livehead.sinks.file import FileSink
from livehead.sinks.null import NullSink
from livehead.sinks.provenance import ManifestSigner
from livehead.sinks.speaker import SpeakerSink
from livehead.sinks.virtual_camera import VirtualCameraSink
from livehead.sinks.window import WindowSink
from livehead.stats import StatsCollector

_AUDIO_BLOCK_MS = 10.0  # of sound devices: what is heard waits for half of it in the middle


def open_capture(spec: str, camera: CameraSettings) -> Capture:
    """The capture that ``spec`` names. Raises: ConfigError."""
    name, _, argument = spec.partition(":")
    capture: Capture = load_factory("captures", name)(argument, camera)
    return capture


def open_sink(spec: str, stream: StreamSettings) -> Sink:
    """The sink that ``spec`` names. Raises: ConfigError."""
    name, _, argument = spec.partition(":")
    sink: Sink = load_factory("sinks", name)(argument, stream)
    return sink


def open_microphone(spec: str, rate: int, stats: StatsCollector) -> Capture:
    """``NAME``, a number or ``default`` of a device; ``file:PATH`` in real time; ``speech:PATH|PORT``.

    Raises: ConfigError.
    """
    kind, _, argument = spec.partition(":")
    if kind in ("file", "speech") and not argument:
        raise ConfigError(f"a {kind} microphone needs more", "write --microphone file:talk.wav or speech:PATH|PORT")
    if kind == "file":
        return AudioFileCapture(Path(argument), rate=rate)
    if kind == "speech":
        return PushedAudioCapture(int(argument) if argument.isdigit() else Path(argument), rate=rate)
    return MicrophoneCapture(_parse_device(spec), rate=rate, block_ms=_AUDIO_BLOCK_MS, stats=stats)


def open_sound_output(spec: str, rate: int, stats: StatsCollector) -> Sink:
    """``NAME``, a number or ``default`` of an output device."""
    return SpeakerSink(_parse_device(spec), stats=stats, rate=rate, block_ms=_AUDIO_BLOCK_MS)


def _parse_device(spec: str) -> str | int | None:
    if spec == "default":
        return None
    return int(spec) if spec.isdigit() else spec


def redacted(spec: str) -> str:
    """``spec`` of a sink as it may be shown: of a server's address the host only, as the rest may be a secret."""
    name, _, argument = spec.partition(":")
    if name not in ("whip", "rtmp", "rtmps"):
        return spec
    try:
        host = urlsplit(spec if argument.startswith("//") else argument).netloc.rpartition("@")[2]
    except ValueError:
        host = ""
    return f"{name}:{host or '...'}"


def camera_capture(argument: str, settings: CameraSettings) -> Capture:
    """``camera``, ``camera:N`` or ``camera:/dev/videoN``."""
    device: int | str = int(argument) if argument.isdigit() else argument or 0
    return CameraCapture(device, size=settings.size, fps=settings.fps)


def file_capture(argument: str, settings: CameraSettings) -> Capture:
    """``file:PATH``: a video at its own pace."""
    if not argument:
        raise ConfigError("a file capture needs a path", "write --capture file:talk.mp4")
    return FileCapture(Path(argument))


def virtual_camera_sink(argument: str, stream: StreamSettings) -> Sink:
    """``virtualcam`` or ``virtualcam:DEVICE``."""
    return VirtualCameraSink(size=stream.size, fps=stream.fps, device=argument or None)


def pipewire_sink(argument: str, stream: StreamSettings) -> Sink:
    """``pipewire`` or ``pipewire:NAME``."""
    from livehead.sinks.pipewire import PipeWireSink

    return PipeWireSink(stream.size, round(stream.fps), *([argument] if argument else []))


def file_sink(argument: str, stream: StreamSettings) -> Sink:
    """``file:PATH.mp4``."""
    if not argument:
        raise ConfigError("a file sink needs a path", "write --sink file:out.mp4")
    return FileSink(
        Path(argument), fps=stream.fps, audio_rate=stream.audio_rate, on_finished=ManifestSigner().sign_if_possible
    )


def whip_sink(argument: str, stream: StreamSettings) -> Sink:
    """``whip:URL``; the token from the environment or the settings."""
    from livehead.cli_options import ice_servers_from_settings
    from livehead.sinks.whip import WhipSink
    from livehead.webrtc.whip_client import TOKEN_VARIABLE

    token = os.environ.get(TOKEN_VARIABLE, "") or stream.whip_token.get_secret_value()
    sound = stream.audio_rate is not None
    ice = ice_servers_from_settings(stream.ice)
    return WhipSink(argument, token=token.strip(), fps=stream.fps, sound=sound, encoder=stream.encoder, ice=ice)


def rtmp_sink(argument: str, stream: StreamSettings) -> Sink:
    """``rtmp://HOST/APPLICATION/KEY`` or ``rtmp:URL``; the key may come from the environment or the settings."""
    from livehead.sinks.stream import STREAM_KEY_VARIABLE, StreamSink, rtmp_target

    key = os.environ.get(STREAM_KEY_VARIABLE, "") or stream.stream_key.get_secret_value()
    return StreamSink(
        rtmp_target(argument, key.strip()),
        size=stream.size,
        fps=stream.fps,
        bitrate=stream.bitrate,
        audio_rate=stream.audio_rate,
    )


def rtmps_sink(argument: str, stream: StreamSettings) -> Sink:
    """``rtmps://HOST/APPLICATION/KEY``."""
    return rtmp_sink(f"rtmps:{argument}", stream)


def udp_sink(argument: str, stream: StreamSettings) -> Sink:
    """``udp:HOST:PORT``."""
    from livehead.sinks.stream import StreamSink, udp_target

    return StreamSink(
        udp_target(argument), size=stream.size, fps=stream.fps, bitrate=stream.bitrate, audio_rate=stream.audio_rate
    )


def window_sink(argument: str, stream: StreamSettings) -> Sink:
    """``window``: the self-view alone; ``livehead run`` gives it the keys."""
    return WindowSink()


def null_sink(argument: str, stream: StreamSettings) -> Sink:
    """``null``: counts frames."""
    return NullSink()
