"""``livehead run``: a photo, live."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from livehead.assembly.hotkeys import Hotkeys
from livehead.assembly.live_avatar import (
    DEFAULT_MODEL,
    FALLBACK_MODEL,
    LiveAvatar,
    build_live_avatar,
    initial_calibration,
    is_realtime,
    make_driver,
    open_portraits,
    resolve_driver_name,
    to_gains,
)
from livehead.assembly.media_endpoints import open_capture, open_microphone, open_sink, open_sound_output, redacted
from livehead.assembly.profiles import CallProfile, ProfileStore
from livehead.audio.ring import AudioRingBuffer
from livehead.avatars.cache import AvatarCache
from livehead.cli_options import add_picture_arguments, add_webrtc_arguments, print_status, settings_from_args
from livehead.config import GainSettings, RunSettings, StreamSettings
from livehead.environment import TOKEN_VARIABLE
from livehead.errors import ConfigError
from livehead.interfaces import Sink
from livehead.motion.retarget.calibration import NeutralCalibration
from livehead.pipeline import Pipeline
from livehead.protocol.motion_file import MotionRecorder
from livehead.quality import QualityController, QualityLevel
from livehead.signals import stop_on_signals
from livehead.sinks.window import WindowSink
from livehead.stats import StatsCollector, cpu_info, peak_memory_mb, process_uptime_s, summarize_ms

if TYPE_CHECKING:
    from livehead.client.motion_subscriber import RemoteMotionCapture

SOUND_RATE = 48_000
CAMERALESS_DRIVERS = ("idle", "motion", "voice")  # drivers that look at nothing
VOICE_DRIVERS = ("voice", "face+voice")  # drivers that hear
SLOW_RATE_SHARE = 0.85  # of the asked rate: below, the run says that it is slow
RATE_WINDOW_S = 4.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    absent = argparse.SUPPRESS
    add = parser.add_argument
    add("--avatar", type=Path, nargs="+", metavar="PHOTO", help="one or several, with the consent of whom they show")
    add(
        "--driver",
        default=absent,
        metavar="NAME",
        help="auto (as the model needs), face, voice, face+voice, body, dagan, idle, motion:FILE, motion:VIEWERS-LINK",
    )
    add("--capture", default=absent, metavar="SPEC", help="camera, camera:N, file:VIDEO or synthetic")
    add(
        "--microphone",
        default=absent,
        metavar="NAME",
        help="what is heard and recorded: 'default' for the system's, a device's name, file:SOUND, "
        "speech:PATH or speech:PORT (pushed by another program)",
    )
    add(
        "--sound-out",
        default=absent,
        metavar="NAME",
        help="pass it on to a device (a virtual cable), as late as the picture",
    )
    add(
        "--sink",
        action="append",
        default=[],
        metavar="SPEC",
        help="virtualcam, pipewire, window, file:OUT.mp4, whip:URL, rtmp://HOST/APP, udp:HOST:PORT or null; or several",
    )
    add("--fps", type=float, default=absent, help="frames a second")
    add("--budget-ms", type=float, default=absent, metavar="MS", help="time for a frame before quality falls")
    add("--machine-share", type=float, default=absent, metavar="X", help="part of the machine it may use, 0 to 1")
    add("--profile", metavar="NAME", help="load avatar, calibration and gains; saved again at the end")
    add("--record-motion", type=Path, metavar="FILE", help="keep the performer's motion, no picture, for motion:FILE")
    add("--render-at", metavar="URL", help="let the livehead serve at wss://HOST[:PORT] draw, send it motion only")
    add("--token-file", type=Path, metavar="FILE", help=f"holds the token of --render-at (or in {TOKEN_VARIABLE})")
    add("--seconds", type=float, metavar="N", help="end after so long")
    add("--json", type=Path, metavar="FILE", help="write figures of the run")
    add_picture_arguments(parser)
    add_webrtc_arguments(parser)


def main(args: argparse.Namespace) -> int:
    """Until Ctrl-C, the end of the video, ``q`` in the window or ``--seconds``."""
    if args.render_at:
        from livehead.client.remote_run import render_at

        return render_at(args)
    if args.token_file:
        raise ConfigError("--token-file is for --render-at", "leave it out")
    profiles = ProfileStore()
    profile = _load_profile(args, profiles)
    settings = settings_from_args(args, profile)
    settings = settings.model_copy(
        update={"driver": resolve_driver_name(settings.driver, settings.model, settings.precision)}
    )
    paths = args.avatar or list(profile.avatars)
    with ExitStack() as stack:
        store = AvatarCache()
        portraits = open_portraits(paths, store, print_status)
        following, settings = _subscribe_remote_motion(settings)
        driver = following.driver if following else make_driver(settings.driver, portraits, settings.model)
        calibration = initial_calibration(driver, portraits)
        if profile.calibration and calibration.neutral is None:
            calibration = NeutralCalibration.from_json(profile.calibration)
        recorder = stack.enter_context(MotionRecorder(args.record_motion)) if args.record_motion else None
        watch = recorder.add if recorder else None
        company = build_live_avatar(settings, portraits, driver, store, calibration=calibration, on_motion=watch)
        if settings.model == "auto" and not is_realtime(company, settings.stream.fps):
            print_status(
                f"{DEFAULT_MODEL} is too slow for {settings.stream.fps:g} fps here, so {FALLBACK_MODEL} draws; "
                f"--model {DEFAULT_MODEL} insists on it, pip install 'livehead[fast-cpu]' makes it quicker"
            )
            settings = settings.model_copy(update={"model": FALLBACK_MODEL})
            company = build_live_avatar(settings, portraits, driver, store, calibration=calibration, on_motion=watch)
        run = LiveRun(settings, company, following)
        print_status(run.describe())
        asyncio.run(run.run(args.seconds))
    if args.profile:
        kept = profile.model_copy(
            update={
                "avatars": tuple(path.resolve() for path in paths),
                "mode": settings.mode,
                "gains": GainSettings(**asdict(run.hotkeys.gains)),
                "picture": settings.picture,
                "calibration": company.calibration.to_json() if run.needs_camera else profile.calibration,
            }
        )
        print_status(f"profile kept in {profiles.save(args.profile, kept)}")
    run.report_results(args.json)
    return 0


def _subscribe_remote_motion(settings: RunSettings) -> tuple[RemoteMotionCapture | None, RunSettings]:
    """Whoever is followed by ``motion:LINK``, and the settings without the link's key. Raises: ConfigError."""
    kind, _, link = settings.driver.partition(":")
    if kind != "motion" or not link.startswith(("https://", "http://")):
        return None, settings
    from livehead.client.motion_subscriber import RemoteMotionCapture, ViewerLink

    whom = ViewerLink.parse(link)
    following = asyncio.run(RemoteMotionCapture.connect(whom, fps=settings.stream.fps, report=print_status))
    return following, settings.model_copy(update={"driver": f"motion:{whom.address.http_url}"})


def _load_profile(args: argparse.Namespace, profiles: ProfileStore) -> CallProfile:
    """The profile that was named; a new one when it is unknown and an avatar is given. Raises: ConfigError."""
    if args.profile and (args.profile in profiles.list_names() or not args.avatar):
        return profiles.load(args.profile)
    return CallProfile()


class LiveRun:
    """One live run: the pipeline that the settings ask for, its keys, and what is said about it.

    ``following``: a performer elsewhere, in place of a camera.
    """

    def __init__(
        self, settings: RunSettings, live_avatar: LiveAvatar, remote_motion: RemoteMotionCapture | None = None
    ) -> None:
        self.settings = settings
        self._hardware = live_avatar.hardware
        self.hotkeys = Hotkeys(live_avatar, to_gains(settings.gains), self.stop)
        stream, stats = settings.stream, StatsCollector()
        driver = settings.driver.partition(":")[0]
        self.needs_camera = driver not in CAMERALESS_DRIVERS
        self.microphone = settings.microphone or ("default" if driver in VOICE_DRIVERS else None)
        if settings.sound_out and not self.microphone:
            raise ConfigError("there is no sound to pass on", "name a microphone with --microphone")
        if self.microphone:
            stream = stream.model_copy(update={"audio_rate": SOUND_RATE})
        budget = settings.budget
        self.quality_controller = QualityController(
            QualityLevel(settings.render_size, 1, stream.fps),
            budget.frame_ms or 1000 / stream.fps,
            budget.machine_share,
            can_skip_tracking=self.needs_camera,
        )
        live_avatar.warm_up(self.quality_controller.levels)
        self.pipeline = Pipeline.from_animator(
            open_capture(settings.capture, settings.camera) if self.needs_camera else remote_motion,
            live_avatar.animator,
            [self._open_sink(spec, stream) for spec in settings.sinks],
            fps=stream.fps,
            microphone=open_microphone(self.microphone, SOUND_RATE, stats) if self.microphone else None,
            audio_buffer=AudioRingBuffer(on_gap=lambda: stats.count("sound.gaps")) if driver in VOICE_DRIVERS else None,
            sound_out=open_sound_output(settings.sound_out, SOUND_RATE, stats) if settings.sound_out else None,
            quality_controller=self.quality_controller,
            stats=stats,
        )
        self.first_frame_s: float | None = None
        """From the start of the program to the first frame sent."""

    def stop(self) -> None:
        """End the run; callable from the event loop."""
        self.pipeline.stop()

    def describe(self) -> str:
        """One line: what does the work here, from where to where."""
        settings, (cpu, cores) = self.settings, cpu_info()
        capture = settings.capture if self.needs_camera else "no camera"
        capture += f" and microphone {self.microphone}" if self.microphone else ""
        width, height = settings.stream.size
        sinks = ", ".join(redacted(spec) for spec in settings.sinks)
        model = DEFAULT_MODEL if settings.model == "auto" else settings.model
        return (
            f"{settings.driver} from {capture}, {model} at {settings.render_size} px ({self._hardware}; {cpu}, "
            f"{cores} cores), {width}x{height} at {settings.stream.fps:g} fps to {sinks}"
        )

    async def run(self, seconds: float | None = None) -> None:
        """Until ``stop``, a signal or the capture's end, at most ``seconds``. Raises: what the pipeline raises."""
        stop_on_signals(self.stop, seconds)
        watching = asyncio.create_task(self._report_progress())
        try:
            await self.pipeline.run()
        finally:
            watching.cancel()
            await asyncio.wait([watching])

    def report_results(self, path: Path | None) -> None:
        """The run's figures on the terminal and, if asked for, as JSON."""
        stats = self.pipeline.stats
        counts, stages = stats.read_counters(), stats.summarize_stages()
        bad = sum(number for name, number in counts.items() if name.endswith(".bad"))
        delay = stages.get("capture_to_sink", summarize_ms([]))
        print_status(
            f"{counts.get('sent', 0)} frames sent, {delay['median']:.0f} ms from capture to sink, "
            f"{bad} bad frames skipped{_describe_sound_losses(counts)}"
        )
        if path is not None:
            from livehead.reporting.report import Json, JsonReport, write_json

            settings = self.settings.model_dump(mode="json") | {
                "sinks": [redacted(spec) for spec in self.settings.sinks]
            }
            results: dict[str, Json] = {"stages": stages, "counts": counts}
            results |= {"start_s": self.first_frame_s, "peak_mb": round(peak_memory_mb(), 1)}
            write_json(JsonReport("run", settings).finish(results), path)

    def _open_sink(self, spec: str, stream: StreamSettings) -> Sink:
        if spec == "window":
            return WindowSink(on_key=self.hotkeys, status_text=self.hotkeys.status_text)
        return open_sink(spec, stream)

    async def _report_progress(self) -> None:
        """Tell when the first frame is out, and once when the asked rate is not reached."""
        stats = self.pipeline.stats
        await self.pipeline.first_frame_sent.wait()
        self.first_frame_s = process_uptime_s()
        print_status(f"first frame after {self.first_frame_s:.2f} s; Ctrl-C ends")
        while True:
            before = stats.read_counters()
            await asyncio.sleep(RATE_WINDOW_S)
            after = stats.read_counters()
            fps = (after["sent"] - before["sent"]) / RATE_WINDOW_S / len(self.settings.sinks)
            if fps < SLOW_RATE_SHARE * self.quality_controller.quality.fps:
                print_status(
                    f"slow: {fps:.1f} fps of {self.quality_controller.quality.fps:g}; {self._explain_slowness()}"
                )
                return

    def _explain_slowness(self) -> str:
        """Which part of the way is the slow one."""
        stages = self.pipeline.stats.summarize_stages()
        name, figures = max(
            ((name, stages[name]) for name in ("estimate", "draw") if name in stages),
            key=lambda item: item[1]["median"],
        )
        if figures["median"] < 1000 / self.settings.stream.fps:
            return "the camera gives no more: more light may help" if self.needs_camera else "the machine is busy"
        remedy = "try a smaller --render-size" if name == "draw" else "try --machine-share 1 and close other programs"
        return f"{name} takes {figures['median']:.0f} ms: {remedy}"


def _describe_sound_losses(counts: Mapping[str, int]) -> str:
    """What became of the sound, if anything."""
    words = {
        "microphone.lost": "microphone lost {} times",
        "microphone.drop_outs": "{} drop-outs of sound",
        "sound_out.lost": "sound output lost {} times",
    }
    return "".join(f", {text.format(counts[name])}" for name, text in words.items() if counts.get(name))
