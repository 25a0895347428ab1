"""Encodes pictures as RTP payloads for a call: no frame is held back, and the bitrate follows the receiver's estimate.

Chosen by measurement at 512 x 512 (median of one frame on one core): x264 ``ultrafast`` 1.3 ms, libvpx ``realtime``
1.9 ms, and 11 ms for aiortc's own H.264 settings. x264 changes its bitrate while it runs as long as it runs in CBR
mode (``maxrate`` = bitrate; with another rate control it ignores the change); libvpx and some hardware encoders,
behind FFmpeg, have to be opened anew, which costs a key frame, so they follow in few large steps.
"""

from __future__ import annotations

import logging
from fractions import Fraction
from typing import Any, Literal

import av
from aiortc.codecs.base import Encoder
from aiortc.codecs.h264 import H264Encoder
from aiortc.codecs.vpx import Vp8Encoder
from av.video.frame import PictureType

from livehead.clock import NS, TIME_BASE
from livehead.codecs.h264 import ENCODER_ERRORS, NO_KEY_FRAMES, X264, H264EncoderSpec, rate_control_options
from livehead.frames import VideoFrame

log = logging.getLogger(__name__)

VideoCodec = Literal["H264", "VP8"]

START_BITRATE = 2_500_000
MIN_BITRATE, MAX_BITRATE = 200_000, 8_000_000
_MIN_BITRATE_CHANGE = 0.05  # a smaller change is not worth the call
_REOPEN_BELOW, _REOPEN_ABOVE = 0.8, 1.5  # outside these shares of the running bitrate an encoder is opened anew ...
_REOPEN_INTERVAL_NS = 3 * NS  # ... to rise, no sooner than this after the last time
# Colour matrices as Chromium reads them: H.264 as the stream says, VP8 always as BT.601 (RFC 6386, section 9.2).
_COLOR_MATRICES = {"H264": av.video.reformatter.Colorspace.ITU709, "VP8": av.video.reformatter.Colorspace.ITU601}


class VideoEncoder:
    """Encodes the pictures of one stream, one call at a time, at ``bitrate`` bits a second.

    ``encoder_spec`` is the encoder of H.264; when a hardware encoder breaks, x264 goes on in its place.
    """

    def __init__(
        self, codec: VideoCodec, fps: float, bitrate: int = START_BITRATE, encoder_spec: H264EncoderSpec = X264
    ) -> None:
        self.codec = codec
        self._encoder_spec = encoder_spec
        self.open_count = 0
        """How often the codec was opened: once, and again for each change of size (libvpx: and of bitrate)."""
        self._fps = Fraction(fps).limit_denominator(1001)
        self._target_bitrate = bitrate
        self._context: Any = None
        self._opened_ns = 0
        self._packetizer: Encoder = H264Encoder() if codec == "H264" else Vp8Encoder()

    @property
    def bitrate(self) -> int:
        """The wanted bits a second, from ``MIN_BITRATE`` to ``MAX_BITRATE``; in force from the next frame on."""
        return self._target_bitrate

    @bitrate.setter
    def bitrate(self, wanted: int) -> None:
        self._target_bitrate = min(max(wanted, MIN_BITRATE), MAX_BITRATE)

    @property
    def encoder_name(self) -> str:
        """The encoder's name in FFmpeg."""
        return self._encoder_spec.name if self.codec == "H264" else "libvpx"

    def encode(self, frame: VideoFrame, *, force_key_frame: bool = False) -> tuple[list[bytes], int]:
        """RTP payloads of ``frame`` (uint8 RGB) and its time in 1/90000 s; a key frame if ``force_key_frame``."""
        try:
            return self._encode(frame, force_key_frame)
        except ENCODER_ERRORS as error:
            if self.codec != "H264" or self._encoder_spec is X264:
                raise
            log.warning("%s broke (%s): x264 goes on", self.encoder_name, error)
            self._encoder_spec, self._context = X264, None
            return self._encode(frame, True)

    def _encode(self, frame: VideoFrame, force_key_frame: bool) -> tuple[list[bytes], int]:
        picture = av.VideoFrame.from_numpy_buffer(frame.image[..., :3], format="rgb24")
        self._adapt_context(picture.width, picture.height, frame.captured_ns)
        picture = picture.reformat(format=self._context.pix_fmt, dst_colorspace=_COLOR_MATRICES[self.codec])
        picture.pts, picture.time_base = round(frame.seconds / TIME_BASE), TIME_BASE
        picture.pict_type = PictureType.I if force_key_frame else PictureType.NONE
        packets = self._context.encode(picture)
        payloads: list[bytes] = []
        for packet in packets:
            payloads += self._packetizer.pack(packet)[0]
        return payloads, picture.pts

    def _adapt_context(self, width: int, height: int, now_ns: int) -> None:
        context = self._context
        if context is None or (context.width, context.height) != (width, height):
            self._open_context(width, height, now_ns)
            return
        share = self._target_bitrate / context.bit_rate
        if abs(share - 1) < _MIN_BITRATE_CHANGE:
            return
        if self.codec == "H264" and self._encoder_spec.follows_bitrate:
            context.bit_rate = self._target_bitrate
        elif share < _REOPEN_BELOW or (share > _REOPEN_ABOVE and now_ns - self._opened_ns > _REOPEN_INTERVAL_NS):
            self._open_context(width, height, now_ns)

    def _open_context(self, width: int, height: int, now_ns: int) -> None:
        if self.codec == "H264":
            self._context = self._encoder_spec.open(width, height, self._fps, self._target_bitrate)
        else:
            self._context = _open_vpx(width, height, self._fps, self._target_bitrate)
        self._opened_ns = now_ns
        self.open_count += 1


def _open_vpx(width: int, height: int, fps: Fraction, bitrate: int) -> Any:
    context: Any = av.CodecContext.create("libvpx", "w")
    context.width, context.height = width, height
    context.pix_fmt = "yuv420p"
    context.framerate, context.time_base = fps, TIME_BASE
    context.bit_rate = bitrate
    context.gop_size = NO_KEY_FRAMES
    context.thread_count = 1
    rate = {"minrate": str(bitrate)} | rate_control_options(bitrate)
    now = {"deadline": "realtime", "cpu-used": "-8", "lag-in-frames": "0", "static-thresh": "1"}
    context.options = rate | now | {"undershoot-pct": "100", "overshoot-pct": "15"}
    return context
