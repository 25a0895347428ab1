"""A photo moved by a recorded performer, in one pass: tracked, drawn and written as the recording is read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from livehead.assembly.animation import AnimationRequest
from livehead.assembly.driving_input import detect_driving_kind
from livehead.assembly.head_framing import HeadFramings
from livehead.assembly.live_avatar import LiveAvatar, build_live_avatar, open_portraits
from livehead.assembly.performer_motion import (
    PerformerMotion,
    RecordedPerformer,
    VideoPerformer,
    await_first_face,
    continue_unseen,
)
from livehead.assembly.video_export import ExportSettings, choose_batch_size, export_video, unbatched
from livehead.avatars.cache import AvatarCache
from livehead.clock import NS
from livehead.errors import ConfigError
from livehead.frames import Image
from livehead.motion.keypoints import MESH478, Keypoints
from livehead.motion.retarget.calibration import NeutralCalibration
from livehead.motion.retarget.shot_neutrals import add_shot_neutrals
from livehead.perception.media_length import measure_sound_s
from livehead.perception.portrait import Portrait
from livehead.renderers.debug_panels import DebugPanelRenderer


@dataclass(frozen=True, slots=True)
class FaceVideoFigures:
    """How many frames were drawn, of how many of the performer's own, and in how many of these a face was found.

    ``duration_s`` is the length of the video. ``taken_s`` is the time from the start, ``first_picture_s`` that from
    when all networks were ready until the first picture was written.
    """

    frames: int
    driving_frames: int
    frames_with_face: int
    duration_s: float
    taken_s: float
    first_picture_s: float


def animate_by_video(request: AnimationRequest) -> FaceVideoFigures:
    """Move a photo as the performer of ``request.driving`` moves, who is seen in a video or was recorded as motion.

    A shot's neutral face is looked for in its first seconds, which are tracked before they are drawn.
    Raises: ConfigError, SourceError, CaptureError, SinkError, WeightsError.
    """
    if request.driving is None:
        raise ConfigError("there is nobody to drive the avatar", "add --driving VIDEO")
    store = AvatarCache()
    (portrait,) = open_portraits([request.avatar], store, request.notify, request.settings.picture.face)
    started = time.monotonic()
    performer = _open_performer(request, request.driving, portrait)
    try:
        settings, size = request.face_picture(portrait)
        calibration = NeutralCalibration()
        live_avatar = build_live_avatar(
            settings,
            [portrait],
            performer.driver,
            store,
            motion_set=performer.motion_set,
            calibration=calibration,
            size=size,
            allow_transparent=True,
        )
        ready = time.monotonic()
        count = _MotionCount()
        motions = _stream_motions(request, request.driving, performer, calibration, count)
        draw = unbatched(_make_panel_draw(live_avatar)) if request.debug_panels else live_avatar.animator.draw_many
        export = ExportSettings(
            request.out,
            performer.total,
            choose_batch_size(settings.model),
            request.crf,
            sound_ends_with_pictures=True,
        )
        written = asyncio.run(export_video(draw, motions, request.open_sound(), export))
    finally:
        performer.close()
    return FaceVideoFigures(
        written.frames,
        count.driving,
        count.with_face,
        written.duration_s,
        time.monotonic() - started,
        written.first_written - ready,
    )


class _MotionCount:
    """Counts the performer's motions and those with a face, as they pass."""

    def __init__(self) -> None:
        self.driving = self.with_face = 0

    def count_passing(self, motions: Iterator[Keypoints]) -> Iterator[Keypoints]:
        for motion in motions:
            self.driving += 1
            self.with_face += motion.seen
            yield motion


def _open_performer(request: AnimationRequest, driving: Path, portrait: Portrait) -> PerformerMotion:
    if detect_driving_kind(driving) == "motion":
        return RecordedPerformer(driving, request.time_range, request.settings.model)
    return VideoPerformer(driving, request.time_range, portrait, request.settings)


def _stream_motions(
    request: AnimationRequest,
    driving: Path,
    performer: PerformerMotion,
    calibration: NeutralCalibration,
    count: _MotionCount,
) -> Iterator[Keypoints]:
    """The performer's motions, of which ``calibration`` gets to know each shot's neutral before its first.

    Where the sound lasts longer than the performer, motions without a face follow. Raises: NoFaceError.
    """
    framings = HeadFramings()

    def choose_neutral(shot: list[Keypoints]) -> Keypoints | None:
        neutral = performer.choose_neutral(shot)
        framings.add_neutral(neutral, performer.frame_size)
        return neutral

    motions = count.count_passing(await_first_face(performer.read_motions(), driving))
    motions = add_shot_neutrals(motions, calibration, performer.look_ahead, choose_neutral)
    if request.settings.mode == "absolute" and performer.motion_set == MESH478:
        motions = framings.frame_motions(motions)
    sound = request.sound_file
    if sound is None:
        return motions
    until_s = request.time_range.clip_s(measure_sound_s(sound))
    said = f"{sound.name} lasts {{:.1f}} s longer than {driving.name}: for the rest the avatar idles"
    return continue_unseen(motions, round(until_s * NS), lambda seconds: request.notify(said.format(seconds)))


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
