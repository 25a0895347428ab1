"""A photo takes the expression and the pose of one picture of a performer: as a picture, or as a film that lives."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from livehead.assembly.animation import AnimationRequest, makes_picture
from livehead.assembly.head_framing import HeadFraming
from livehead.assembly.live_avatar import LiveAvatar, build_live_avatar, open_portraits, to_gains
from livehead.assembly.model_factories import create_voice_driver
from livehead.assembly.performer_motion import no_face_error
from livehead.assembly.speech_video import estimate_voice_motion, read_speech
from livehead.assembly.video_export import ExportSettings, choose_batch_size, export_video
from livehead.avatars.cache import AvatarCache
from livehead.clock import NS
from livehead.config import RunSettings
from livehead.errors import ConfigError
from livehead.frames import Image
from livehead.motion.keypoints import Keypoints
from livehead.motion.retarget.calibration import NeutralCalibration
from livehead.motion.retarget.single_picture import assume_neutral
from livehead.motion.retarget.transfer import MotionTransfer
from livehead.motion.synthesis.idle import IdleMotion
from livehead.perception.face_mesh import FaceMeshTracker
from livehead.perception.media_length import measure_sound_s
from livehead.perception.photo import read_photo
from livehead.perception.portrait import Portrait
from livehead.storage import write_atomically

DEFAULT_LENGTH_S = 5.0
"""How long a film is that one picture moves, without a sound or an ``--end``."""


@dataclass(frozen=True, slots=True)
class StillVideoFigures:
    """How many pictures were drawn, how long they last (0 for a single picture), and the time taken."""

    frames: int
    duration_s: float
    taken_s: float


def animate_by_still(request: AnimationRequest) -> StillVideoFigures:
    """Give a photo the expression of the face in the picture ``request.driving``.

    The result is a picture, or a film in which the avatar keeps the expression and idles, or speaks ``request.audio``.
    Raises: ConfigError, SourceError, CaptureError, SinkError.
    """
    if request.driving is None:
        raise ConfigError("there is nobody to drive the avatar", "add --driving PICTURE")
    store = AvatarCache()
    still, frame_size = _find_face(request.driving)
    (portrait,) = open_portraits([request.avatar], store, request.notify, request.settings.picture.face)
    started = time.monotonic()
    settings, size = request.face_picture(portrait)
    expressed = transfer_expression(still, frame_size, portrait, settings)
    # The motions below are the avatar's own points already.
    absolute = settings.model_copy(update={"mode": "absolute"})
    live_avatar = build_live_avatar(
        absolute, [portrait], None, store, motion_set=expressed.set, size=size, allow_transparent=True
    )
    if makes_picture(request):
        write_picture(live_avatar.animator.draw(expressed), request.out)
        return StillVideoFigures(1, 0.0, time.monotonic() - started)
    return _export_film(request, live_avatar, portrait, expressed, started)


def transfer_expression(
    still: Keypoints, frame_size: tuple[int, int], portrait: Portrait, settings: RunSettings
) -> Keypoints:
    """The avatar's face with the expression and the pose of ``still``, a face in a picture of ``frame_size``."""
    if settings.mode == "absolute":
        framing = HeadFraming.around(still, frame_size)
        return still if framing is None else framing.apply(still)
    calibration = NeutralCalibration(assume_neutral(still))
    transfer = MotionTransfer(portrait.motion, gains=to_gains(settings.gains), calibration=calibration)
    return transfer.apply(still)


def write_picture(picture: Image, out: Path) -> None:
    """Write ``picture`` (uint8 [H, W, 3 or 4] RGB or RGBA) in the format that the name of ``out`` tells."""
    kept = Pillow.fromarray(picture)
    content = io.BytesIO()
    suffix = out.suffix.lower()
    if suffix in (".jpg", ".jpeg"):
        kept.convert("RGB").save(content, "JPEG", quality=95)
    else:
        kept.save(content, "WEBP" if suffix == ".webp" else "PNG")
    write_atomically(out, content.getvalue())


def _find_face(path: Path) -> tuple[Keypoints, tuple[int, int]]:
    """The largest face of a picture, and the picture's width and height. Raises: NoFaceError, SourceError."""
    picture = read_photo(path)
    with FaceMeshTracker(static=True) as tracker:
        faces = tracker.detect(picture)
    if not faces:
        raise no_face_error(path, "picture")
    return faces[0], (picture.shape[1], picture.shape[0])


def _export_film(
    request: AnimationRequest, live_avatar: LiveAvatar, portrait: Portrait, expressed: Keypoints, started: float
) -> StillVideoFigures:
    fps, length_s = request.settings.stream.fps, DEFAULT_LENGTH_S
    if request.audio is not None:
        length_s = request.time_range.clip_s(measure_sound_s(request.audio))
        speech = read_speech(request.audio, request.time_range)
        first = next(speech)
        voice = create_voice_driver(replace(portrait, motion=expressed))
        motions = estimate_voice_motion(voice, chain([first], speech), fps)
    else:
        length_s = request.time_range.length_s or DEFAULT_LENGTH_S
        motions = _idle(expressed, round(length_s * fps), fps)
    export = ExportSettings(request.out, round(length_s * fps), choose_batch_size(request.settings.model), request.crf)
    written = asyncio.run(export_video(live_avatar.animator.draw_many, motions, request.open_sound(), export))
    return StillVideoFigures(written.frames, written.duration_s, time.monotonic() - started)


def _idle(expressed: Keypoints, count: int, fps: float) -> Iterator[Keypoints]:
    """The face ``expressed`` that blinks, glances and sways, ``count`` pictures long."""
    idle = IdleMotion(expressed)
    for number in range(count):
        yield replace(idle.motion_at(round(number * NS / fps)), confidence=np.ones(1, np.float32))
