"""What ``--driving`` names: a video, a recorded motion, or a still picture of the performer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from livehead.assembly.input_checks import check_input_file, resolve_model_name
from livehead.assembly.time_range import TimeRange
from livehead.errors import CaptureError, ConfigError
from livehead.motion.keypoints import MESH478, Keypoints
from livehead.perception.av_files import require_video_stream
from livehead.perception.media_length import measure_sound_s, measure_video_s
from livehead.perception.photo import is_photo, read_first_bytes
from livehead.protocol.motion_file import load_motion
from livehead.registry import find_renderer

DrivingKind = Literal["video", "motion", "still"]
_ZIP_START = b"PK\x03\x04"  # of a motion file, which is NumPy's .npz


def detect_driving_kind(path: Path) -> DrivingKind:
    """Tell what a driving file is, by its first bytes. Raises: CaptureError, SourceError."""
    check_input_file(path)
    if path.suffix.lower() == ".npz" or read_first_bytes(path).startswith(_ZIP_START):
        return "motion"
    return "still" if is_photo(path) else "video"


def check_driving_video(path: Path, time_range: TimeRange) -> None:
    """Look whether a file has pictures in the range. Raises: CaptureError."""
    require_video_stream(path)
    _check_start(path, measure_video_s(path), time_range)


def check_sound_range(path: Path, time_range: TimeRange) -> None:
    """Look whether the sound of a file reaches into the range. Raises: CaptureError."""
    _check_start(path, measure_sound_s(path) or None, time_range)


def _check_start(path: Path, length_s: float | None, time_range: TimeRange) -> None:
    if length_s is not None and time_range.clip_s(length_s) <= 0:
        raise CaptureError(
            f"{path} lasts {length_s:.1f} s, and --start {time_range.start_s:g} is not before its end",
            "give an earlier --start",
            subject=str(path),
        )


def read_driving_motion(path: Path, time_range: TimeRange, model: str) -> list[Keypoints]:
    """The range of a motion file, its times counted from the range's start, for an avatar of ``model``.

    Raises: CaptureError; ConfigError for points that ``model`` does not take.
    """
    motion = load_motion(path)
    name = resolve_model_name(model)
    taken = find_renderer(name).motion_sets
    if taken and motion[0].set not in taken:
        raise ConfigError(
            f"{path} holds {motion[0].set} points, which {name} does not take",
            "name the --model that it was recorded for",
            subject=str(path),
        )
    if not taken and motion[0].set == MESH478:
        raise ConfigError(
            f"{path} holds the face mesh, which {name} does not take", "add --model compact", subject=str(path)
        )
    _check_start(path, motion[-1].captured_ns * 1e-9 or None, time_range)
    start_ns, end_ns = time_range.start_ns, time_range.end_ns
    return [
        replace(each, captured_ns=each.captured_ns - start_ns)
        for each in motion
        if start_ns <= each.captured_ns and (end_ns is None or each.captured_ns < end_ns)
    ]
