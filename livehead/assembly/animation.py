"""What is to be animated, by what and into which file; and what of it can be checked before anything is opened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

from livehead.assembly.conr import CONR_MODEL, is_figure_avatar
from livehead.assembly.input_checks import check_input_file, check_model, check_output_file, resolve_model_name
from livehead.assembly.video_export import photo_size, read_sound_frames
from livehead.compositing.background import check_background
from livehead.compositing.figure_compositor import require_figure_background
from livehead.config import RunSettings
from livehead.errors import CaptureError, ConfigError
from livehead.frames import AudioFrame
from livehead.perception.av_files import require_sound_stream, require_video_stream
from livehead.perception.avatar_photo import check_avatar_photo
from livehead.perception.character_sheet import list_pictures
from livehead.perception.dense_pose import AXES, is_dense_pose_folder, require_axes
from livehead.perception.photo import check_photo
from livehead.perception.portrait import Portrait
from livehead.registry import find_renderer

MIN_FPS, MAX_FPS = 1.0, 120.0
"""Pictures a second of a video that takes its times from no other one."""

AnimationKind = Literal["character", "speech", "video"]
"""A character sheet in poses, a photo by speech alone, or a photo by a recorded performer."""


@dataclass(frozen=True, slots=True, eq=False)
class AnimationRequest:
    """One avatar to animate into the file ``out``.

    ``avatar`` is a photo, or a folder with a character sheet. ``driving`` is a video of the performer, or for a
    character also a folder of poses or pictures. ``audio`` is speech, or with ``driving`` the sound in place of the
    video's own. ``size``: of the result in pixels, by default as large as the photo or the poses. ``debug_panels``:
    show beside the picture what led there. ``pose_axes``: the order of the first three channels of ultra-dense poses.
    ``notify`` gets a line for the person now and then.
    """

    avatar: Path
    out: Path
    settings: RunSettings
    driving: Path | None = None
    audio: Path | None = None
    size: tuple[int, int] | None = None
    debug_panels: bool = False
    pose_axes: str = AXES
    notify: Callable[[str], None] = lambda line: None

    def face_picture(self, portrait: Portrait) -> tuple[RunSettings, tuple[int, int]]:
        """The settings and the size of a face's picture: the whole photo in its own size, unless one was asked for."""
        if self.size is not None:
            return self.settings, self.size
        picture = self.settings.picture.model_copy(update={"fit": "fit"})
        return self.settings.model_copy(update={"picture": picture}), photo_size(portrait)

    def open_sound(self, end_ns: int | None) -> Iterator[AudioFrame] | None:
        """The sound for the result up to ``end_ns``; None where the driving video has none. Raises: CaptureError."""
        heard = self.audio or self.driving
        if heard is None or not heard.is_file():
            return None
        frames = read_sound_frames(heard, end_ns)
        try:
            first = next(frames, None)
        except CaptureError:
            if self.audio is not None:
                raise
            return None
        return None if first is None else chain([first], frames)


def check_animation(request: AnimationRequest) -> AnimationKind:
    """Look at everything of a request that can be checked without a network; gives what kind of animation it is.

    Raises: ConfigError, SourceError, CaptureError, SinkError, WeightsError.
    """
    check_output_file(request.out, (".mp4",), (request.avatar, request.driving, request.audio))
    if is_figure_avatar(request.avatar, request.settings.model):
        _check_character(request)
        return "character"
    check_avatar_photo(request.avatar)
    check_model(request.settings.model, request.settings.precision)
    check_background(request.settings.picture.background)
    if request.driving is None:
        _check_speech(request)
        return "speech"
    check_input_file(request.driving)
    require_video_stream(request.driving)
    if request.audio is not None:
        require_sound_stream(request.audio)
    if request.debug_panels and not find_renderer(resolve_model_name(request.settings.model)).has_debug_panels:
        raise ConfigError("--debug-panels show what dagan and dagan-spade see", "add --model dagan, or leave it out")
    return "video"


def _check_speech(request: AnimationRequest) -> None:
    if request.audio is None:
        raise ConfigError("there is nobody to drive the avatar", "add --driving VIDEO or --audio SPEECH, or both")
    if request.debug_panels:
        raise ConfigError("--debug-panels need a performer to be seen", "add --driving VIDEO")
    fps = request.settings.stream.fps
    if not MIN_FPS <= fps <= MAX_FPS:
        raise ConfigError(f"{fps} pictures a second cannot be made", f"give --fps {MIN_FPS:.0f} to {MAX_FPS:.0f}")
    require_sound_stream(request.audio)


def _check_character(request: AnimationRequest) -> None:
    if request.driving is None:
        raise ConfigError("nobody poses for the character", "add --driving with ultra-dense poses or a video")
    if not request.driving.exists():
        raise CaptureError(f"{request.driving} does not exist", "check the path", subject=str(request.driving))
    require_axes(request.pose_axes)
    require_figure_background(request.settings.picture.background)
    check_background(request.settings.picture.background)
    if request.driving.is_file():
        require_video_stream(request.driving)
    elif not is_dense_pose_folder(request.driving) and not list_pictures(request.driving):
        raise no_poses_error(request.driving)
    if request.audio is not None:
        require_sound_stream(request.audio)
    if not request.avatar.is_dir():
        check_photo(request.avatar)
    check_model(CONR_MODEL, request.settings.precision)


def no_poses_error(folder: Path) -> CaptureError:
    """The error for a folder in which nobody poses."""
    return CaptureError(f"{folder} holds neither poses nor pictures", "give .npz, .exr, .png or a video")
