"""Media ends by name, as the command line writes them: ``camera:1``, ``file:talk.mp4``, ``virtualcam``, ``window``.

A capture's factory is called with the text after the colon and the camera's settings, a sink's with the text and the
stream's; those of plugins likewise.
"""

from __future__ import annotations

from pathlib import Path

from livehead.capture.camera import CameraCapture
from livehead.capture.file import FileCapture
from livehead.config import CameraSettings, StreamSettings
from livehead.errors import ConfigError
from livehead.interfaces import Capture, Sink
from livehead.registry import find
from livehead.sinks.file import FileSink
from livehead.sinks.null import NullSink
from livehead.sinks.virtual_camera import VirtualCameraSink
from livehead.sinks.window import WindowSink


def open_capture(spec: str, camera: CameraSettings) -> Capture:
    """The capture that ``spec`` names. Raises: ConfigError."""
    name, _, argument = spec.partition(":")
    capture: Capture = find("captures", name)(argument, camera)
    return capture


def open_sink(spec: str, stream: StreamSettings) -> Sink:
    """The sink that ``spec`` names. Raises: ConfigError."""
    name, _, argument = spec.partition(":")
    sink: Sink = find("sinks", name)(argument, stream)
    return sink


def camera(argument: str, settings: CameraSettings) -> Capture:
    """``camera``, ``camera:N`` or ``camera:/dev/videoN``."""
    device: int | str = int(argument) if argument.isdigit() else argument or 0
    return CameraCapture(device, size=settings.size, fps=settings.fps)


def video_file(argument: str, settings: CameraSettings) -> Capture:
    """``file:PATH``: a video at its own pace."""
    if not argument:
        raise ConfigError("a file capture needs a path", "write --capture file:talk.mp4")
    return FileCapture(Path(argument))


def virtual_camera(argument: str, stream: StreamSettings) -> Sink:
    """``virtualcam`` or ``virtualcam:DEVICE``."""
    return VirtualCameraSink(size=stream.size, fps=stream.fps, device=argument or None)


def pipewire(argument: str, stream: StreamSettings) -> Sink:
    """``pipewire`` or ``pipewire:NAME``."""
    from livehead.sinks.pipewire import PipeWireSink

    return PipeWireSink(stream.size, round(stream.fps), *([argument] if argument else []))


def recording(argument: str, stream: StreamSettings) -> Sink:
    """``file:PATH.mp4``."""
    if not argument:
        raise ConfigError("a file sink needs a path", "write --sink file:out.mp4")
    return FileSink(Path(argument), fps=stream.fps, audio_rate=stream.audio_rate)


def window(argument: str, stream: StreamSettings) -> Sink:
    """``window``: the self-view alone; ``livehead run`` gives it the keys."""
    return WindowSink()


def nothing(argument: str, stream: StreamSettings) -> Sink:
    """``null``: counts frames."""
    return NullSink()
