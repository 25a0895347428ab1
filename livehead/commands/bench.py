"""``livehead bench``: speed and latency on this machine, as JSON."""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import sys
from collections.abc import Mapping
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from livehead.assembly.conr import CONR_MODEL as CONR
from livehead.assembly.dagan import CHECKPOINTS
from livehead.assembly.live_avatar import DEFAULT_MODEL, build_live_avatar, make_driver, make_renderer
from livehead.assembly.synthetic_performer import (
    ASTRONAUT_PHOTO,
    JUMP_SHOTS,
    bundled_portrait,
    render_driving,
    step_shots,
    still_head_speech,
)
from livehead.avatars.cache import AvatarCache
from livehead.bench.harness.virtual_camera_probe import BACKEND_NAME, VirtualCameraProbe, VirtualCameraProbeSink
from livehead.bench.latency import JumpSchedule
from livehead.bench.live_models import CLIP_FRAMES, make_dagan_subject, record_driving, with_own_threads
from livehead.bench.model import BenchmarkSubject, StillHeadSpeech, bench_model
from livehead.bench.peak_memory import add_peak_memory
from livehead.bench.pipeline import PipelineFigures, PipelineRun, bench_pipeline
from livehead.bench.startup import measure_seconds_until
from livehead.bench.temporal_noise import add_camera_noise, temporal_noise
from livehead.bench.voice import bench_voice
from livehead.capture.synthetic import SyntheticCapture
from livehead.cli_options import add_picture_arguments, settings_from_args
from livehead.config import RunSettings
from livehead.frames import VideoFrame
from livehead.interfaces import DriverInputs, RenderRequest, Sink
from livehead.motion.face.face_rig import FaceRig, build_demo_timeline
from livehead.perception.segmentation import SelfieSegmenter
from livehead.pipeline import Pipeline
from livehead.quality import QualityController, QualityLevel
from livehead.reporting.plot import plot_decoder_times, plot_frame_ages, plot_latency
from livehead.reporting.report import Json, JsonReport, format_table, write_json
from livehead.sinks.virtual_camera import VirtualCameraSink
from livehead.stats import StatsCollector

if TYPE_CHECKING:
    from livehead.renderers.compact import CompactAvatar, CompactRenderer

STILL_FRAMES, SETTLING_FRAMES = 90, 30
TIMING_COLUMNS = ("median", "p95", "p99", "n")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "subject",
        choices=("pipeline", "model", "voice", "webrtc", "pose"),
        help="the whole way of a frame, the renderer, the voice driver, camera to page through a real Chromium, or "
        "OpenPose's network and decoder and the body driver",
    )
    parser.add_argument("--jumps", type=int, default=120, help="sudden motions to measure (pipeline), 0.75 s each")
    parser.add_argument("--rounds", type=int, default=300, help="frames to time (model; pose: a third)")
    parser.add_argument("--seconds", type=float, default=20.0, help="to measure each renderer (webrtc)")
    parser.add_argument(
        "--renderers",
        default="passthrough,warp,compact",
        metavar="NAME,...",
        help="to measure one after the other (webrtc)",
    )
    parser.add_argument(
        "--soak",
        type=float,
        metavar="MINUTES",
        help="one long call in place of that: memory, A/V offset and latency from its begin to its end (webrtc)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw them (pipeline, webrtc, pose)")
    add_picture_arguments(parser)


def main(args: argparse.Namespace) -> int:
    """Measure, print a table, write what was asked for."""
    settings = settings_from_args(args)
    named = DEFAULT_MODEL if settings.model == "auto" else settings.model
    inputs: dict[str, Json] = {"subject": args.subject, "model": named, "render_size": settings.render_size}
    inputs |= {"size": list(settings.stream.size), "camera": list(settings.camera.size), "fps": settings.stream.fps}
    if args.subject == "webrtc":
        from livehead.commands.serve import DEFAULT_SIZE

        inputs["size"] = list(DEFAULT_SIZE)
    report = JsonReport("bench", inputs)
    if args.subject == "model" and named == CONR:
        from livehead.bench.conr import bench_conr

        results = add_peak_memory(bench_conr(settings, args.rounds), settings, named)
        print(_format_precision_table(results))
    elif args.subject == "model":
        results = add_peak_memory(_bench_named_model(settings, named, args.rounds), settings, named)
        results["stillness"] = measure_temporal_noise(settings, STILL_FRAMES)
        print(_format_precision_table(results))
    elif args.subject == "voice":
        results = bench_voice(settings)
        print(format_table({"estimate": _as_table_row(results["estimate"])}, TIMING_COLUMNS, "ms"))
        print(format_table({"": _as_table_row(results)}, ("real_time_factor",)))
    elif args.subject == "pose":
        results = _bench_pose(settings, max(args.rounds // 3, 3), args.plot)
    elif args.subject == "webrtc" and args.soak:
        from livehead.bench.soak import format_results, measure_soak

        results = measure_soak(settings, args.soak, args.plot)
        print(format_results(results))
    elif args.subject == "webrtc":
        results = _bench_webrtc(settings, args.renderers.split(","), args.seconds, args.plot)
    else:
        figures = measure_pipeline(settings, args.jumps, start_s=seconds_to_first_frame(settings))
        results = figures.results
        stages = cast("dict[str, Json]", results["stages"])
        rows = {"motion to photon": _as_table_row(results["motion_to_photon"])}
        print(format_table(rows | {name: _as_table_row(stage) for name, stage in stages.items()}, TIMING_COLUMNS, "ms"))
        print(
            format_table(
                {"": _as_table_row(results)}, ("fps", "late_share", "dropped", "cpu_s_per_frame", "peak_mb", "start_s")
            )
        )
        if args.plot:
            plot_latency(figures.latency_ms, _as_table_row(results["shares"]), args.plot, f"{named}, motion to photon")
    if args.json:
        write_json(report.finish(results), args.json)
    return 0


def _format_precision_table(results: dict[str, Json]) -> str:
    """A model's frame in every precision: time, how many times as fast as plain, how near to it, memory."""
    rows = {way: dict(_as_table_row(times)) for way, times in cast("dict[str, Json]", results["frames"]).items()}
    for column, key in (("speedup", "speedup"), ("psnr", "psnr_to_fp32"), ("peak_mb", "peaks_mb")):
        for way, figure in _as_table_row(results.get(key, {})).items():
            rows[way][column] = figure
    if "frame_fp32_uncached" in results:
        rows["fp32, plain"] = dict(_as_table_row(results["frame_fp32_uncached"]))
    return format_table(rows, (*TIMING_COLUMNS, "speedup", "psnr", "peak_mb"), "ms a frame")


def _bench_pose(settings: RunSettings, rounds: int, plot: Path | None) -> dict[str, Json]:
    from livehead.bench.pose import measure_pose

    results = measure_pose(settings, rounds)
    network, decoder = (cast("dict[str, Json]", results[name]) for name in ("network", "decoder"))
    by_people = cast("dict[str, Json]", results["decoder_by_people"])
    frames = {"fp32, plain": network["frame_fp32_uncached"], **cast("dict[str, Json]", network["frames"])}
    print(
        format_table(
            {name: _as_table_row(times) for name, times in frames.items()}, TIMING_COLUMNS, "ms, BODY_25 at 368x368"
        )
    )
    print(
        format_table(
            {"": _as_table_row(network["speedup"])}, tuple(_as_table_row(network["speedup"])), "times as fast as plain"
        )
    )
    rows = {f"{count} people": _as_table_row(times) for count, times in by_people.items()}
    print(format_table({**rows, "everything enlarged": _as_table_row(decoder["plain"])}, TIMING_COLUMNS, "ms, decoder"))
    print(format_table({"": _as_table_row(results["driver"])}, (*TIMING_COLUMNS, "seen_share"), "ms, driver body"))
    if plot:
        plot_decoder_times(
            {int(count): _as_table_row(times) for count, times in by_people.items()},
            _as_table_row(decoder["plain"]),
            plot,
        )
    return results


def _bench_webrtc(settings: RunSettings, renderers: list[str], seconds: float, plot: Path | None) -> dict[str, Json]:
    from livehead.bench.webrtc import measure_webrtc

    results, ages_ms = measure_webrtc(renderers, seconds, settings)
    if plot:
        plot_frame_ages(ages_ms, plot)
    pages = cast("dict[str, dict[str, Json]]", results["camera_to_page"])
    rows = {name: _as_table_row(page) for name, page in pages.items()}
    print(format_table(rows, (*TIMING_COLUMNS, "fps", "join_s", "av_offset_ms"), "ms from camera to page"))
    if results["viewers_cpu"] is not None:
        columns = ("viewers", "cores_one", "cores_all", "fps_one", "fps_all", "ratio")
        print(format_table({"warp": _as_table_row(results["viewers_cpu"])}, columns, "cores of the server"))
    for name, page in pages.items():
        stages = cast("dict[str, Json]", page["stages"])
        print(format_table({stage: _as_table_row(times) for stage, times in stages.items()}, TIMING_COLUMNS[:2], name))
    return results


def _as_table_row(figures: Json) -> Mapping[str, float]:
    """Figures of a report as a row of a table."""
    return cast("Mapping[str, float]", figures)


def measure_pipeline(settings: RunSettings, jumps: int, start_s: float | None = None) -> PipelineFigures:
    """Motion to photon with the synthetic performer; the avatar is the same photo.

    The pictures go through pyvirtualcam to a backend of ours; where it is not installed, they are converted alike.
    """
    portrait = bundled_portrait(ASTRONAUT_PHOTO)
    shots = step_shots(portrait, settings.camera.size)
    fps = settings.stream.fps

    async def run_pipeline(plan: JumpSchedule, receiver: VirtualCameraProbe) -> PipelineRun:
        driver = make_driver("auto", [portrait], settings.model, settings.precision)
        company = build_live_avatar(settings, [portrait], driver, AvatarCache())
        capture = SyntheticCapture(shots, fps=settings.camera.fps, schedule=plan)
        sink: Sink = VirtualCameraProbeSink(receiver)
        if importlib.util.find_spec("pyvirtualcam"):
            receiver.register()
            sink = VirtualCameraSink(size=settings.stream.size, fps=fps, backend=BACKEND_NAME)
        governor = QualityController(QualityLevel(settings.render_size, 1, fps), settings.budget.frame_ms or 1000 / fps)
        company.warm_up(governor.levels)
        pipeline = Pipeline.from_animator(capture, company.animator, [sink], fps=fps, quality_controller=governor)
        await pipeline.run()
        return PipelineRun(capture.start_ns, capture.skipped, pipeline.stats)

    return asyncio.run(
        bench_pipeline(run_pipeline, shots=JUMP_SHOTS, fps=settings.camera.fps, jumps=jumps, start_s=start_s)
    )


def seconds_to_first_frame(settings: RunSettings) -> float:
    """From starting ``livehead run`` in a process of its own to the line that tells its first frame.

    Raises: DeviceError when it does not come.
    """
    command = [
        sys.executable,
        "-m",
        "livehead",
        "run",
        "--avatar",
        str(ASTRONAUT_PHOTO),
        "--capture",
        "file:" + str(ASTRONAUT_PHOTO),
    ]
    command += ["--sink", "null", "--model", settings.model, "--render-size", str(settings.render_size)]
    return round(measure_seconds_until(command, "first frame"), 3)


def measure_temporal_noise(settings: RunSettings, frames: int) -> Json:
    """A performer who does not move, seen by a camera with noise, against what the avatar does meanwhile."""
    portrait = bundled_portrait(ASTRONAUT_PHOTO)
    [scene] = render_driving(portrait, settings.camera.size, [portrait.motion])
    seen = add_camera_noise(scene, frames)
    driver = make_driver("auto", [portrait], settings.model, settings.precision)
    animator = build_live_avatar(settings, [portrait], driver, AvatarCache()).animator
    step, shown = round(1e9 / settings.stream.fps), []
    for number, image in enumerate(seen):
        frame = VideoFrame(image, number, Fraction(1, round(settings.stream.fps)), number * step)
        shown.append(animator.draw(animator.estimate(DriverInputs(frame, None, number * step))))
    return cast("Json", temporal_noise(seen[SETTLING_FRAMES:], shown[SETTLING_FRAMES:]))


def _bench_named_model(settings: RunSettings, name: str, rounds: int) -> dict[str, Json]:
    portrait = bundled_portrait(ASTRONAUT_PHOTO)
    puppet, script = FaceRig(portrait.motion), build_demo_timeline()
    motions = [puppet(script.controls_at(number / 30), 0) for number in range(round(script.duration_s * 30))]
    if name in CHECKPOINTS:
        film = record_driving(portrait, motions[:: max(len(motions) // CLIP_FRAMES, 1)])
        return bench_model(make_dagan_subject(settings, name, portrait, film), film.motions, rounds)
    size = settings.render_size
    used = make_renderer(name, size, precision=settings.precision)
    avatar = used.prepare(portrait)
    with SelfieSegmenter() as segmentation:
        person = segmentation.segment_person(used.render(avatar, avatar.motion, size))
    speech = StillHeadSpeech(still_head_speech(avatar.motion), person)
    subject = BenchmarkSubject(
        render_by_precision={"fp32": lambda motion: used.render(avatar, motion, size)}, speech=speech
    )
    if name == "compact":
        subject = _make_compact_subject(settings, cast("CompactRenderer", used), avatar, speech)
    return bench_model(subject, motions, rounds)


def _make_compact_subject(
    settings: RunSettings, used_renderer: CompactRenderer, avatar: CompactAvatar, speech: StillHeadSpeech
) -> BenchmarkSubject:
    """The bundled generator as ``run`` would use it, beside its exact path with and without the source's work kept."""
    from livehead.bench.module_timing import count_gflops, time_modules
    from livehead.models.engine import faster_precisions
    from livehead.renderers.compact import CompactAvatar

    def uncached_avatar() -> CompactAvatar:
        return CompactAvatar(avatar.motion, avatar.image, avatar.person)

    size = settings.render_size
    exact = cast("CompactRenderer", make_renderer("compact", size, precision="fp32"))
    renderers = {"fp32": exact, used_renderer.setting.precision: used_renderer}
    for precision in faster_precisions():
        if precision not in renderers:
            other = make_renderer("compact", size, precision=precision)
            renderers[precision] = cast("CompactRenderer", other)
    stats = StatsCollector()
    time_modules(used_renderer.parts, stats)
    exact.render(avatar, avatar.motion, size)
    return BenchmarkSubject(
        render_by_precision={
            name: with_own_threads(renderer.setting, partial(renderer.render, avatar, size=size))
            for name, renderer in renderers.items()
        },
        used_precision=used_renderer.setting.precision,
        render_uncached=with_own_threads(exact.setting, lambda motion: exact.render(uncached_avatar(), motion, size)),
        render_batch=lambda motions: used_renderer.render_many(
            [RenderRequest(avatar, motion, size) for motion in motions]
        ),
        gflops={
            "cached": count_gflops(lambda: exact.render(avatar, avatar.motion, size)),
            "uncached": count_gflops(lambda: exact.render(uncached_avatar(), avatar.motion, size)),
        },
        stats=stats,
        speech=speech,
    )
