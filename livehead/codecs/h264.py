"""Chooses the H.264 encoder: the graphics card's if it passes a self-test, else x264.

The self-test checks what a call needs: each picture comes out at once, a key frame comes on request, and the output can
be decoded. A hardware encoder is not faster than x264 ``ultrafast`` (1.3 ms a picture at 512 x 512), but takes no
processor time from the renderer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any, Literal

import av
import numpy as np
from av.video.frame import PictureType

from livehead.clock import TIME_BASE
from livehead.codecs.color import label_as_bt709

log = logging.getLogger(__name__)

_BUFFER_S = 0.35  # seconds of the bitrate that a key frame may use in advance
NO_KEY_FRAMES = 1 << 16
"""A distance between key frames, in frames, that is never reached: key frames come on request or by time."""
ENCODER_ERRORS = (av.FFmpegError, ValueError)
"""The exceptions that FFmpeg's encoders raise; those of a graphics card may raise them at any time."""

_TEST_SIDE, _TEST_FRAMES, _TEST_KEY_FRAME = 256, 5, 3
_TEST_BITRATE = 2_000_000


@dataclass(frozen=True, slots=True)
class H264EncoderSpec:
    """One of FFmpeg's encoders: its ``name`` and its ``options`` for a bitrate.

    ``follows_bitrate``: the encoder takes up a new ``bit_rate`` while it runs.
    """

    name: str
    options: Callable[[int], dict[str, str]]
    pixel_format: str = "yuv420p"
    profile: str | None = "Baseline"
    follows_bitrate: bool = False

    def open(self, width: int, height: int, fps: Fraction, bitrate: int) -> Any:
        """Open an encoder that holds no picture back. Raises: one of ENCODER_ERRORS."""
        context: Any = av.CodecContext.create(self.name, "w")
        context.width, context.height = width, height
        context.pix_fmt = self.pixel_format
        context.framerate, context.time_base = fps, TIME_BASE
        context.bit_rate = bitrate
        context.gop_size = NO_KEY_FRAMES
        context.max_b_frames = 0
        context.thread_count = 1
        if self.profile:
            context.profile = self.profile
        label_as_bt709(context)
        context.options = self.options(bitrate)
        context.open()
        return context


def rate_control_options(bitrate: int) -> dict[str, str]:
    """FFmpeg options that hold an encoder to ``bitrate`` bits a second."""
    return {"maxrate": str(bitrate), "bufsize": str(round(bitrate * _BUFFER_S))}


def live_x264_options(bitrate: int) -> dict[str, str]:
    """x264's options for ``bitrate`` bits a second with no frame held back."""
    # slices on several cores would take them from the renderer
    return {"preset": "ultrafast", "tune": "zerolatency", "threads": "1"} | rate_control_options(bitrate)


def _x264_options(bitrate: int) -> dict[str, str]:
    return live_x264_options(bitrate) | {"level": "31"}


def _nvenc_options(bitrate: int) -> dict[str, str]:
    now = {"preset": "p1", "tune": "ull", "rc": "cbr", "zerolatency": "1", "delay": "0", "forced-idr": "1"}
    return now | {"profile": "baseline"} | rate_control_options(bitrate)


def _qsv_options(bitrate: int) -> dict[str, str]:
    return {"preset": "veryfast", "async_depth": "1", "look_ahead": "0", "forced_idr": "1"} | rate_control_options(
        bitrate
    )


def _amf_options(bitrate: int) -> dict[str, str]:
    return {"usage": "ultralowlatency", "quality": "speed", "rc": "cbr", "forced_idr": "1"} | rate_control_options(
        bitrate
    )


def _videotoolbox_options(bitrate: int) -> dict[str, str]:
    return {"realtime": "1", "prio_speed": "1", "profile": "constrained_baseline"} | rate_control_options(bitrate)


X264 = H264EncoderSpec("libx264", _x264_options, follows_bitrate=True)

HARDWARE_ENCODERS = (
    H264EncoderSpec("h264_nvenc", _nvenc_options, profile=None, follows_bitrate=True),
    H264EncoderSpec("h264_qsv", _qsv_options, "nv12"),
    H264EncoderSpec("h264_amf", _amf_options, "nv12"),
    H264EncoderSpec("h264_videotoolbox", _videotoolbox_options, profile=None),
)
"""The hardware encoders in the order in which they are tried: NVIDIA, Intel, AMD, Apple."""


@cache
def best_encoder() -> H264EncoderSpec:
    """The first of this machine's hardware encoders that passes the self-test, else x264."""
    return first_working(HARDWARE_ENCODERS)


EncoderChoice = Literal["auto", "software"]

ENCODER_FACTORIES: Mapping[EncoderChoice, Callable[[], H264EncoderSpec]] = {
    "auto": best_encoder,
    "software": lambda: X264,
}
"""The encoder for each choice. Call these on a thread and before a call begins: the self-test may take long."""


def first_working(specs: tuple[H264EncoderSpec, ...]) -> H264EncoderSpec:
    """The first of ``specs`` that passes the self-test, else x264."""
    for spec in specs:
        if spec.name in av.codecs_available:
            fault = self_test(spec)
            if not fault:
                return spec
            log.debug("%s: %s", spec.name, fault)
    return X264


def self_test(spec: H264EncoderSpec) -> str:
    """The reason why ``spec`` cannot serve a call on this machine; empty if it can."""
    rng = np.random.default_rng(0)
    try:
        context = spec.open(_TEST_SIDE, _TEST_SIDE, Fraction(30), _TEST_BITRATE)
        decoder = av.CodecContext.create("h264", "r")
        for number in range(_TEST_FRAMES):
            coarse = rng.integers(0, 255, (_TEST_SIDE // 16, _TEST_SIDE // 16, 3), np.uint8)
            image = np.kron(coarse, np.ones((16, 16, 1), np.uint8))
            picture = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=spec.pixel_format)
            picture.pts, picture.time_base = number * 3000, TIME_BASE
            picture.pict_type = PictureType.I if number == _TEST_KEY_FRAME else PictureType.NONE
            packets = context.encode(picture)
            if not packets:
                return "holds pictures back"
            if packets[0].is_keyframe != (number in (0, _TEST_KEY_FRAME)):
                return "gives key frames at its own will"
            data = b"".join(bytes(packet) for packet in packets)
            if number == _TEST_KEY_FRAME:
                decoder = av.CodecContext.create("h264", "r")  # a new viewer has seen nothing of what came before
            frames = [*decoder.decode(av.Packet(data))]
        frames += decoder.decode(None)
    except ENCODER_ERRORS as error:
        return f"does not work here ({error})"
    if not frames or abs(frames[-1].to_ndarray(format="rgb24").astype(int) - image).mean() > 40:
        return "gives another picture"
    return ""
