"""Pictures of a video that a photo may be chosen from: a bounded number, whatever its length."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np

from livehead.errors import CaptureError, SourceError
from livehead.perception.av_files import decode_frames, no_video_error, open_media
from livehead.perception.photo import require_photo_size
from livehead.perception.photo_frames import MAX_COUNTED_FRAMES, MAX_FRAMES, PhotoFrame, keep_clear_frames
from livehead.perception.photo_pixels import load_reduced


def check_video_stills(path: Path) -> None:
    """Look at the header alone of what ``read_video_stills`` reads. Raises: SourceError."""
    with _open_video(path):
        pass


def read_video_stills(path: Path) -> list[PhotoFrame]:
    """``MAX_FRAMES`` pictures of a video, spread evenly. Raises: SourceError."""
    with _open_video(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        length_s = (container.duration or 0) / av.time_base
        fps = float(stream.average_rate or 25)
        if length_s * fps <= MAX_COUNTED_FRAMES:
            found = keep_clear_frames(_decode_spread(container, stream))
        else:
            found = keep_clear_frames(_decode_sought(container, stream, length_s))
    if not found:
        raise SourceError(f"{path} holds no readable picture", "use another video, or a photo", subject=str(path))
    require_photo_size(found[0].image, str(path))
    return found


def _decode_spread(container: Any, stream: Any) -> list[PhotoFrame]:
    """At most ``2 * MAX_FRAMES`` pictures, evenly spread over a video each of whose pictures is decoded.

    What a file says of its length is not relied on: whenever there are too many, every other one is dropped.
    """
    found: list[PhotoFrame] = []
    step = 1
    for number, frame in enumerate(decode_frames(container, stream)):
        if number >= MAX_COUNTED_FRAMES:
            break
        if frame is None or number % step:
            continue
        found.append(_to_photo_frame(frame))
        if len(found) >= 2 * MAX_FRAMES:
            found, step = found[::2], 2 * step
    return found


def _decode_sought(container: Any, stream: Any, length_s: float) -> Iterator[PhotoFrame]:
    """The key pictures next before evenly spread moments of a long video."""
    seen: set[int | None] = set()
    for moment in range(MAX_FRAMES):
        try:
            container.seek(int((moment + 0.5) * length_s / MAX_FRAMES * av.time_base))
            frame = next((each for each in decode_frames(container, stream) if each is not None), None)
        except av.error.FFmpegError:
            continue
        if frame is not None and frame.pts not in seen:
            seen.add(frame.pts)
            yield _to_photo_frame(frame)


def _to_photo_frame(frame: Any) -> PhotoFrame:
    """A picture of PyAV's, upright as the file's rotation says and reduced as photos are."""
    picture = frame.to_image()
    turns = round(frame.rotation / 90) % 4
    if turns:
        picture = picture.rotate(90 * turns, expand=True)
    return PhotoFrame(np.array(load_reduced(picture), np.uint8), f"the picture at {frame.time or 0:.1f} s")


def _open_video(path: Path) -> Any:
    """A container with pictures. Raises: SourceError."""
    try:
        container = open_media(path)
        if not container.streams.video:
            container.close()
            raise no_video_error(path)
    except CaptureError as error:
        raise SourceError(error.problem, "use another video, or a photo", subject=str(path)) from error
    return container
