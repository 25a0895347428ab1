"""Media files through FFmpeg (PyAV): opening one, and decoding on through what is damaged."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av.error

from livehead.codecs.pixel_limits import open_bounded_container
from livehead.errors import CaptureError

log = logging.getLogger(__name__)


def open_media(path: Path) -> Any:
    """A container of PyAV's, whose decoders refuse pictures of more than 8K. Raises: CaptureError."""
    remedies = {
        av.error.FileNotFoundError: ("does not exist", "check the path"),
        av.error.IsADirectoryError: ("is a folder", "give a file"),
        av.error.PermissionError: ("may not be read", "change its permissions"),
    }
    try:
        # a name with a colon ("Interview: part 1.mp4") is no address, and nothing that FFmpeg fetches from elsewhere
        return open_bounded_container(f"file:{path}", str(path))
    except av.error.FFmpegError as error:
        problem, remedy = remedies.get(
            type(error), ("is damaged or no media file", "give a file that a player can play, as MP4 or WAV")
        )
        raise CaptureError(f"{path} {problem}", remedy, subject=str(path)) from error


def require_video_stream(path: Path) -> None:
    """Look whether a file can be opened and has pictures, without decoding any. Raises: CaptureError."""
    with open_media(path) as container:
        if not container.streams.video:
            raise no_video_error(path)


def require_sound_stream(path: Path) -> None:
    """Look whether a file can be opened and has sound, without decoding any. Raises: CaptureError."""
    with open_media(path) as container:
        if not container.streams.audio:
            raise no_sound_error(path)


def has_sound_stream(path: Path) -> bool:
    """Tell whether a file is a media file with sound; anything else is simply none."""
    try:
        require_sound_stream(path)
    except CaptureError:
        return False
    return True


def no_video_error(path: Path) -> CaptureError:
    """The error for a media file without pictures."""
    return CaptureError(f"{path} has no video stream", "give a video, or use it for its sound", subject=str(path))


def no_sound_error(path: Path) -> CaptureError:
    """The error for a media file without sound."""
    return CaptureError(f"{path} has no sound", "give a file with an audio track", subject=str(path))


def count_noun(count: int, noun: str) -> str:
    """A number with its noun, which gets its plural's s before an " of ": 1 frame, 2 frames, 3 pieces of sound."""
    head, space, tail = noun.partition(" of ")
    return f"{count} {head}{'' if count == 1 else 's'}{space}{tail}"


def decode_frames(container: Any, stream: Any) -> Iterator[Any]:
    """Frames of PyAV's, None for each packet that cannot be decoded; ends early where the file breaks off.

    FFmpeg's decoders name damage in many ways (AAC's calls a damaged element forbidden), so that each counts as damage.
    """
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError as error:
            log.warning("%s: reading stops early (%s)", container.name.removeprefix("file:"), error.strerror)
            return
        if packet is None:
            return
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            frames = [None]
        yield from frames
