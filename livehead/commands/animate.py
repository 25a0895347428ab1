"""``livehead animate``: a photo moved by a recorded video, or by recorded speech, into a file."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from livehead.cli_options import add_picture_arguments, print_status, settings_from_args
from livehead.config import RunSettings
from livehead.errors import ConfigError
from livehead.perception.dense_pose import AXES

if TYPE_CHECKING:
    from livehead.assembly.animation import AnimationRequest
    from livehead.reporting.report import Json

_FACE_OPTIONS = ("mode", "gain")
"""Options that say how one face follows another."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    avatar = (
        "the photo to animate, with the consent of the person, or a folder with a character sheet (cut-out pictures)"
    )
    add("--avatar", type=Path, required=True, metavar="PHOTO|SHEET", help=avatar)
    driving = "video of the performer; for a character sheet also a folder of ultra-dense poses or of pictures"
    add("--driving", type=Path, metavar="VIDEO|FOLDER", help=driving)
    axes = "what the first three channels of ultra-dense poses hold, such as xyz, zxy or xzy"
    add("--udp-axes", default=AXES, metavar="ORDER", help=axes)
    audio = "speech, from any audio or video file: it drives the avatar where there is no --driving, else it replaces "
    add("--audio", type=Path, metavar="FILE", help=audio + "the video's own sound")
    add("--out", type=Path, required=True, metavar="OUT.mp4", help="where the video is written")
    panels = "show beside the picture what led there: depth to attention for dagan, the pose for conr"
    add("--debug-panels", action="store_true", help=panels)
    add("--json", type=Path, metavar="FILE", help="write the figures of the run as JSON")
    fps = f"pictures a second of the video, without --driving (default: {RunSettings().stream.fps:g}); a driving video "
    add("--fps", type=float, default=argparse.SUPPRESS, help=fps + "keeps its own times")
    add_picture_arguments(parser, default_size="that of the photo or the poses")


def main(args: argparse.Namespace) -> int:
    """Check everything that was given, then draw a character in poses, or move a face by a video or by speech."""
    from livehead.assembly.animation import AnimationRequest, check_animation
    from livehead.assembly.input_checks import check_output_file

    settings = settings_from_args(args)
    request = AnimationRequest(
        args.avatar,
        args.out,
        settings,
        driving=args.driving,
        audio=args.audio,
        size=settings.stream.size if "size" in vars(args) else None,
        debug_panels=args.debug_panels,
        pose_axes=args.udp_axes,
        notify=print_status,
    )
    if args.json:
        check_output_file(args.json, inputs=(args.avatar, args.driving, args.audio))
    kind = check_animation(request)
    if kind == "character":
        _refuse_face_options(args)
    _ANIMATIONS[kind](request, args.json)
    return 0


def _refuse_face_options(args: argparse.Namespace) -> None:
    given = [option for option in _FACE_OPTIONS if vars(args).get(option)]
    if given:
        raise ConfigError(
            "--relative, --absolute and --gain are for faces, not for poses", "leave them out", subject=given[0]
        )


def _animate_by_video(request: AnimationRequest, json_path: Path | None) -> None:
    from livehead.assembly.face_video import animate_by_video

    figures = animate_by_video(request)
    driving, frames, settings = request.driving, figures.frames, request.settings
    print_status(f"{request.out}: {frames} frames, {figures.duration_s:.1f} s of video in {figures.taken_s:.1f} s")
    if figures.frames_with_face < frames and driving is not None:
        missed = frames - figures.frames_with_face
        print_status(f"no face in {missed} frames of {driving.name}: there the avatar idles")
    _write_report(
        request,
        json_path,
        {"driving": str(driving), "model": settings.model, "mode": settings.mode},
        {
            "frames": frames,
            "driving_face_found": round(figures.frames_with_face / frames, 5),
            "clip_s": round(figures.duration_s, 3),
            "taken_s": round(figures.taken_s, 3),
            "real_time_factor": round(figures.taken_s / figures.duration_s, 4),
        },
    )


def _animate_by_speech(request: AnimationRequest, json_path: Path | None) -> None:
    from livehead.assembly.speech_video import animate_by_speech

    figures = animate_by_speech(request)
    print_status(
        f"{request.out}: {figures.frames} frames, {figures.duration_s:.1f} s of video in {figures.taken_s:.1f} s"
    )
    _write_report(
        request,
        json_path,
        {"audio": str(request.audio), "model": request.settings.model},
        {
            "frames": figures.frames,
            "clip_s": round(figures.duration_s, 3),
            "taken_s": round(figures.taken_s, 3),
            "real_time_factor": round(figures.taken_s / max(figures.duration_s, 1e-9), 4),
        },
    )


def _animate_character(request: AnimationRequest, json_path: Path | None) -> None:
    from livehead.assembly.character_video import animate_character
    from livehead.assembly.conr import CONR_MODEL

    figures = animate_character(request)
    frames = max(figures.frames, 1)
    print_status(f"{request.out}: {figures.frames} frames of {figures.views} views in {figures.taken_s:.1f} s")
    settings: dict[str, Json] = {"driving": str(request.driving), "model": CONR_MODEL, "views": figures.views}
    _write_report(
        request,
        json_path,
        settings | {"udp_axes": request.pose_axes, "precision": request.settings.precision},
        {
            "frames": figures.frames,
            "pose_found": round(figures.poses_found / frames, 5),
            "taken_s": round(figures.taken_s, 3),
            "ms_a_frame": round(figures.taken_s * 1000 / frames, 3),
        },
    )


def _write_report(
    request: AnimationRequest, path: Path | None, settings: dict[str, Json], results: dict[str, Json]
) -> None:
    if path is None:
        return
    from livehead.reporting.report import JsonReport, write_json

    report = JsonReport("animate", {"avatar": str(request.avatar), **settings})
    write_json(report.finish({"out": str(request.out), **results}), path)


_ANIMATIONS: dict[str, Callable[[AnimationRequest, Path | None], None]] = {
    "character": _animate_character,
    "speech": _animate_by_speech,
    "video": _animate_by_video,
}
