"""``livehead bench``: speed and latency on this machine, as JSON."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import cast

from livehead.cli_options import add_picture_arguments, settings_from_args
from livehead.config import RunSettings
from livehead.errors import ConfigError
from livehead.reporting.report import Json, JsonReport, write_json

Results = dict[str, Json]
DEFAULT_JUMPS, DEFAULT_ROUNDS, DEFAULT_SECONDS = 120, 300, 20.0
STILL_FRAMES = 90


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "subject",
        metavar="SUBJECT",
        nargs="?",
        choices=tuple(_SUBJECTS),
        help="what is measured: pipeline (the whole way of a frame), model (the renderer), voice (the voice driver), "
        "webrtc (camera to page through a real Chromium) or pose (OpenPose's network and decoder, the body driver)",
    )
    parser.add_argument(
        "--jumps", type=int, default=DEFAULT_JUMPS, help="sudden motions to measure (pipeline), 0.75 s each"
    )
    parser.add_argument("--rounds", type=int, default=DEFAULT_ROUNDS, help="frames to time (model; pose: a third)")
    seconds = "seconds that each renderer is measured (webrtc)"
    parser.add_argument("--seconds", type=float, default=DEFAULT_SECONDS, help=seconds)
    parser.add_argument(
        "--renderers",
        default="passthrough,warp,compact",
        metavar="NAME,...",
        help="renderers to measure one after the other (webrtc)",
    )
    parser.add_argument(
        "--soak",
        type=float,
        metavar="MINUTES",
        help="one long call in place of that: memory, A/V offset and latency from its beginning to its end (webrtc)",
    )
    parser.add_argument(
        "--sessions",
        type=int,
        metavar="FRAMES",
        dest="session_frames",  # serve has a setting called sessions
        help="so many frames by one, four and eight sessions at once, each with its own network and all with one "
        "(model)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="plot the figures (pipeline, webrtc, pose)")
    add_picture_arguments(parser)


def main(args: argparse.Namespace) -> int:
    """Measure one subject, print its tables and write the files that were asked for."""
    from livehead.assembly.input_checks import check_output_file
    from livehead.assembly.live_avatar import DEFAULT_MODEL
    from livehead.assembly.output_checks import check_outputs, file_of_background

    if args.subject is None:
        raise ConfigError("nothing was named to be measured", f"write livehead bench {' | '.join(_SUBJECTS)}")
    for path in (args.json, args.plot):
        if path is not None:
            check_output_file(path)
    settings = settings_from_args(args)
    check_outputs((args.json, args.plot), (args.config, file_of_background(settings.picture.background)))
    model = DEFAULT_MODEL if settings.model == "auto" else settings.model
    inputs: Results = {"subject": args.subject, "model": model, "render_size": settings.render_size}
    inputs |= {"size": list(settings.stream.size), "camera": list(settings.camera.size), "fps": settings.stream.fps}
    if args.subject == "webrtc":
        from livehead.commands.serve import DEFAULT_SIZE

        inputs["size"] = list(DEFAULT_SIZE)
    report = JsonReport("bench", inputs)
    results = _SUBJECTS[args.subject](args, settings, model)
    if args.json:
        write_json(report.finish(results), args.json)
    return 0


def _bench_pipeline(args: argparse.Namespace, settings: RunSettings, model: str) -> Results:
    from livehead.bench.live_pipeline import measure_pipeline, measure_start_up
    from livehead.bench.tables import format_pipeline
    from livehead.reporting.plot import plot_latency

    figures = measure_pipeline(settings, args.jumps, start_s=measure_start_up(settings))
    print(format_pipeline(figures.results))
    if args.plot:
        shares = cast("dict[str, float]", figures.results["shares"])
        plot_latency(figures.latency_ms, shares, args.plot, f"{model}, motion to photon")
    return figures.results


def _bench_model(args: argparse.Namespace, settings: RunSettings, model: str) -> Results:
    from livehead.assembly.conr import CONR_MODEL
    from livehead.bench.peak_memory import add_peak_memory
    from livehead.bench.tables import format_model

    if model == CONR_MODEL:
        from livehead.bench.conr import bench_conr

        results = add_peak_memory(bench_conr(settings, args.rounds), settings, model)
    else:
        from livehead.bench.model_subjects import bench_named_model
        from livehead.bench.temporal_noise import measure_temporal_noise

        results = add_peak_memory(bench_named_model(settings, model, args.rounds), settings, model)
        results["stillness"] = measure_temporal_noise(settings, STILL_FRAMES)
    print(format_model(results))
    if args.session_frames:
        from livehead.bench.sessions import format_sessions, measure_sessions

        sessions = measure_sessions(settings, model, args.session_frames)
        results["sessions"] = sessions
        print(format_sessions(sessions))
    return results


def _bench_voice(args: argparse.Namespace, settings: RunSettings, model: str) -> Results:
    from livehead.bench.tables import format_voice
    from livehead.bench.voice import bench_voice

    results = bench_voice(settings)
    print(format_voice(results))
    return results


def _bench_webrtc(args: argparse.Namespace, settings: RunSettings, model: str) -> Results:
    if args.soak:
        return _bench_soak(args, settings)
    from livehead.bench.tables import format_webrtc
    from livehead.bench.webrtc import measure_webrtc
    from livehead.reporting.plot import plot_frame_ages

    results, ages_ms = measure_webrtc(args.renderers.split(","), args.seconds, settings)
    if args.plot:
        plot_frame_ages(ages_ms, args.plot)
    print(format_webrtc(results))
    return results


def _bench_soak(args: argparse.Namespace, settings: RunSettings) -> Results:
    from livehead.bench.soak import measure_soak
    from livehead.bench.tables import format_soak

    results = measure_soak(settings, args.soak, args.plot)
    print(format_soak(results))
    return results


def _bench_pose(args: argparse.Namespace, settings: RunSettings, model: str) -> Results:
    from livehead.bench.pose import measure_pose
    from livehead.bench.tables import format_pose
    from livehead.reporting.plot import plot_decoder_times

    results = measure_pose(settings, max(args.rounds // 3, 3))
    print(format_pose(results))
    if args.plot:
        by_people = cast("dict[str, dict[str, float]]", results["decoder_by_people"])
        plain = cast("dict[str, dict[str, float]]", results["decoder"])["plain"]
        plot_decoder_times({int(count): times for count, times in by_people.items()}, plain, args.plot)
    return results


_SUBJECTS: dict[str, Callable[[argparse.Namespace, RunSettings, str], Results]] = {
    "pipeline": _bench_pipeline,
    "model": _bench_model,
    "voice": _bench_voice,
    "webrtc": _bench_webrtc,
    "pose": _bench_pose,
}
