"""How large the pictures are that a decoder may be given: a few bytes can ask it for hundreds of megapixels.

FFmpeg's ``max_pixels`` is set on every decoder before it opens, so that a picture that is larger is refused before its
memory is taken, wherever in a stream it comes.
"""

from __future__ import annotations

from typing import Any

import av

from livehead.errors import CaptureError

MAX_RECEIVED_PIXELS = 4096 * 2304
"""The pixels of a picture that another machine sends: 4K, and what encoders add to it."""
MAX_FILE_PIXELS = 8192 * 4352
"""The pixels of a picture in a file that a person names: 8K, and what encoders add to it."""


def create_bounded_decoder(codec: str, max_pixels: int = MAX_RECEIVED_PIXELS) -> Any:
    """A decoder of PyAV's that refuses larger pictures before it takes memory for them.

    ``codec`` is one of FFmpeg's own decoders: a library such as libvpx would take the memory first.
    """
    context: Any = av.CodecContext.create(codec, "r")
    context.options = _limit(max_pixels)
    return context


def open_bounded_container(source: Any, name: str, max_pixels: int = MAX_FILE_PIXELS, **options: Any) -> Any:
    """A container of PyAV's, opened from ``source`` with ``options``, whose decoders refuse larger pictures.

    Raises: CaptureError when its header names a larger picture already, in which ``source`` is called ``name``;
    av.error.FFmpegError.
    """
    # FFmpeg decodes a first picture to see what the streams hold, so that the limit has to be there from the beginning
    container: Any = av.open(source, options=_limit(max_pixels), **options)
    for stream in container.streams.video:
        width, height = stream.codec_context.width, stream.codec_context.height
        if width * height > max_pixels:
            container.close()
            megapixels = f"{max_pixels / 1e6:.0f} megapixels"
            raise CaptureError(
                f"{name} has pictures of {width}x{height}", f"scale them down to {megapixels} or less", subject=name
            )
        stream.codec_context.options = _limit(max_pixels)
    return container


def _limit(max_pixels: int) -> dict[str, str]:
    return {"max_pixels": str(max_pixels)}
