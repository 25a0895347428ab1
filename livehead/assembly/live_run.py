"""One live run on this machine: the pipeline that the settings ask for, its keys, and what is said about it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from livehead.assembly.hotkeys import Hotkeys
from livehead.assembly.live_avatar import DEFAULT_MODEL, LiveAvatar, to_gains
from livehead.assembly.media_endpoints import (
    count_microphone_channels,
    open_capture,
    open_microphone,
    open_sink,
    open_sound_output,
    redacted,
    split_input_spec,
)
from livehead.audio.rates import SOUND_RATE
from livehead.audio.ring import AudioRingBuffer
from livehead.config import RunSettings, StreamSettings
from livehead.errors import ConfigError
from livehead.interfaces import Sink
from livehead.motion_consumer import AnimatorConsumer
from livehead.motion_source import DriverMotionSource
from livehead.motion_stages import MotionSource
from livehead.perception.av_files import count_noun
from livehead.performer_watch import PerformerWatch, report_performer
from livehead.pipeline import Pipeline
from livehead.quality import QualityController, QualityLevel
from livehead.registry import DriverFactory, find_driver
from livehead.signals import stop_on_signals
from livehead.sinks.window import WindowSink
from livehead.stats import StatsCollector, cpu_info, process_uptime_s, summarize_ms

if TYPE_CHECKING:
    from livehead.interfaces import Capture

_SLOW_RATE_SHARE = 0.85  # of the asked rate: below, the run says that it is slow
_RATE_WINDOW_S = 4.0


class LiveRun:
    """One live run of ``live_avatar``.

    ``remote_source``: motion from another machine, in place of a camera and a driver. ``notify`` gets each line for the
    person who runs it.
    """

    def __init__(
        self,
        settings: RunSettings,
        live_avatar: LiveAvatar,
        *,
        notify: Callable[[str], None],
        remote_source: MotionSource | None = None,
    ) -> None:
        self.settings = settings
        self._hardware = live_avatar.hardware
        self._notify = notify
        self.hotkeys = Hotkeys(live_avatar, to_gains(settings.gains), self.stop)
        stream, stats = settings.stream, StatsCollector()
        driver = find_driver(settings.driver.partition(":")[0])
        self.needs_camera = driver.needs_camera
        self.microphone = settings.microphone or ("default" if driver.needs_audio else None)
        if settings.sound_out and not self.microphone:
            raise ConfigError("there is no sound to pass on", "name a microphone with --microphone")
        if self.microphone:
            channels = count_microphone_channels(self.microphone)
            stream = stream.model_copy(update={"audio_rate": SOUND_RATE, "audio_channels": channels})
        budget = settings.budget
        self.quality_controller = QualityController(
            QualityLevel(settings.render_size, 1, stream.fps),
            budget.frame_ms or 1000 / stream.fps,
            budget.machine_share,
            can_skip_tracking=self.needs_camera,
        )
        live_avatar.warm_up(self.quality_controller.levels)
        audio_buffer = AudioRingBuffer(on_gap=lambda: stats.count("sound.gaps")) if driver.needs_audio else None
        self.performer_watch = PerformerWatch(stats)
        source = remote_source or self._build_source(driver, live_avatar, audio_buffer, stats)
        self.pipeline = Pipeline(
            source,
            AnimatorConsumer(live_avatar.animator, stats),
            [self._open_sink(spec, stream) for spec in settings.sinks],
            microphone=open_microphone(self.microphone, SOUND_RATE, stats) if self.microphone else None,
            audio_buffer=audio_buffer,
            sound_out=open_sound_output(settings.sound_out, SOUND_RATE, stats) if settings.sound_out else None,
            quality_controller=self.quality_controller,
            stats=stats,
        )
        self.first_frame_s: float | None = None
        """Seconds from the start of the program to the first frame sent."""

    def _build_source(
        self,
        driver: DriverFactory,
        live_avatar: LiveAvatar,
        audio_buffer: AudioRingBuffer | None,
        stats: StatsCollector,
    ) -> DriverMotionSource:
        capture: Capture | None = None
        if driver.needs_camera:
            capture = open_capture(self.settings.capture, self.settings.camera)
        fps = self.settings.stream.fps
        source = DriverMotionSource(capture, live_avatar.animator, fps=fps, audio_buffer=audio_buffer, stats=stats)
        self.performer_watch = source.performer_watch
        return source

    def stop(self) -> None:
        """End the run; callable from the event loop."""
        self.pipeline.stop()

    def describe(self) -> str:
        """One line: what does the work here, from where to where."""
        settings, (cpu, cores) = self.settings, cpu_info()
        capture = redacted(settings.capture) if self.needs_camera else "no camera"
        capture += f" and microphone {redacted(self.microphone)}" if self.microphone else ""
        width, height = settings.stream.size
        sinks = ", ".join(redacted(spec) for spec in settings.sinks)
        model = DEFAULT_MODEL if settings.model == "auto" else settings.model
        return (
            f"{settings.driver} from {capture}, {model} at {settings.render_size} px ({self._hardware}; {cpu}, "
            f"{cores} cores), {width}x{height} at {settings.stream.fps:g} fps to {sinks}"
        )

    async def run(self, seconds: float | None = None) -> None:
        """Run until ``stop``, a signal or the capture's end, at most ``seconds``. Raises: what the pipeline raises."""
        stop_on_signals(self.stop, seconds)
        reports = (self._report_progress(), report_performer(self.performer_watch, self._notify))
        reporting = [asyncio.create_task(report) for report in reports]
        try:
            await self.pipeline.run()
        finally:
            for task in reporting:
                task.cancel()
            await asyncio.wait(reporting)

    def summarize(self) -> str:
        """One line about a run that is over: frames sent, their delay, what was lost."""
        counts, stages = self.pipeline.stats.read_counters(), self.pipeline.stats.summarize_stages()
        bad = sum(number for name, number in counts.items() if name.endswith(".bad"))
        delay = stages.get("capture_to_sink", summarize_ms([]))
        return (
            f"{count_noun(counts.get('sent', 0), 'frame')} sent, {delay['median']:.0f} ms from capture to sink, "
            f"{count_noun(bad, 'bad frame')} skipped{_describe_sound_losses(counts)}"
        )

    def _open_sink(self, spec: str, stream: StreamSettings) -> Sink:
        if spec == "window":
            return WindowSink(on_key=self.hotkeys, status_text=self._window_text)
        return open_sink(spec, stream)

    def _window_text(self) -> str:
        """The window's status line: what the keys have set, and who is seen."""
        seen = self.performer_watch.advice() or self.performer_watch.describe_others()
        return f"{self.hotkeys.status_text()}   {seen}".rstrip()

    async def _report_progress(self) -> None:
        """Tell when the first frame is out, and once when the asked rate is not reached."""
        stats = self.pipeline.stats
        await self.pipeline.first_frame_sent.wait()
        self.first_frame_s = process_uptime_s()
        self._notify(f"first frame after {self.first_frame_s:.2f} s; Ctrl-C ends")
        while True:
            before = stats.read_counters()
            await asyncio.sleep(_RATE_WINDOW_S)
            after = stats.read_counters()
            fps = (after["sent"] - before["sent"]) / _RATE_WINDOW_S / len(self.settings.sinks)
            wanted = self.quality_controller.quality.fps
            if fps < _SLOW_RATE_SHARE * wanted:
                captured = (after.get("capture.frames", 0) - before.get("capture.frames", 0)) / _RATE_WINDOW_S
                reason = self._explain_slowness(captured, wanted)
                if reason:
                    self._notify(f"slow: {fps:.1f} fps of {wanted:g}; {reason}")
                    return

    def _explain_slowness(self, captured_fps: float, wanted_fps: float) -> str:
        """The slowest part of the way from camera to sink, and what to do about it.

        It is empty where a recording has no more pictures. That a dark room slows a camera down is told by the camera's
        capture, which knows what the camera gave before.
        """
        stages = self.pipeline.stats.summarize_stages()
        name, figures = max(
            ((name, stages[name]) for name in ("estimate", "draw") if name in stages),
            key=lambda item: item[1]["median"],
        )
        if figures["median"] < 1000 / self.settings.stream.fps:
            if not self.needs_camera or captured_fps >= _SLOW_RATE_SHARE * wanted_fps:
                return "the machine is busy"
            kind = split_input_spec(self.settings.capture)[0]
            words = {"file": "", "synthetic": "", "url": f"the stream has {captured_fps:.0f} pictures a second"}
            return words.get(kind, f"the camera gives {captured_fps:.0f} pictures a second and no more")
        remedy = "try a smaller --render-size" if name == "draw" else "try --machine-share 1 and close other programs"
        return f"{name} takes {figures['median']:.0f} ms: {remedy}"


def _describe_sound_losses(counts: Mapping[str, int]) -> str:
    """The sound devices that were lost or dropped out, as the end of a sentence; empty where none was."""
    words = {
        "microphone.lost": "microphone lost {} times",
        "microphone.drop_outs": "{} drop-outs of sound",
        "sound_out.lost": "sound output lost {} times",
    }
    return "".join(f", {text.format(counts[name])}" for name, text in words.items() if counts.get(name))
