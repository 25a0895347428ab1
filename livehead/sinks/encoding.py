"""Pictures to RTP payloads, tuned for a call: no frame is held back, and the bitrate follows the receiver's estimate.

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

from livehead.clock import NS
from livehead.frames import VideoFrame
from livehead.sinks.h264 import BROKEN, NO_KEY, TIME_BASE, X264, Maker, rates

log = logging.getLogger(__name__)

Codec = Literal["H264", "VP8"]

START_BITRATE = 2_500_000
LEAST_BITRATE, MOST_BITRATE = 200_000, 8_000_000
_ONE_STEP = 0.05  # a smaller change is not worth the call
_FALL, _RISE = 0.8, 1.5  # outside these shares of the running bitrate an encoder is opened anew ...
_REST_NS = 3 * NS  # ... to rise, no sooner than this after the last time
# Colour matrices as Chromium reads them: H.264 as the stream says, VP8 always as BT.601 (RFC 6386, section 9.2).
_MATRIX = {"H264": av.video.reformatter.Colorspace.ITU709, "VP8": av.video.reformatter.Colorspace.ITU601}


class PictureEncoder:
    """Encodes the pictures of one stream, one call at a time.

    ``maker`` of H.264; when a graphics card's breaks, x264 goes on.
    """

    def __init__(self, codec: Codec, fps: float, bitrate: int = START_BITRATE, maker: Maker = X264) -> None:
        self.codec = codec
        self._maker = maker
        self.opened = 0
        """How often the codec was opened: once, and again for each change of size (libvpx: and of bitrate)."""
        self._fps = Fraction(fps).limit_denominator(1001)
        self._target = bitrate
        self._context: Any = None
        self._opened_ns = 0
        self._packer: Encoder = H264Encoder() if codec == "H264" else Vp8Encoder()

    @property
    def bitrate(self) -> int:
        """Wanted bits a second, within ``LEAST_BITRATE`` and ``MOST_BITRATE``; in force from the next frame on."""
        return self._target

    @bitrate.setter
    def bitrate(self, wanted: int) -> None:
        self._target = min(max(wanted, LEAST_BITRATE), MOST_BITRATE)

    @property
    def maker(self) -> str:
        """FFmpeg's name of the encoder."""
        return self._maker.name if self.codec == "H264" else "libvpx"

    def encode(self, frame: VideoFrame, *, key: bool = False) -> tuple[list[bytes], int]:
        """RTP payloads of ``frame`` (RGB) and its time in 1/90000 s. ``key``: a picture that stands alone."""
        try:
            return self._encode(frame, key)
        except BROKEN as error:
            if self.codec != "H264" or self._maker is X264:
                raise
            log.warning("%s broke (%s): x264 goes on", self.maker, error)
            self._maker, self._context = X264, None
            return self._encode(frame, True)

    def _encode(self, frame: VideoFrame, key: bool) -> tuple[list[bytes], int]:
        picture = av.VideoFrame.from_numpy_buffer(frame.image[..., :3], format="rgb24")
        self._adapt(picture.width, picture.height, frame.captured_ns)
        picture = picture.reformat(format=self._context.pix_fmt, dst_colorspace=_MATRIX[self.codec])
        picture.pts, picture.time_base = round(frame.seconds / TIME_BASE), TIME_BASE
        picture.pict_type = PictureType.I if key else PictureType.NONE
        packets = self._context.encode(picture)
        payloads: list[bytes] = []
        for packet in packets:
            payloads += self._packer.pack(packet)[0]
        return payloads, picture.pts

    def _adapt(self, width: int, height: int, now_ns: int) -> None:
        context = self._context
        if context is None or (context.width, context.height) != (width, height):
            self._open(width, height, now_ns)
            return
        share = self._target / context.bit_rate
        if abs(share - 1) < _ONE_STEP:
            return
        if self.codec == "H264" and self._maker.follows:
            context.bit_rate = self._target
        elif share < _FALL or (share > _RISE and now_ns - self._opened_ns > _REST_NS):
            self._open(width, height, now_ns)

    def _open(self, width: int, height: int, now_ns: int) -> None:
        if self.codec == "H264":
            self._context = self._maker.open(width, height, self._fps, self._target)
        else:
            self._context = _open_vpx(width, height, self._fps, self._target)
        self._opened_ns = now_ns
        self.opened += 1


def _open_vpx(width: int, height: int, fps: Fraction, bitrate: int) -> Any:
    context: Any = av.CodecContext.create("libvpx", "w")
    context.width, context.height = width, height
    context.pix_fmt = "yuv420p"
    context.framerate, context.time_base = fps, TIME_BASE
    context.bit_rate = bitrate
    context.gop_size = NO_KEY
    context.thread_count = 1
    rate = {"minrate": str(bitrate)} | rates(bitrate)
    now = {"deadline": "realtime", "cpu-used": "-8", "lag-in-frames": "0", "static-thresh": "1"}
    context.options = rate | now | {"undershoot-pct": "100", "overshoot-pct": "15"}
    return context
