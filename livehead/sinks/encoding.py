"""Pictures to RTP payloads, tuned for a call: no frame is held back, and the bitrate follows the receiver's estimate.

Chosen by measurement at 512 x 512 (median of one frame on one core): x264 ``ultrafast`` 1.3 ms, libvpx ``realtime``
1.9 ms, and 11 ms for aiortc's own H.264 settings. x264 changes its bitrate while it runs as long as it runs in CBR
mode (``maxrate`` = bitrate; with another rate control it ignores the change); libvpx, behind FFmpeg, has to be opened
anew, which costs a key frame, so it follows in few large steps.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Literal

import av
from aiortc.codecs.base import Encoder
from aiortc.codecs.h264 import H264Encoder
from aiortc.codecs.vpx import Vp8Encoder
from av.video.frame import PictureType

from livehead.clock import NS
from livehead.frames import VideoFrame

Codec = Literal["H264", "VP8"]

START_BITRATE = 2_500_000
LEAST_BITRATE, MOST_BITRATE = 200_000, 8_000_000
_BUFFER_S = 0.35  # of the bitrate: how much a key frame may borrow
_ONE_STEP = 0.05  # a smaller change is not worth the call
_VPX_FALL, _VPX_RISE = 0.8, 1.5  # outside these shares of the running bitrate libvpx is opened anew ...
_VPX_REST_NS = 3 * NS  # ... to rise, no sooner than this after the last time
_NO_KEY = 1 << 16  # frames between key frames: they come when a receiver asks
_TIME_BASE = Fraction(1, 90_000)
# Colour matrices as Chromium reads them: H.264 as the stream says, VP8 always as BT.601 (RFC 6386, section 9.2).
_BT709, _LIMITED_RANGE = 1, 1  # codes of H.273
_MATRIX = {"H264": av.video.reformatter.Colorspace.ITU709, "VP8": av.video.reformatter.Colorspace.ITU601}


def live_x264(bitrate: int) -> dict[str, str]:
    """Options of x264 for ``bitrate`` bits a second with no frame held back."""
    return {
        "preset": "ultrafast",
        "tune": "zerolatency",
        "maxrate": str(bitrate),
        "bufsize": str(round(bitrate * _BUFFER_S)),
        "threads": "1",  # slices on several cores would take them from the renderer
    }


class PictureEncoder:
    """Encodes the pictures of one stream, one call at a time."""

    def __init__(self, codec: Codec, fps: float, bitrate: int = START_BITRATE) -> None:
        self.codec = codec
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

    def encode(self, frame: VideoFrame, *, key: bool = False) -> tuple[list[bytes], int]:
        """RTP payloads of ``frame`` (RGB) and its time in 1/90000 s. ``key``: a picture that stands alone."""
        picture = av.VideoFrame.from_numpy_buffer(frame.image[..., :3], format="rgb24")
        picture = picture.reformat(format="yuv420p", dst_colorspace=_MATRIX[self.codec])
        picture.pts, picture.time_base = round(frame.seconds / _TIME_BASE), _TIME_BASE
        self._adapt(picture.width, picture.height, frame.captured_ns)
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
        if self.codec == "H264":
            context.bit_rate = self._target
        elif share < _VPX_FALL or (share > _VPX_RISE and now_ns - self._opened_ns > _VPX_REST_NS):
            self._open(width, height, now_ns)

    def _open(self, width: int, height: int, now_ns: int) -> None:
        h264 = self.codec == "H264"
        context: Any = av.CodecContext.create("libx264" if h264 else "libvpx", "w")
        context.width, context.height = width, height
        context.pix_fmt = "yuv420p"
        context.framerate, context.time_base = self._fps, _TIME_BASE
        context.bit_rate = self._target
        context.gop_size = _NO_KEY
        context.thread_count = 1
        options = {"maxrate": str(self._target), "bufsize": str(round(self._target * _BUFFER_S))}
        if h264:
            context.profile = "Baseline"
            context.colorspace = context.color_primaries = context.color_trc = _BT709
            context.color_range = _LIMITED_RANGE
            options = live_x264(self._target) | {"level": "31"}
        else:
            options |= {"minrate": str(self._target), "deadline": "realtime", "cpu-used": "-8", "lag-in-frames": "0"}
            options |= {"static-thresh": "1", "undershoot-pct": "100", "overshoot-pct": "15"}
        context.options = options
        self._context, self._opened_ns = context, now_ns
        self.opened += 1
