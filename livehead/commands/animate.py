"""``livehead animate``: a photo moved by a recorded video, or by recorded speech, into a file."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from livehead.assembly.animation import MAX_CRF
from livehead.assembly.progress import print_above_bar
from livehead.cli_options import add_picture_arguments, print_status, settings_from_args
from livehead.config import RunSettings
from livehead.errors import ConfigError
from livehead.perception.av_files import count_noun
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
    driving = (
        "the performer: a video, a motion file (.npz, of run --record-motion), or a picture, whose expression the "
        "avatar takes; for a character sheet a video, or a folder of ultra-dense poses or of pictures"
    )
    add("--driving", type=Path, metavar="FILE|FOLDER", help=driving)
    axes = "what the first three channels of ultra-dense poses hold, such as xyz, zxy or xzy"
    add("--udp-axes", default=AXES, metavar="ORDER", help=axes)
    audio = "speech, from any audio or video file: it drives the avatar where there is no --driving, else it replaces "
    add("--audio", type=Path, metavar="FILE", help=audio + "the video's own sound")
    out = (
        "where the video is written: .mp4, .webm, .mov, numbered pictures (frames/%%05d.png) or OUT.png, the first of "
    )
    out += "them; with a picture as --driving also .jpg or .webp"
    add("--out", type=Path, required=True, metavar="OUT", help=out)
    overwrite = "replace a file that is there already, which animate does anyway once the new one is complete"
    add("--overwrite", action="store_true", help=overwrite)
    start = "use --driving and --audio from this moment on, in seconds or as minutes:seconds"
    add("--start", metavar="TIME", help=start)
    end = "use them up to this moment; with a picture as --driving and no --audio it is the video's length, else 5 s"
    add("--end", metavar="TIME", help=end)
    crf = f"quality of the video, from 0 (the best and largest) to {MAX_CRF} (default: 18)"
    add("--crf", type=int, metavar="N", help=crf)
    panels = "show beside the picture what led there: depth to attention for dagan, the pose for conr"
    add("--debug-panels", action="store_true", help=panels)
    add("--json", type=Path, metavar="FILE", help="write the figures of the run as JSON")
    fps = f"pictures a second of the video (default: {RunSettings().stream.fps:g}); a driving video or a motion file "
    add("--fps", type=float, default=argparse.SUPPRESS, help=fps + "keeps its own times")
    add_picture_arguments(
        parser, default_size="that of the photo or the poses; with --fit crop a square", allow_transparent=True
    )


def main(args: argparse.Namespace) -> int:
    """Check everything that was given, then draw a character in poses, or move a face by a video or by speech."""
    from livehead.assembly.animation import AnimationRequest, check_animation
    from livehead.assembly.input_checks import check_output_file
    from livehead.assembly.output_checks import check_outputs
    from livehead.assembly.time_range import parse_range

    settings = settings_from_args(args)
    request = AnimationRequest(
        args.avatar,
        args.out,
        settings,
        driving=args.driving,
        audio=args.audio,
        size=settings.stream.size if "size" in vars(args) else None,
        time_range=parse_range(args.start, args.end),
        crf=args.crf,
        debug_panels=args.debug_panels,
        pose_axes=args.udp_axes,
        notify=print_above_bar,
    )
    if args.json:
        check_output_file(args.json)
        check_outputs((args.out, args.json), (args.avatar, args.driving, args.audio, args.config))
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
    driving, settings = request.driving, request.settings
    _print_result(request, figures.frames, figures.duration_s, figures.taken_s)
    missed = figures.driving_frames - figures.frames_with_face
    if missed and driving is not None:
        print_status(f"no face in {count_noun(missed, 'frame')} of {driving.name}: there the avatar idles")
    _write_report(
        request,
        json_path,
        {"driving": str(driving), "model": settings.model, "mode": settings.mode},
        {
            "frames": figures.frames,
            "frames_without_face": missed,
            "driving_face_found": round(figures.frames_with_face / max(figures.driving_frames, 1), 5),
            "first_picture_s": round(figures.first_picture_s, 3),
            **_time_results(figures.duration_s, figures.taken_s),
        },
    )


def _animate_by_speech(request: AnimationRequest, json_path: Path | None) -> None:
    from livehead.assembly.speech_video import animate_by_speech

    figures = animate_by_speech(request)
    _print_result(request, figures.frames, figures.duration_s, figures.taken_s)
    _write_report(
        request,
        json_path,
        {"audio": str(request.audio), "model": request.settings.model},
        {
            "frames": figures.frames,
            "first_picture_s": round(figures.first_picture_s, 3),
            **_time_results(figures.duration_s, figures.taken_s),
        },
    )


def _animate_by_still(request: AnimationRequest, json_path: Path | None) -> None:
    from livehead.assembly.still_video import animate_by_still

    figures = animate_by_still(request)
    _print_result(request, figures.frames, figures.duration_s, figures.taken_s)
    _write_report(
        request,
        json_path,
        {"driving": str(request.driving), "model": request.settings.model, "mode": request.settings.mode},
        {"frames": figures.frames, **_time_results(figures.duration_s, figures.taken_s)},
    )


def _print_result(request: AnimationRequest, frames: int, duration_s: float, taken_s: float) -> None:
    made = f"{count_noun(frames, 'frame')}, {duration_s:.1f} s of video" if frames > 1 else "one picture"
    print_status(f"{request.out}: {made} in {taken_s:.1f} s")


def _time_results(duration_s: float, taken_s: float) -> dict[str, Json]:
    return {
        "clip_s": round(duration_s, 3),
        "taken_s": round(taken_s, 3),
        "real_time_factor": round(taken_s / duration_s, 4) if duration_s else None,
    }


def _animate_character(request: AnimationRequest, json_path: Path | None) -> None:
    from livehead.assembly.character_video import animate_character
    from livehead.assembly.conr import CONR_MODEL

    figures = animate_character(request)
    frames = max(figures.frames, 1)
    made = f"{count_noun(figures.frames, 'frame')} of {count_noun(figures.views, 'view')}"
    print_status(f"{request.out}: {made} in {figures.taken_s:.1f} s")
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
    "still": _animate_by_still,
    "video": _animate_by_video,
}
