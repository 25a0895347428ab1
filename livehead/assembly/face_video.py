"""A photo moved by a recorded performer: the video is tracked first, then the pictures are drawn and written."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from livehead.assembly.animation import AnimationRequest
from livehead.assembly.live_avatar import LiveAvatar, build_live_avatar, make_driver, open_portraits
from livehead.assembly.video_export import choose_batch_size, export_video, unbatched
from livehead.avatars.cache import AvatarCache
from livehead.capture.file import FileCapture
from livehead.concurrency import Worker
from livehead.config import RunSettings
from livehead.errors import ConfigError, NoFaceError
from livehead.frames import Image
from livehead.interfaces import Driver, DriverInputs, EndOfStream
from livehead.motion.keypoints import MESH478, Keypoints, to_pixels, to_square
from livehead.motion.retarget.best_frame import find_best_frame
from livehead.motion.retarget.calibration import NeutralCalibration, find_best_neutral
from livehead.motion.retarget.shot_neutrals import add_shot_neutrals
from livehead.perception.portrait import Portrait, propose_crop
from livehead.renderers.debug_panels import DebugPanelRenderer

_FACE_MESH_POINTS = 468  # points of the face mesh without the irises
_DEFAULT_STEP_S = 1 / 25  # how long the picture of a video with a single one is shown


@dataclass(frozen=True, slots=True)
class FaceVideoFigures:
    """How many frames were drawn and in how many the performer's face was found; the video's length, the time taken."""

    frames: int
    frames_with_face: int
    duration_s: float
    taken_s: float


@dataclass(frozen=True, slots=True, eq=False)
class TrackedVideo:
    """The performer's motion in every frame of a video, as ``driver`` saw it.

    ``face_meshes`` are the face meshes of the same frames, where the motion itself is none. ``frame_size`` is the
    video's width and height in pixels.
    """

    driver: Driver[Keypoints]
    motions: list[Keypoints]
    face_meshes: list[Keypoints]
    frame_size: tuple[int, int]
    duration_s: float


def animate_by_video(request: AnimationRequest) -> FaceVideoFigures:
    """Move a photo as the performer of ``request.driving`` moves. Two passes: the motion and the neutral face, then
    the pictures.

    Raises: ConfigError, SourceError, CaptureError, SinkError, WeightsError.
    """
    if request.driving is None:
        raise ConfigError("there is nobody to drive the avatar", "add --driving VIDEO")
    store = AvatarCache()
    (portrait,) = open_portraits([request.avatar], store, request.notify, request.settings.picture.face)
    started = time.monotonic()
    tracked = asyncio.run(_track_video(request.driving, portrait, request.settings))
    neutral = _find_neutral(tracked, portrait)
    if neutral is None:
        raise NoFaceError(f"no face in {request.driving}", "give a video that shows the performer's face")
    if request.settings.mode == "absolute" and neutral.set == MESH478:
        tracked = crop_to_head(tracked, neutral)
    settings, size = request.face_picture(portrait)
    calibration = NeutralCalibration(neutral)
    choose = partial(_find_shot_neutral, tracked, portrait)
    motions = add_shot_neutrals(tracked.motions, calibration, len(tracked.motions), choose)
    live_avatar = build_live_avatar(settings, [portrait], tracked.driver, store, calibration=calibration, size=size)
    sound = request.open_sound(tracked.motions[-1].captured_ns)
    draw = unbatched(_make_panel_draw(live_avatar)) if request.debug_panels else live_avatar.animator.draw_many
    frames, batch_size = len(tracked.motions), choose_batch_size(settings.model)
    asyncio.run(export_video(draw, motions, sound, request.out, frames, batch_size))
    seen = sum(motion.seen for motion in tracked.motions)
    return FaceVideoFigures(frames, seen, tracked.duration_s, time.monotonic() - started)


async def _track_video(path: Path, portrait: Portrait, settings: RunSettings) -> TrackedVideo:
    driver = make_driver("auto", [portrait], settings.model, settings.precision)
    tracker = make_driver("face", [portrait]) if driver.motion_set != MESH478 else None
    motions: list[Keypoints] = []
    meshes: list[Keypoints] = []
    size, seconds, step = (0, 0), 0.0, 0.0
    async with Worker("watch") as worker, FileCapture(path, live=False) as capture:
        with tqdm(desc="tracking", unit="frame", disable=None) as bar:
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
    return TrackedVideo(driver, motions, meshes, size, seconds + (step or _DEFAULT_STEP_S))


def _find_neutral(tracked: TrackedVideo, portrait: Portrait) -> Keypoints | None:
    """Find what relative motion starts from: a neutral face, or of learned points the frame most like the photo."""
    seen = [i for i, mesh in enumerate(tracked.face_meshes) if mesh.seen and tracked.motions[i].seen]
    if not seen:
        return find_best_neutral(tracked.motions)
    face = portrait.motion.value[0, :_FACE_MESH_POINTS]
    meshes = [tracked.face_meshes[i].value[0, :_FACE_MESH_POINTS] for i in seen]
    return tracked.motions[seen[find_best_frame(face, meshes)]]


def _find_shot_neutral(tracked: TrackedVideo, portrait: Portrait, shot: list[Keypoints]) -> Keypoints | None:
    """Find what relative motion of one shot starts from, as ``_find_neutral`` does."""
    times = {motion.captured_ns for motion in shot}
    meshes = [mesh for mesh in tracked.face_meshes if mesh.captured_ns in times]
    return _find_neutral(replace(tracked, motions=shot, face_meshes=meshes), portrait)


def crop_to_head(tracked: TrackedVideo, neutral: Keypoints) -> TrackedVideo:
    """Give the points relative to head and shoulders, for absolute motion, unless the video is such a square."""
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
    """Draw as the animator does, with what led there beside it. Raises: ConfigError for a model that shows nothing."""
    renderer, avatar, transfer = live_avatar.renderer, live_avatar.avatars[0], live_avatar.transfers[0]
    if not isinstance(renderer, DebugPanelRenderer):
        raise ConfigError("--debug-panels show what dagan and dagan-spade see", "add --model dagan, or leave it out")

    def draw(motion: Keypoints) -> Image:
        picture = live_avatar.animator.draw(motion)
        moved = transfer.apply(motion) if motion.seen else avatar.motion
        return renderer.debug_panels(avatar, moved).draw_beside(picture)

    return draw
