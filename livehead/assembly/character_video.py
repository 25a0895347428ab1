"""An anime character, given as a character sheet, becomes a video of it in a sequence of poses."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TypeVar, cast

import numpy as np

from livehead.animator import Animator, AvatarScene
from livehead.assembly.animation import AnimationRequest, no_poses_error
from livehead.assembly.conr import CONR_MODEL, weights_version
from livehead.assembly.live_avatar import make_renderer
from livehead.assembly.time_range import TimeRange
from livehead.assembly.video_export import ExportSettings, export_video, limit_size, unbatched
from livehead.avatars.cache import AvatarCache
from livehead.capture.file import read_video_frames
from livehead.clock import NS
from livehead.compositing.figure_compositor import FigureCompositor
from livehead.drivers.dense_pose import DensePoseImageDriver, DensePoseSequenceDriver
from livehead.errors import CaptureError, ConfigError
from livehead.frames import Image, VideoFrame
from livehead.interfaces import Driver, DriverInputs
from livehead.motion.dense_pose import DensePose
from livehead.perception.character_sheet import list_pictures, read_character_sheet
from livehead.perception.dense_pose import is_dense_pose_folder, open_dense_pose_sequence
from livehead.perception.dense_pose_detector import DensePoseDetector
from livehead.perception.figure_framing import find_visible_box, square_window
from livehead.perception.photo import read_cutout
from livehead.perception.pixel_square import PixelSquare
from livehead.renderers.conr import ConrAvatar, ConrRenderer

MotionT = TypeVar("MotionT")


@dataclass(frozen=True, slots=True, eq=False)
class _PoseInput:
    """The ``driver`` of the poses and its ``inputs``, ``frame_count`` of them if that is known.

    ``window`` is the part of the poses' pictures that is looked at; ``frame_size`` is their width and height.
    """

    driver: Driver[DensePose]
    inputs: Iterator[DriverInputs]
    frame_count: int | None
    window: PixelSquare
    frame_size: tuple[int, int]


class _IdentityTransfer:
    """A transfer that changes nothing: poses are the character's own, and where there is none, nothing idles."""

    def apply(self, motion: MotionT, now_ns: int = 0) -> MotionT:
        return motion


@dataclass(frozen=True, slots=True)
class CharacterVideoFigures:
    """How many pictures were drawn from how many ``views``, how many poses showed anything, and the time taken."""

    frames: int
    views: int
    poses_found: int
    taken_s: float


def animate_character(request: AnimationRequest) -> CharacterVideoFigures:
    """Draw a character sheet in the poses of ``request.driving``, in one pass.

    Raises: ConfigError, SourceError, CaptureError, WeightsError, SinkError.
    """
    if request.driving is None:
        raise ConfigError("nobody poses for the character", "add --driving with ultra-dense poses or a video")
    settings = request.settings
    sheet = read_character_sheet(request.avatar)
    for hint in sheet.hints:
        request.notify(hint)
    renderer = cast(ConrRenderer, make_renderer(CONR_MODEL, settings.render_size, precision=settings.precision))
    started = time.monotonic()
    avatar = AvatarCache().get_figure_avatar(sheet, renderer, weights_version())
    poses = _open_pose_input(request, request.driving, renderer.detector)
    animator = _make_animator(request, avatar, poses, renderer, sheet.name)
    seen = _DetectedPoseCounter()

    def draw(motion: DensePose) -> Image:
        seen.count_pose(motion)
        picture = animator.draw(motion)
        return _append_pose_panel(picture, motion) if request.debug_panels else picture

    motions = (animator.estimate(inputs) for inputs in poses.inputs)
    export = ExportSettings(request.out, poses.frame_count, crf=request.crf, sound_ends_with_pictures=True)
    written = asyncio.run(export_video(unbatched(draw), motions, request.open_sound(), export))
    return CharacterVideoFigures(written.frames, len(sheet.views), seen.count, time.monotonic() - started)


def _make_animator(
    request: AnimationRequest, avatar: ConrAvatar, poses: _PoseInput, renderer: ConrRenderer, name: str
) -> Animator[DensePose]:
    picture = request.settings.picture
    size = request.size or limit_size(*poses.frame_size)
    compositor = FigureCompositor(poses.window, poses.frame_size, size, picture.background, picture.badge)
    scene: AvatarScene[DensePose] = AvatarScene(name, avatar, _IdentityTransfer(), _IdentityTransfer(), compositor)
    return Animator(poses.driver, renderer, [scene], size=request.settings.render_size, fade_s=0)


class _DetectedPoseCounter:
    """Counts the poses that showed anything."""

    def __init__(self) -> None:
        self.count = 0

    def count_pose(self, motion: DensePose) -> None:
        self.count += motion.seen


def _open_pose_input(request: AnimationRequest, driving: Path, detector: DensePoseDetector) -> _PoseInput:
    """Poses from files, cut-out pictures or a video. Raises: CaptureError, ConfigError, SourceError."""
    fps, part = request.settings.stream.fps, request.time_range
    if driving.is_file():
        frames = read_video_frames(driving, part.start_s, part.end_s)
        first = next(frames)
        width, height = first.size
        inputs = (DriverInputs(frame, None, frame.captured_ns) for frame in chain([first], frames))
        window = square_window((0, 0, width, height))
        return _PoseInput(DensePoseImageDriver(detector, window), inputs, None, window, first.size)
    if is_dense_pose_folder(driving):
        sequence = open_dense_pose_sequence(driving, request.pose_axes)
        if sequence.empty_files:
            request.notify(
                f"{sequence.empty_files} of {len(sequence.files)} poses show nothing: there the picture is empty"
            )
        sequence = replace(sequence, files=sequence.files[part.select_frames(fps)])
        count = len(sequence.files)
        if not count:
            raise _empty_part_error(driving)
        inputs = (DriverInputs(None, None, round(number * NS / fps)) for number in range(count))
        return _PoseInput(DensePoseSequenceDriver(sequence, fps), inputs, count, sequence.window, sequence.size)
    return _open_picture_folder(driving, detector, fps, part)


def _empty_part_error(driving: Path) -> CaptureError:
    return CaptureError(f"{driving} has no frame between --start and --end", "give an earlier --start")


def _open_picture_folder(folder: Path, detector: DensePoseDetector, fps: float, part: TimeRange) -> _PoseInput:
    """A folder of cut-out pictures of any character, one a frame."""
    found = list_pictures(folder)
    files = found[part.select_frames(fps)]
    if found and not files:
        raise _empty_part_error(folder)
    if not files:
        raise no_poses_error(folder)
    sizes, boxes = set(), []
    for file in files:
        picture = read_cutout(file)
        sizes.add((picture.shape[1], picture.shape[0]))
        boxes += [box] if (box := find_visible_box(picture[..., 3])) else []
    if len(sizes) > 1 or not boxes:
        problem = "are of several sizes" if boxes else "show nothing"
        raise CaptureError(f"the pictures in {folder} {problem}", "give pictures of a character, all of one size")
    left, top, right, bottom = zip(*boxes, strict=True)
    window = square_window((min(left), min(top), max(right), max(bottom)))

    def read_inputs() -> Iterator[DriverInputs]:
        for number, file in enumerate(files):
            moment_ns = round(number * NS / fps)
            yield DriverInputs(
                VideoFrame(read_cutout(file), number, Fraction(1) / Fraction(fps), moment_ns), None, moment_ns
            )

    return _PoseInput(DensePoseImageDriver(detector, window), read_inputs(), len(files), window, sizes.pop())


def _append_pose_panel(picture: Image, motion: DensePose) -> Image:
    """``picture`` with the pose to its right, in colours."""
    import cv2

    height = picture.shape[0]
    colours = motion.to_rgba()
    shown = np.where(colours[..., 3:] > 0, colours[..., :3], 32).astype(np.uint8)
    pose = cv2.resize(shown, (height // 2 * 2, height), interpolation=cv2.INTER_NEAREST)
    return np.hstack([picture, pose]).astype(np.uint8, copy=False)
