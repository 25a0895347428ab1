"""``livehead animate``: a photo moved by a recorded video, or by recorded speech, into a file."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
from tqdm import tqdm

from livehead.assembly.conr import is_figure_avatar
from livehead.assembly.live_avatar import LiveAvatar, build_live_avatar, make_driver, open_portraits
from livehead.assembly.video_export import choose_batch_size, export_video, photo_size, read_sound_frames, unbatched
from livehead.avatars.cache import AvatarCache
from livehead.capture.file import FileCapture
from livehead.cli_options import add_picture_arguments, print_status, settings_from_args
from livehead.concurrency import Worker
from livehead.config import RunSettings
from livehead.errors import CaptureError, ConfigError, NoFaceError
from livehead.frames import AudioFrame, Image
from livehead.interfaces import Driver, DriverInputs, EndOfStream
from livehead.motion.keypoints import MESH478, Keypoints, to_pixels, to_square
from livehead.motion.retarget.best_frame import find_best_frame
from livehead.motion.retarget.calibration import NeutralCalibration, find_best_neutral
from livehead.perception.dense_pose import AXES
from livehead.perception.portrait import Portrait, propose_crop
from livehead.renderers.debug_panels import DebugPanelRenderer

_FACE_MESH_POINTS = 468  # points of the face mesh without the irises


def add_arguments(parser: argparse.ArgumentParser) -> None:
    whom = "whom to animate: a photo, with consent, or a folder with a character sheet (cut-out pictures)"
    parser.add_argument("--avatar", type=Path, required=True, metavar="PHOTO|SHEET", help=whom)
    performer = "the performer, in a video; of a character sheet also a folder of ultra-dense poses or pictures"
    parser.add_argument("--driving", type=Path, metavar="VIDEO|FOLDER", help=f"{performer}; with --audio alone: speech")
    axes = "what the first three channels of ultra-dense poses hold, as xyz, zxy or xzy"
    parser.add_argument("--udp-axes", default=AXES, metavar="ORDER", help=axes)
    sound = "speech, from any audio or video file; beside --driving: sound instead of the video's own"
    parser.add_argument("--audio", type=Path, metavar="FILE", help=sound)
    parser.add_argument("--out", type=Path, required=True, metavar="OUT.mp4", help="the result")
    parser.add_argument(
        "--debug-panels",
        action="store_true",
        help="beside it what led there: depth to attention (dagan), the pose (conr)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write figures of the run")
    fps = "pictures a second of the result; with --driving the video's own times are kept"
    parser.add_argument("--fps", type=float, default=argparse.SUPPRESS, help=fps)
    add_picture_arguments(parser)


def main(args: argparse.Namespace) -> int:
    """A character sheet is drawn in poses. A photo is moved in two passes: the performer's motion and his neutral face,
    then the pictures; speech alone takes one."""
    if is_figure_avatar(args.avatar, vars(args).get("model", "auto")):
        from livehead.assembly.character_video import animate_figure

        return animate_figure(args)
    if args.driving is None:
        from livehead.assembly.speech_video import animate_audio

        if args.audio is None:
            raise ConfigError("there is nobody to drive the avatar", "add --driving VIDEO or --audio SPEECH, or both")
        return animate_audio(args)
    settings = settings_from_args(args)
    store = AvatarCache()
    (portrait,) = open_portraits([args.avatar], store, print_status)
    started = time.monotonic()
    watched = asyncio.run(_track_video(args.driving, portrait, settings))
    neutral = _find_neutral(watched, portrait)
    if neutral is None:
        raise NoFaceError(f"no face in {args.driving}", "give a video that shows the performer's face")
    if settings.mode == "absolute" and neutral.set == MESH478:
        watched = _crop_to_head(watched, neutral)
    size = settings.stream.size
    if "size" not in vars(args):
        size = photo_size(portrait)
        settings = settings.model_copy(update={"picture": settings.picture.model_copy(update={"fit": "fit"})})
    company = build_live_avatar(
        settings, [portrait], watched.driver, store, calibration=NeutralCalibration(neutral), size=size
    )
    end_ns = watched.motions[-1].captured_ns
    sound = open_sound(args.audio or args.driving, end_ns, required=args.audio is not None)
    draw = unbatched(_make_panel_draw(company)) if args.debug_panels else company.animator.draw_many
    together = choose_batch_size(settings.model)
    asyncio.run(export_video(draw, watched.motions, sound, args.out, len(watched.motions), together))
    taken_s = time.monotonic() - started
    _report_results(args, settings, watched, taken_s)
    return 0


@dataclass(frozen=True, slots=True, eq=False)
class _TrackedVideo:
    """The performer's motion in every frame of a video of ``size``, as ``driver`` saw it, and the video's length.

    ``meshes``: face meshes of the same frames, where the motion is none itself.
    """

    driver: Driver[Keypoints]
    motions: list[Keypoints]
    face_meshes: list[Keypoints]
    frame_size: tuple[int, int]
    duration_s: float


async def _track_video(path: Path, portrait: Portrait, settings: RunSettings) -> _TrackedVideo:
    driver = make_driver("auto", [portrait], settings.model, settings.precision)
    tracker = make_driver("face", [portrait]) if driver.motion_set != MESH478 else None
    motions: list[Keypoints] = []
    meshes: list[Keypoints] = []
    size, seconds, step = (0, 0), 0.0, 0.0
    async with Worker("watch") as worker, FileCapture(path, live=False) as capture:
        with tqdm(desc="watching", unit="frame", disable=None) as bar:
            while True:
                try:
                    frame = await capture.recv()
                except EndOfStream:
                    break
                inputs = DriverInputs(frame, None, frame.captured_ns)
                motions.append(await worker.run(driver.estimate, inputs))
                if tracker is not None:
                    meshes.append(await worker.run(tracker.estimate, inputs))
                step, seconds, size = frame.seconds - seconds, frame.seconds, frame.size
                bar.update()
    return _TrackedVideo(driver, motions, meshes, size, seconds + (step or 1 / 25))


def _find_neutral(tracked: _TrackedVideo, portrait: Portrait) -> Keypoints | None:
    """What relative motion is measured from: a neutral face; of learned points, the frame most like the photo."""
    seen = [i for i, mesh in enumerate(tracked.face_meshes) if mesh.seen and tracked.motions[i].seen]
    if not seen:
        return find_best_neutral(tracked.motions)
    face = portrait.motion.value[0, :_FACE_MESH_POINTS]
    return tracked.motions[
        seen[find_best_frame(face, [tracked.face_meshes[i].value[0, :_FACE_MESH_POINTS] for i in seen])]
    ]


def _crop_to_head(tracked: _TrackedVideo, neutral: Keypoints) -> _TrackedVideo:
    """For absolute motion: the points relative to head and shoulders, unless the video already is such a square."""
    width, height = tracked.frame_size
    if width == height:
        return tracked
    points = neutral.points3d()[0]
    points[:, :2] = to_pixels(points[:, :2], width, height)
    points[:, 2] *= max(width, height) / 2
    crop = propose_crop(points, width, height)
    zoom = np.float32(max(width, height) / crop.side)
    corner = to_square(np.array([crop.left, crop.top], np.float32) - 0.5, width, height)
    motions = [
        replace(
            motion,
            value=(motion.value - corner) * zoom - 1,
            depth=None if motion.depth is None else motion.depth * zoom,
            torso=None if motion.torso is None else (motion.torso - corner) * zoom - 1,
        )
        for motion in tracked.motions
    ]
    return replace(tracked, motions=motions)


def _make_panel_draw(live_avatar: LiveAvatar) -> Callable[[Keypoints], Image]:
    """As the animator draws, with what led there beside it. Raises: ConfigError for a model that shows nothing."""
    renderer, avatar, transfer = live_avatar.renderer, live_avatar.avatars[0], live_avatar.transfers[0]
    if not isinstance(renderer, DebugPanelRenderer):
        raise ConfigError("--debug-panels show what dagan and dagan-spade see", "add --model dagan, or leave it out")

    def draw(motion: Keypoints) -> Image:
        picture = live_avatar.animator.draw(motion)
        moved = transfer.apply(motion) if motion.seen else avatar.motion
        return renderer.debug_panels(avatar, moved).draw_beside(picture)

    return draw


def open_sound(path: Path, end_ns: int | None, *, required: bool) -> Iterator[AudioFrame] | None:
    """The sound of ``path``, up to ``end_ns`` if given; None without any, unless ``wanted``. Raises: CaptureError."""
    frames = read_sound_frames(path, end_ns)
    try:
        first = next(frames, None)
    except CaptureError:
        if required:
            raise
        return None
    return None if first is None else chain([first], frames)


def _report_results(args: argparse.Namespace, settings: RunSettings, tracked: _TrackedVideo, taken_s: float) -> None:
    frames, seen = len(tracked.motions), sum(motion.seen for motion in tracked.motions)
    print_status(f"{args.out}: {frames} frames, {tracked.duration_s:.1f} s of video in {taken_s:.1f} s")
    if seen < frames:
        print_status(f"no face in {frames - seen} frames of {args.driving.name}: there the avatar idles")
    if args.json is None:
        return
    from livehead.reporting.report import Json, JsonReport, write_json

    inputs = {"avatar": str(args.avatar), "driving": str(args.driving), "model": settings.model, "mode": settings.mode}
    results: dict[str, Json] = {
        "out": str(args.out),
        "frames": frames,
        "driving_face_found": round(seen / frames, 5),
        "clip_s": round(tracked.duration_s, 3),
        "taken_s": round(taken_s, 3),
        "real_time_factor": round(taken_s / tracked.duration_s, 4),
    }
    write_json(JsonReport("animate", inputs).finish(results), args.json)
