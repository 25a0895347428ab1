"""Livehead's own captures and sinks as factory records; pyproject.toml names them as entry points.

Each record's ``check`` looks at the argument before anything is opened. What a factory creates is imported only when
it is created.
"""

from __future__ import annotations

import os
from pathlib import Path

from livehead.config import CameraSettings, StreamSettings
from livehead.environment import STREAM_KEY_VARIABLE, WHIP_TOKEN_VARIABLE
from livehead.errors import CaptureError, ConfigError
from livehead.interfaces import Capture, Sink
from livehead.registry import CaptureFactory, SinkFactory, reject_argument


def _create_camera(argument: str, settings: CameraSettings) -> Capture:
    from livehead.capture.camera import CameraCapture
    from livehead.capture.camera_devices import find_camera_device

    return CameraCapture(find_camera_device(argument), size=settings.size, fps=settings.fps)


def _check_camera(argument: str) -> None:
    from livehead.capture.camera_devices import find_camera_device
    from livehead.capture.video_device import require_device

    require_device(find_camera_device(argument))


def _create_video_file(argument: str, settings: CameraSettings) -> Capture:
    from livehead.capture.file import FileCapture

    return FileCapture(Path(argument))


def _check_video_file(argument: str) -> None:
    if not argument:
        raise ConfigError("a file capture needs a path", "write --capture file:talk.mp4")
    require_no_address(argument)
    if not Path(argument).exists():
        raise CaptureError(f"{argument} does not exist", "give the path of a video", subject=argument)
    if Path(argument).is_dir():
        raise CaptureError(f"{argument} is a folder", "give the path of a video", subject=argument)


def require_no_address(argument: str) -> None:
    """Refuse an address where a file is expected. Raises: ConfigError."""
    if "://" in argument:
        from livehead.capture.stream_address import redact_address

        shown = redact_address(argument)
        raise ConfigError(f"{shown} is an address and no file", f"write url:{shown}", subject=shown)


def _create_network_stream(argument: str, settings: CameraSettings) -> Capture:
    from livehead.capture.network_capture import NetworkVideoCapture, share_stream
    from livehead.capture.stream_address import StreamAddress

    return NetworkVideoCapture(share_stream(StreamAddress.parse(argument)), fps=settings.fps)


def _check_network_stream(argument: str) -> None:
    from livehead.capture.stream_address import StreamAddress

    StreamAddress.parse(argument)


def _create_synthetic(argument: str, settings: CameraSettings) -> Capture:
    from livehead.assembly.synthetic_performer import synthetic_capture

    return synthetic_capture(settings)


CAMERA = CaptureFactory(_create_camera, _check_camera)
VIDEO_FILE = CaptureFactory(_create_video_file, _check_video_file)
NETWORK_STREAM = CaptureFactory(_create_network_stream, _check_network_stream)
SYNTHETIC = CaptureFactory(_create_synthetic, reject_argument)


def _create_virtual_camera(argument: str, stream: StreamSettings) -> Sink:
    from livehead.sinks.virtual_camera import VirtualCameraSink

    return VirtualCameraSink(size=stream.size, fps=stream.fps, device=argument or None)


def _check_virtual_camera(argument: str) -> None:
    from livehead.sinks.virtual_camera import check_virtual_camera

    check_virtual_camera(argument)


def _create_pipewire(argument: str, stream: StreamSettings) -> Sink:
    from livehead.sinks.pipewire import PipeWireSink

    return PipeWireSink(stream.size, round(stream.fps), *([argument] if argument else []))


def _create_recording(argument: str, stream: StreamSettings) -> Sink:
    from livehead.sinks.film import open_film
    from livehead.sinks.provenance import ManifestSigner

    return open_film(
        Path(argument),
        fps=stream.fps,
        live=True,
        audio_rate=stream.audio_rate,
        audio_channels=stream.audio_channels,
        overwrite=stream.overwrite,
        on_finished=ManifestSigner().sign_if_possible,
    )


def _check_recording(argument: str) -> None:
    from livehead.assembly.output_checks import check_film_output

    if not argument:
        raise ConfigError("a file sink needs a path", "write --sink file:out.mp4")
    check_film_output(Path(argument), single_picture=False)


def _recording_takes_alpha(argument: str) -> bool:
    from livehead.codecs.film_formats import takes_alpha

    return takes_alpha(Path(argument))


def _create_whip(argument: str, stream: StreamSettings) -> Sink:
    from livehead.assembly.settings import ice_servers_from_settings
    from livehead.sinks.whip import WhipSink

    token = os.environ.get(WHIP_TOKEN_VARIABLE, "") or stream.whip_token.get_secret_value()
    sound = stream.audio_rate is not None
    ice = ice_servers_from_settings(stream.ice)
    return WhipSink(argument, token=token.strip(), fps=stream.fps, sound=sound, encoder=stream.encoder, ice=ice)


def _check_whip(argument: str) -> None:
    from livehead.webrtc.whip_client import WhipClient

    WhipClient(argument, "")


def _create_rtmp(argument: str, stream: StreamSettings) -> Sink:
    from livehead.sinks.stream import StreamSink, rtmp_target

    key = os.environ.get(STREAM_KEY_VARIABLE, "") or stream.stream_key.get_secret_value()
    return StreamSink(
        rtmp_target(argument, key.strip()),
        size=stream.size,
        fps=stream.fps,
        bitrate=stream.bitrate,
        audio_rate=stream.audio_rate,
        audio_channels=min(stream.audio_channels, 2),
    )


def _check_rtmp(argument: str) -> None:
    from livehead.sinks.stream import rtmp_target

    rtmp_target(argument)


def _create_rtmps(argument: str, stream: StreamSettings) -> Sink:
    return _create_rtmp(f"rtmps:{argument}", stream)


def _check_rtmps(argument: str) -> None:
    _check_rtmp(f"rtmps:{argument}")


def _create_udp(argument: str, stream: StreamSettings) -> Sink:
    from livehead.sinks.stream import StreamSink, udp_target

    return StreamSink(
        udp_target(argument),
        size=stream.size,
        fps=stream.fps,
        bitrate=stream.bitrate,
        audio_rate=stream.audio_rate,
        audio_channels=min(stream.audio_channels, 2),
    )


def _check_udp(argument: str) -> None:
    from livehead.sinks.stream import udp_target

    udp_target(argument)


def _create_window(argument: str, stream: StreamSettings) -> Sink:
    from livehead.sinks.window import WindowSink

    return WindowSink()


def _create_null(argument: str, stream: StreamSettings) -> Sink:
    from livehead.sinks.null import NullSink

    return NullSink()


VIRTUAL_CAMERA = SinkFactory(_create_virtual_camera, _check_virtual_camera)
PIPEWIRE = SinkFactory(_create_pipewire)
RECORDING = SinkFactory(_create_recording, _check_recording, _recording_takes_alpha)
WHIP = SinkFactory(_create_whip, _check_whip)
RTMP = SinkFactory(_create_rtmp, _check_rtmp)
RTMPS = SinkFactory(_create_rtmps, _check_rtmps)
UDP = SinkFactory(_create_udp, _check_udp)
WINDOW = SinkFactory(_create_window, reject_argument)
NULL = SinkFactory(_create_null, reject_argument)
