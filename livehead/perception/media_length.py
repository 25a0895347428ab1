"""How long the pictures and the sound of a media file last, as far as that is told without decoding them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av.error

from livehead.perception.av_files import open_media

_MICROSECOND = 1e-6
_USUAL_FPS = 25.0


def measure_video_s(path: Path) -> float | None:
    """Seconds that the pictures of ``path`` last; None where its header does not tell. Raises: CaptureError."""
    with open_media(path) as container:
        return _read_length_s(container, container.streams.video[0]) if container.streams.video else None


def read_frame_rate(path: Path) -> float:
    """Pictures a second of a video, on average; 25 where its header does not tell. Raises: CaptureError."""
    with open_media(path) as container:
        return float(container.streams.video[0].average_rate or _USUAL_FPS)


def measure_sound_s(path: Path) -> float:
    """Seconds from the file's time 0 to the end of its sound; 0 where it has none. Raises: CaptureError."""
    with open_media(path) as container:
        if not container.streams.audio:
            return 0.0
        stream = container.streams.audio[0]
        length_s = _read_length_s(container, stream)
        return _count_packets_s(container, stream) if length_s is None else length_s


def _read_length_s(container: Any, stream: Any) -> float | None:
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return container.duration * _MICROSECOND if container.duration else None


def _count_packets_s(container: Any, stream: Any) -> float:
    """Go through the packets of a file whose header tells no length, as a recorder that was stopped leaves it."""
    end_s = 0.0
    try:
        for packet in container.demux(stream):
            if packet.pts is not None:
                end_s = max(end_s, float((packet.pts + (packet.duration or 0)) * packet.time_base))
    except av.error.FFmpegError:
        pass  # what is readable up to the damage counts
    return end_s
