"""The colour space in which every picture is encoded: BT.709 with limited range."""

from __future__ import annotations

from typing import Any

BT709 = 1
"""The code of BT.709 in ITU-T H.273, for primaries, transfer characteristics and matrix alike."""

_LIMITED_RANGE = 1  # FFmpeg's AVCOL_RANGE_MPEG


def label_as_bt709(codec_context: Any) -> None:
    """Let the encoder ``codec_context`` (PyAV, not open yet) write BT.709 and limited range into its stream."""
    codec_context.colorspace = codec_context.color_primaries = codec_context.color_trc = BT709
    codec_context.color_range = _LIMITED_RANGE
