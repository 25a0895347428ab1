"""What is to be animated, by what and into which file; and what of it can be checked before anything is opened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

from livehead.assembly.conr import CONR_MODEL, is_figure_avatar
from livehead.assembly.driving_input import (
    check_driving_video,
    check_sound_range,
    detect_driving_kind,
    read_driving_motion,
)
from livehead.assembly.input_checks import check_input_file, check_model, check_output_file, resolve_model_name
from livehead.assembly.output_checks import (
    check_film_output,
    check_film_transparency,
    check_outputs,
    file_of_background,
)
from livehead.assembly.time_range import TimeRange
from livehead.assembly.video_export import limit_size, photo_size, read_sound_frames
from livehead.codecs.film_formats import is_picture_sequence
from livehead.compositing.background import check_background
from livehead.compositing.figure_compositor import require_figure_background
from livehead.config import RunSettings
from livehead.errors import CaptureError, ConfigError
from livehead.frames import AudioFrame
from livehead.motion.keypoints import MESH478
from livehead.perception.av_files import has_sound_stream, require_sound_stream
from livehead.perception.avatar_photo import check_avatar_photo
from livehead.perception.character_sheet import list_pictures
from livehead.perception.dense_pose import AXES, is_dense_pose_folder, require_axes
from livehead.perception.photo import check_photo
from livehead.perception.portrait import Portrait
from livehead.registry import find_renderer

MAX_CRF = 51
"""The encoder's lowest quality."""
MIN_FPS, MAX_FPS = 1.0, 120.0
"""Pictures a second of a video that takes its times from no other one."""

AnimationKind = Literal["character", "speech", "still", "video"]
"""A character sheet in poses, a photo by speech alone, by one picture of a performer, or by a recorded performer."""
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
"""Endings of a result that is one picture."""


@dataclass(frozen=True, slots=True, eq=False)
class AnimationRequest:
    """One avatar to animate into the file ``out``.

    ``avatar`` is a photo, or a folder with a character sheet. ``driving`` is a video, a picture or recorded motion of
    the performer, or for a character also a folder of poses or pictures. ``audio`` is speech, or with a video the sound
    in place of its own. ``time_range`` is the part of both that is used. ``size``: of the result in pixels, by default
    as large as the photo or the poses. ``crf``: the encoder's quality, its own default if None. ``debug_panels``: show
    beside the picture what led there. ``pose_axes``: the order of the first three channels of ultra-dense poses.
    ``notify`` gets a line for the person now and then.
    """

    avatar: Path
    out: Path
    settings: RunSettings
    driving: Path | None = None
    audio: Path | None = None
    size: tuple[int, int] | None = None
    time_range: TimeRange = TimeRange()
    crf: int | None = None
    debug_panels: bool = False
    pose_axes: str = AXES
    notify: Callable[[str], None] = lambda line: None

    @property
    def sound_file(self) -> Path | None:
        """The file whose sound the result has, if it has any; None where there is none."""
        if self.audio is not None:
            return self.audio
        heard = self.driving
        return heard if heard is not None and heard.is_file() and has_sound_stream(heard) else None

    def face_picture(self, portrait: Portrait) -> tuple[RunSettings, tuple[int, int]]:
        """The settings and the size of a face's picture, by default the whole photo in its own size.

        Where head and shoulders are wanted, it is their square, at least as large as it is rendered.
        """
        if self.size is not None:
            return self.settings, self.size
        if self.settings.picture.fit == "crop":
            side = max(portrait.crop.side, self.settings.render_size)
            return self.settings, limit_size(side, side)
        picture = self.settings.picture.model_copy(update={"fit": "fit"})
        return self.settings.model_copy(update={"picture": picture}), photo_size(portrait)

    def open_sound(self) -> Iterator[AudioFrame] | None:
        """The sound for the result; None where the driving video has none. Raises: CaptureError."""
        heard = self.sound_file
        if heard is None:
            return None
        frames = read_sound_frames(heard, self.time_range)
        try:
            first = next(frames, None)
        except CaptureError as error:
            if self.audio is not None:
                raise
            if has_sound_stream(heard):
                self.notify(f"{error.problem}, so the film is silent")
            return None
        return None if first is None else chain([first], frames)


def check_animation(request: AnimationRequest) -> AnimationKind:
    """Look at everything of a request that can be checked without a network; gives what kind of animation it is.

    Raises: ConfigError, SourceError, CaptureError, SinkError, WeightsError.
    """
    _check_output(request)
    if request.audio is not None:
        check_input_file(request.audio)
        require_sound_stream(request.audio)
        check_sound_range(request.audio, request.time_range)
    if is_figure_avatar(request.avatar, request.settings.model):
        _check_character(request)
        return "character"
    check_avatar_photo(request.avatar)
    check_model(request.settings.model, request.settings.precision)
    check_background(request.settings.picture.background, allow_transparent=True)
    if request.driving is None:
        _check_speech(request)
        return "speech"
    kind = detect_driving_kind(request.driving)
    if kind == "still":
        _check_still(request)
        return "still"
    if kind == "motion":
        read_driving_motion(request.driving, request.time_range, request.settings.model)
    else:
        check_driving_video(request.driving, request.time_range)
    if request.debug_panels and not find_renderer(resolve_model_name(request.settings.model)).has_debug_panels:
        raise ConfigError("--debug-panels show what dagan and dagan-spade see", "add --model dagan, or leave it out")
    return "video"


def _check_output(request: AnimationRequest) -> None:
    """Look whether the result can be written. Raises: SinkError, ConfigError."""
    background = request.settings.picture.background
    inputs = (request.avatar, request.driving, request.audio, file_of_background(background))
    check_outputs((request.out,), inputs)
    if makes_picture(request):
        check_output_file(request.out)
    else:
        check_film_output(request.out)
    check_film_transparency(background, request.out)
    if request.crf is not None and not 0 <= request.crf <= MAX_CRF:
        raise ConfigError(f"--crf {request.crf} is no quality", f"give 0 (the best) to {MAX_CRF}; 18 is the default")


def makes_picture(request: AnimationRequest) -> bool:
    """Tell whether the result is one picture: a still moves the avatar, and the result's name is a picture's."""
    driving = request.driving
    is_picture = request.out.suffix.lower() in PICTURE_SUFFIXES and not is_picture_sequence(request.out)
    return is_picture and driving is not None and driving.is_file() and detect_driving_kind(driving) == "still"


def _check_still(request: AnimationRequest) -> None:
    """Look whether one picture of a performer can move the avatar. Raises: ConfigError."""
    model = resolve_model_name(request.settings.model)
    if MESH478 not in find_renderer(model).motion_sets:
        raise ConfigError(f"{model} cannot be moved by a picture", "add --model compact, or give a video")
    if request.debug_panels:
        raise ConfigError("--debug-panels need a performer who moves", "give --driving a video")
    if makes_picture(request) and request.audio is not None:
        raise ConfigError("a picture has no sound", "leave --audio out, or give --out a name that ends in .mp4")
    _check_fps(request)


def _check_fps(request: AnimationRequest) -> None:
    fps = request.settings.stream.fps
    if not MIN_FPS <= fps <= MAX_FPS:
        raise ConfigError(f"{fps} pictures a second cannot be made", f"give --fps {MIN_FPS:.0f} to {MAX_FPS:.0f}")


def _check_speech(request: AnimationRequest) -> None:
    if request.audio is None:
        raise ConfigError("there is nobody to drive the avatar", "add --driving VIDEO or --audio SPEECH, or both")
    if request.debug_panels:
        raise ConfigError("--debug-panels need a performer to be seen", "add --driving VIDEO")
    _check_fps(request)


def _check_character(request: AnimationRequest) -> None:
    if request.driving is None:
        raise ConfigError("nobody poses for the character", "add --driving with ultra-dense poses or a video")
    if not request.driving.exists():
        raise CaptureError(f"{request.driving} does not exist", "check the path", subject=str(request.driving))
    require_axes(request.pose_axes)
    require_figure_background(request.settings.picture.background)
    check_background(request.settings.picture.background, allow_transparent=True)
    if request.driving.is_file():
        check_driving_video(request.driving, request.time_range)
    elif not is_dense_pose_folder(request.driving) and not list_pictures(request.driving):
        raise no_poses_error(request.driving)
    if not request.avatar.is_dir():
        check_photo(request.avatar)
    check_model(CONR_MODEL, request.settings.precision)


def no_poses_error(folder: Path) -> CaptureError:
    """The error for a folder in which nobody poses."""
    return CaptureError(f"{folder} holds neither poses nor pictures", "give .npz, .exr, .png or a video")
