"""``livehead animate`` of a character sheet: an anime character in a sequence of poses becomes a video."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TypeVar, cast

import numpy as np

from livehead.animator import Animator, AvatarScene
from livehead.assembly.conr import CONR_MODEL, weights_version
from livehead.assembly.live_avatar import make_renderer
from livehead.assembly.video_export import LONGEST_SIDE, export_video, unbatched
from livehead.avatars.cache import AvatarCache
from livehead.capture.file import read_video_frames
from livehead.cli_options import print_status, settings_from_args
from livehead.clock import NS
from livehead.commands.animate import open_sound
from livehead.compositing.figure_compositor import FigureCompositor
from livehead.config import RunSettings
from livehead.drivers.dense_pose import DensePoseImageDriver, DensePoseSequenceDriver
from livehead.errors import CaptureError, ConfigError
from livehead.frames import Image, VideoFrame
from livehead.interfaces import Driver, DriverInputs
from livehead.motion.dense_pose import DensePose
from livehead.perception.character_sheet import list_pictures, read_character_sheet
from livehead.perception.dense_pose import is_dense_pose_folder, open_dense_pose_sequence
from livehead.perception.dense_pose_detector import DensePoseDetector
from livehead.perception.figure_framing import FigureWindow, find_visible_box, square_window
from livehead.perception.photo import read_cutout
from livehead.renderers.conr import ConrAvatar, ConrRenderer
from livehead.sinks.file import require_mp4

MotionT = TypeVar("MotionT")

_FACE_ONLY_OPTIONS = ("mode", "gain")  # options that say how a face follows another


@dataclass(frozen=True, slots=True, eq=False)
class _PoseInput:
    """Who poses: the ``driver`` and its ``moments`` (``count`` of them, if known), and what part of the poses'
    ``frame`` (width, height) is looked at."""

    driver: Driver[DensePose]
    inputs: Iterator[DriverInputs]
    frame_count: int | None
    window: FigureWindow
    frame_size: tuple[int, int]


class _IdentityTransfer:
    """Poses are the character's own: nothing of them is transferred, and where there is none, nothing idles."""

    def apply(self, motion: MotionT, now_ns: int = 0) -> MotionT:
        return motion


def animate_figure(args: argparse.Namespace) -> int:
    """One pass: poses in, pictures out. Raises: ConfigError, SourceError, CaptureError, WeightsError, SinkError."""
    settings = settings_from_args(args)
    _check_arguments(args)
    sheet = read_character_sheet(args.avatar)
    for hint in sheet.hints:
        print_status(hint)
    renderer = cast(ConrRenderer, make_renderer(CONR_MODEL, settings.render_size, precision=settings.precision))
    started = time.monotonic()
    avatar = AvatarCache().get_figure_avatar(sheet, renderer, weights_version())
    performance = _open_pose_input(args, renderer.detector, settings.stream.fps)
    size = settings.stream.size if "size" in vars(args) else _limit_size(performance.frame_size)
    stage = FigureCompositor(
        performance.window, performance.frame_size, size, settings.picture.background, settings.picture.badge
    )
    scene: AvatarScene[DensePose] = AvatarScene(sheet.name, avatar, _IdentityTransfer(), _IdentityTransfer(), stage)
    animator: Animator[DensePose] = Animator(
        performance.driver, renderer, [scene], size=settings.render_size, fade_s=0
    )
    seen = _DetectedPoseCounter()

    def draw(motion: DensePose) -> Image:
        seen.count_pose(motion)
        picture = animator.draw(motion)
        return _append_pose_panel(picture, motion) if args.debug_panels else picture

    motions = (animator.estimate(inputs) for inputs in performance.inputs)
    end_ns = round(performance.frame_count / settings.stream.fps * NS) if performance.frame_count else None
    heard = args.audio or (args.driving if args.driving.is_file() else None)
    sound = open_sound(heard, end_ns, required=args.audio is not None) if heard else None
    frames = asyncio.run(export_video(unbatched(draw), motions, sound, args.out, performance.frame_count))
    _report_results(
        args, settings, sheet_views=len(sheet.views), frames=frames, poses_found=seen.count, started_s=started
    )
    return 0


class _DetectedPoseCounter:
    """How many poses showed anything."""

    def __init__(self) -> None:
        self.count = 0

    def count_pose(self, motion: DensePose) -> None:
        self.count += motion.seen


def _check_arguments(args: argparse.Namespace) -> None:
    """What can be said before a network is loaded. Raises: ConfigError, CaptureError, SinkError."""
    if args.driving is None:
        raise ConfigError("nobody poses for the character", "add --driving with ultra-dense poses or a video")
    if not args.driving.exists():
        raise CaptureError(f"{args.driving} does not exist", "check the path", subject=str(args.driving))
    given = [option for option in _FACE_ONLY_OPTIONS if vars(args).get(option)]
    if given:
        raise ConfigError(
            "--relative, --absolute and --gain are for faces, not for poses", "leave them out", subject=given[0]
        )
    require_mp4(args.out)


def _open_pose_input(args: argparse.Namespace, detector: DensePoseDetector, fps: float) -> _PoseInput:
    """Poses from files, cut-out pictures or a video. Raises: CaptureError, ConfigError, SourceError."""
    driving: Path = args.driving
    if driving.is_file():
        frames = read_video_frames(driving)
        first = next(frames)
        width, height = first.size
        moments = (DriverInputs(frame, None, frame.captured_ns) for frame in chain([first], frames))
        window = square_window((0, 0, width, height))
        return _PoseInput(DensePoseImageDriver(detector, window), moments, None, window, first.size)
    if is_dense_pose_folder(driving):
        sequence = open_dense_pose_sequence(driving, args.udp_axes)
        if sequence.empty_files:
            print_status(
                f"{sequence.empty_files} of {len(sequence.files)} poses show nothing: there the picture is empty"
            )
        count = len(sequence.files)
        moments = (DriverInputs(None, None, round(number * NS / fps)) for number in range(count))
        return _PoseInput(DensePoseSequenceDriver(sequence, fps), moments, count, sequence.window, sequence.size)
    return _open_picture_folder(driving, detector, fps)


def _open_picture_folder(folder: Path, detector: DensePoseDetector, fps: float) -> _PoseInput:
    """A folder of cut-out pictures of any character, one a frame."""
    files = list_pictures(folder)
    if not files:
        raise CaptureError(f"{folder} holds neither poses nor pictures", "give .npz, .exr, .png or a video")
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


def _limit_size(frame_size: tuple[int, int]) -> tuple[int, int]:
    """The poses' own size, even, within ``LONGEST_SIDE``."""
    scale = min(1.0, LONGEST_SIDE / max(frame_size))
    width, height = (max(2, round(side * scale / 2) * 2) for side in frame_size)
    return width, height


def _append_pose_panel(picture: Image, motion: DensePose) -> Image:
    """``picture`` with the pose to its right, in colours."""
    import cv2

    height = picture.shape[0]
    colours = motion.to_rgba()
    shown = np.where(colours[..., 3:] > 0, colours[..., :3], 32).astype(np.uint8)
    pose = cv2.resize(shown, (height // 2 * 2, height), interpolation=cv2.INTER_NEAREST)
    return np.hstack([picture, pose]).astype(np.uint8, copy=False)


def _report_results(
    args: argparse.Namespace,
    settings: RunSettings,
    *,
    sheet_views: int,
    frames: int,
    poses_found: int,
    started_s: float,
) -> None:
    taken_s = time.monotonic() - started_s
    print_status(f"{args.out}: {frames} frames of {sheet_views} views in {taken_s:.1f} s")
    if args.json is None:
        return
    from livehead.reporting.report import Json, JsonReport, write_json

    inputs: dict[str, Json] = {"avatar": str(args.avatar), "driving": str(args.driving), "model": CONR_MODEL}
    inputs |= {"views": sheet_views, "udp_axes": args.udp_axes, "precision": settings.precision}
    results: dict[str, Json] = {
        "out": str(args.out),
        "frames": frames,
        "pose_found": round(poses_found / max(frames, 1), 5),
        "taken_s": round(taken_s, 3),
        "ms_a_frame": round(taken_s * 1000 / max(frames, 1), 3),
    }
    write_json(JsonReport("animate", inputs).finish(results), args.json)
