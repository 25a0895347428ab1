"""Who makes H.264: an encoder of the graphics card that proves itself, else x264.

A hardware encoder is asked to do what a call needs before it is trusted: pictures come out at once, one stands alone on
request, and what comes out can be decoded. It is not faster than x264 ``ultrafast`` (1.3 ms a picture at 512 x 512),
but takes no processor time from the renderer.
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

log = logging.getLogger(__name__)

_BUFFER_S = 0.35  # of the bitrate: how much a key frame may borrow
NO_KEY_FRAMES = 1 << 16  # frames between key frames: they come when a receiver asks
ENCODER_ERRORS = (av.FFmpegError, ValueError)
"""What FFmpeg's encoders raise; those of a graphics card at any time."""

_BT709, _LIMITED_RANGE = 1, 1  # codes of H.273
_TEST_SIDE, _TEST_FRAMES, _TEST_KEY_FRAME = 256, 5, 3  # of the trial
_TEST_BITRATE = 2_000_000


@dataclass(frozen=True, slots=True)
class H264EncoderSpec:
    """FFmpeg's encoder ``name`` and its ``options`` for a bitrate. ``follows``: a new ``bit_rate`` is taken up."""

    name: str
    options: Callable[[int], dict[str, str]]
    pixel_format: str = "yuv420p"
    profile: str | None = "Baseline"
    follows_bitrate: bool = False

    def open(self, width: int, height: int, fps: Fraction, bitrate: int) -> Any:
        """An encoder that holds nothing back. Raises: one of BROKEN."""
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
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED_RANGE
        context.options = self.options(bitrate)
        context.open()
        return context


def rate_control_options(bitrate: int) -> dict[str, str]:
    """Options that keep an encoder to ``bitrate`` bits a second."""
    return {"maxrate": str(bitrate), "bufsize": str(round(bitrate * _BUFFER_S))}


def live_x264_options(bitrate: int) -> dict[str, str]:
    """Options of x264 for ``bitrate`` bits a second with no frame held back."""
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
"""In the order in which they are tried: NVIDIA, Intel, AMD, Apple."""


@cache
def best_encoder() -> H264EncoderSpec:
    """The first of this machine's hardware encoders that passes the trial, else x264."""
    return first_working(HARDWARE_ENCODERS)


EncoderChoice = Literal["auto", "software"]

ENCODER_FACTORIES: Mapping[EncoderChoice, Callable[[], H264EncoderSpec]] = {
    "auto": best_encoder,
    "software": lambda: X264,
}
"""What a choice means. To be asked on a thread, before a call begins: the trial takes as long as a card likes."""


def first_working(specs: tuple[H264EncoderSpec, ...]) -> H264EncoderSpec:
    """The first of ``makers`` that passes the trial, else x264."""
    for maker in specs:
        if maker.name in av.codecs_available:
            fault = self_test(maker)
            if not fault:
                return maker
            log.debug("%s: %s", maker.name, fault)
    return X264


def self_test(spec: H264EncoderSpec) -> str:
    """Why ``maker`` cannot serve a call on this machine; empty if it can."""
    chance = np.random.default_rng(0)
    try:
        context = spec.open(_TEST_SIDE, _TEST_SIDE, Fraction(30), _TEST_BITRATE)
        decoder = av.CodecContext.create("h264", "r")
        for number in range(_TEST_FRAMES):
            coarse = chance.integers(0, 255, (_TEST_SIDE // 16, _TEST_SIDE // 16, 3), np.uint8)
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
                decoder = av.CodecContext.create("h264", "r")  # whoever joins knows nothing of what was before
            frames = [*decoder.decode(av.Packet(data))]
        frames += decoder.decode(None)
    except ENCODER_ERRORS as error:
        return f"does not work here ({error})"
    if not frames or abs(frames[-1].to_ndarray(format="rgb24").astype(int) - image).mean() > 40:
        return "gives another picture"
    return ""
