"""The clips of an evaluation: their list, and exactly the frames that the protocol asks for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import cv2
import numpy as np

from livehead.codecs.pixel_limits import open_bounded_container
from livehead.errors import CaptureError, ConfigError
from livehead.frames import Image


def list_clips(folder: Path, names: Path | None = None) -> list[Path]:
    """The ``.mp4`` files of ``folder``, or those that the text file ``names`` lists, one a line.

    Raises: ConfigError when the folder, the list or a listed clip is missing, or when there is nothing to evaluate.
    """
    if not folder.is_dir():
        raise ConfigError(f"there is no folder {folder}", "give --clips a folder of .mp4 files", subject=str(folder))
    if names is None:
        clips = sorted(folder.glob("*.mp4"))
    else:
        try:
            lines = names.read_text(encoding="utf-8").split()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"cannot read the list {names} ({error})",
                "give --list a text file with one clip a line",
                subject=str(names),
            ) from error
        clips = [folder / line for line in lines]
        missing = [clip.name for clip in clips if not clip.is_file()]
        if missing:
            raise ConfigError(
                f"{len(missing)} clips of {names} are not in {folder}, the first is {missing[0]}",
                "give --clips the folder that holds them",
                subject=missing[0],
            )
    if not clips:
        raise ConfigError(f"no .mp4 file in {folder}", "give --clips a folder of .mp4 files", subject=str(folder))
    return clips


def driving_indices(total: int, count: int) -> list[int]:
    """The indices of the driving frames: ``count``, evenly spaced over all but the first, or all of those if fewer."""
    if total < 2:
        return []
    return [int(index) for index in np.unique(np.linspace(1, total - 1, min(count, total - 1)).round().astype(int))]


def read_frames(path: Path, indices: Sequence[int], side: int) -> dict[int, Image]:
    """The frames with ``indices`` of a clip as uint8 [side, side, 3] RGB; frames that the clip lacks are left out.

    Clips of another size are scaled, clips of another shape are cut to the square in their middle.

    Raises: CaptureError when the file cannot be read as video.
    """
    wanted = set(indices)
    last = max(wanted, default=-1)
    frames: dict[int, Image] = {}
    for index, frame in enumerate(_decode_frames(path)):
        if index in wanted:
            frames[index] = crop_square(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8), side)
        if index >= last:
            break
    return frames


def read_all_frames(path: Path, every: int = 1) -> list[Image]:
    """Every ``every``-th frame of a clip from the first on, uint8 [H, W, 3] RGB as it is. Raises: CaptureError."""
    frames = _decode_frames(path)
    return [np.asarray(f.to_ndarray(format="rgb24"), np.uint8) for i, f in enumerate(frames) if i % every == 0]


def count_frames(path: Path) -> int:
    """The number of frames that a clip really has: all are decoded, as a header may be wrong. Raises: CaptureError."""
    return sum(1 for _ in _decode_frames(path))


def _decode_frames(path: Path) -> Iterator[av.VideoFrame]:
    """The decoded frames of the first video stream, one after the other."""
    try:
        with open_bounded_container(str(path), str(path)) as container:
            if not container.streams.video:
                raise CaptureError(f"{path} has no video stream", "give a clip with a picture", subject=str(path))
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            yield from container.decode(stream)
    except (av.error.FFmpegError, OSError) as error:
        raise CaptureError(f"cannot read {path} ({error})", "is it a video file?", subject=str(path)) from error


def crop_square(image: Image, side: int) -> Image:
    """The square in the middle of ``image`` [H, W, 3], scaled to [side, side, 3]."""
    height, width = image.shape[:2]
    edge = min(height, width)
    top, left = (height - edge) // 2, (width - edge) // 2
    image = image[top : top + edge, left : left + edge]
    if edge != side:
        shrinks = edge > side
        image = np.asarray(
            cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
        )
    return np.ascontiguousarray(image)
