"""Sequences of ultra-dense poses from files: a folder of ``.npz`` or OpenEXR pictures, in the order of their names."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import partial
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np

from livehead.codecs.pixel_limits import open_bounded_container
from livehead.errors import CaptureError, ConfigError
from livehead.frames import Image
from livehead.motion.dense_pose import DensePose
from livehead.motion.keypoints import Array
from livehead.perception.figure_framing import (
    CONR_SIDE,
    PixelBox,
    find_visible_box,
    resize_coordinates,
    resize_square,
    square_window,
)
from livehead.perception.pixel_square import PixelSquare
from livehead.untrusted_files import DamagedFileError, guard_parser, parse_arrays, read_untrusted

AXES = "xyz"
"""What the first three channels of a file hold where nobody says otherwise."""

_SUFFIXES = (".npz", ".exr")
_ARRAY_NAME = "i"  # the name of the array in an .npz, as its authors' tools write it
_MAX_SIDE = 8192  # pixels a side: what is larger is no picture
_MAX_BYTES = 16 * _MAX_SIDE**2
_VALUE_TOLERANCE = 0.02  # how far outside [0, 1] a value may be by rounding or resampling
_FORMAT_REMEDY = "give .npz files with an array 'i', or OpenEXR pictures, of float [H, W, 4]: X, Y, Z, visibility"


@dataclass(frozen=True, slots=True)
class DensePoseSequence:
    """Poses in ``files``, all of ``size`` (width, height), of which ``window`` shows what any of them shows.

    One window for all: with one for each, the figure would breathe whenever an arm moves. ``axes``: which coordinate
    each of the first three channels holds; ``empty``: how many files show nothing.
    """

    files: tuple[Path, ...]
    size: tuple[int, int]
    window: PixelSquare
    axes: str
    empty_files: int

    def read_pose(self, number: int, captured_ns: int) -> DensePose:
        """The pose in file ``number``. Raises: CaptureError."""
        return frame_dense_pose(read_dense_pose(self.files[number], self.axes), self.window, captured_ns)


def is_dense_pose_folder(path: Path) -> bool:
    """Tell whether there are poses in it."""
    return path.is_dir() and bool(_list_pose_files(path))


def open_dense_pose_sequence(folder: Path, axes: str = AXES) -> DensePoseSequence:
    """Look through the files of ``folder`` once. Raises: CaptureError, ConfigError for ``axes``."""
    require_axes(axes)
    files = _list_pose_files(folder)
    if not files:
        raise CaptureError(f"{folder} holds no poses", _FORMAT_REMEDY, subject=str(folder))
    boxes: list[PixelBox] = []
    size = (0, 0)
    for file in files:
        pose = read_dense_pose(file, axes)
        height, width = pose.shape[:2]
        if size not in ((0, 0), (width, height)):
            raise CaptureError(
                f"{file} is {width}x{height}, those before it {size[0]}x{size[1]}", "render all frames at one size"
            )
        size = (width, height)
        if (box := find_visible_box(quantize_pose(pose)[..., 3])) is not None:
            boxes.append(box)
    if not boxes:
        raise CaptureError(f"no pose in {folder} shows anything", "the fourth channel must be 1 on the body")
    left, top, right, bottom = zip(*boxes, strict=True)
    window = square_window((min(left), min(top), max(right), max(bottom)))
    return DensePoseSequence(tuple(files), size, window, axes, len(files) - len(boxes))


def require_axes(axes: str) -> None:
    """Check the axes. Raises: ConfigError unless ``axes`` names each of x, y, z once."""
    known = ["".join(order) for order in permutations(AXES)]
    if axes not in known:
        raise ConfigError(f"{axes!r} is no order of axes", f"use one of {', '.join(known)}", subject=axes)


def read_dense_pose(path: Path, axes: str = AXES) -> Array:
    """One pose: float32 [H, W, 4] X, Y, Z, visibility in [0, 1], 0 where nothing is seen.

    Raises: CaptureError for anything else, values outside [0, 1] among them.
    """
    pose = _read_npz(path) if path.suffix.lower() == ".npz" else _read_exr(path)
    if pose.ndim != 3 or pose.shape[2] != 4 or pose.dtype.kind not in "fiu" or not pose.size:
        raise CaptureError(f"{path} holds {pose.dtype} {list(pose.shape)}", _FORMAT_REMEDY, subject=str(path))
    pose = pose.astype(np.float32)
    seen = pose[..., 3] > 0
    told = pose[seen]
    if not (np.isfinite(pose[..., 3]).all() and np.isfinite(told).all()):
        raise CaptureError(f"{path} holds values that are no numbers", "render it again", subject=str(path))
    low, high = min(float(pose[..., 3].min()), float(told.min(initial=0))), float(told.max(initial=0))
    if low < -_VALUE_TOLERANCE or high > 1 + _VALUE_TOLERANCE:
        raise CaptureError(
            f"{path} goes from {low:.3g} to {high:.3g}, not from 0 to 1",
            "scale X, Y and Z by the extent of the T-pose (8-bit values by 255)",
            subject=str(path),
        )
    order = [axes.index(axis) for axis in AXES]
    return np.where(seen[..., None], pose[..., [*order, 3]], np.float32(0)).clip(0, 1)


def quantize_pose(pose: Array) -> Image:
    """A pose in eight bits, rounded down: its last channel frames it and is what counts as visible."""
    return (pose * 255).clip(0, 255).astype(np.uint8)


def frame_dense_pose(pose: Array, window: PixelSquare, captured_ns: int) -> DensePose:
    """Return what ``window`` shows of ``pose`` [H, W, 4], at the networks' size.

    Coordinates are never mixed, or edges would show parts of the body that are not there; visibility is.
    """
    square = window.extract(pose)
    visible = resize_square(quantize_pose(square), CONR_SIDE)[..., 3:].astype(np.float32) / 255
    return DensePose(np.dstack([resize_coordinates(square, CONR_SIDE)[..., :3], visible]), captured_ns)


def _list_pose_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise CaptureError(f"{folder} is no folder", _FORMAT_REMEDY, subject=str(folder))
    return sorted(f for f in folder.iterdir() if f.suffix.lower() in _SUFFIXES and not f.name.startswith("."))


def _read_npz(path: Path) -> np.ndarray[Any, Any]:
    try:
        arrays = read_untrusted(path, partial(parse_arrays, max_bytes=_MAX_BYTES), max_bytes=_MAX_BYTES)
        array = arrays[_ARRAY_NAME]
    except (OSError, KeyError, DamagedFileError) as error:
        raise CaptureError(f"{path} cannot be read as a pose", _FORMAT_REMEDY, subject=str(path)) from error
    return array


def _read_exr(path: Path) -> np.ndarray[Any, Any]:
    """Red, green, blue and alpha of an OpenEXR picture hold X, Y, Z and visibility."""
    try:
        data = io.BytesIO(path.read_bytes())
        with guard_parser(), open_bounded_container(data, str(path), _MAX_SIDE**2, format="exr_pipe") as container:
            frame = next(container.decode(video=0))
            if frame.format.name != "gbrapf32le" or max(frame.width, frame.height) > _MAX_SIDE:
                raise CaptureError(f"{path} has {frame.format.name} pixels", _FORMAT_REMEDY, subject=str(path))
            picture: np.ndarray[Any, Any] = frame.to_ndarray()
            return picture
    except (OSError, DamagedFileError) as error:
        raise CaptureError(f"{path} cannot be read as a pose", _FORMAT_REMEDY, subject=str(path)) from error
