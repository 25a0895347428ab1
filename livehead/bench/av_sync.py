"""Sound and picture through the real pipeline: how late each is, and how far they are apart.

A test signal is spoken into a microphone; pictures and sound are recorded in a file, and at the far ends of a virtual
camera and of a virtual cable. Without devices named, both are null sinks of a private PulseAudio server.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from tempfile import TemporaryDirectory

import numpy as np

from livehead.assembly.live_avatar import build_live_avatar, initial_calibration, make_driver
from livehead.assembly.media_endpoints import open_microphone, open_sound_output
from livehead.assembly.synthetic_performer import DRAWN_PORTRAIT, bundled_portrait
from livehead.audio.portaudio import refresh_devices
from livehead.audio.ring import AudioRingBuffer
from livehead.avatars.cache import AvatarCache
from livehead.bench.av_offset import (
    AvOffset,
    SampledCurve,
    estimate_offset,
    measure_file_offset,
    to_loudness_curve,
    to_sound_curve,
    track_mouth_opening,
)
from livehead.bench.harness.pulseaudio_server import CABLE, CABLE_END, MICROPHONE, PulseServer
from livehead.bench.harness.virtual_camera_probe import VirtualCameraProbe, VirtualCameraProbeSink
from livehead.bench.vowel_bursts import RATE, synthesize_vowel_bursts, write_wav
from livehead.capture.microphone import MicrophoneCapture
from livehead.clock import NS
from livehead.config import RunSettings
from livehead.frames import AudioFrame
from livehead.pipeline import Pipeline
from livehead.quality import QualityController, QualityLevel
from livehead.reporting.report import Json
from livehead.sinks.file import FileSink
from livehead.stats import StatsCollector, summarize_ms

MODELS = ("warp", "compact")
_WARM_UP_S = 4.0  # while the sound cards' clocks settle, and the delay of the pictures becomes known
_TAIL_S = 1.5
_THUMBNAIL_SIDE = 256  # pixels of the kept pictures' sides

StartPlayback = Callable[[Path], Popen[bytes]]
"""Starts to play a sound file into the microphone."""


@dataclass(frozen=True, slots=True)
class VoiceLatencyFigures:
    """Figures of one run that a voice drove.

    ``microphone_to_photon`` summarises the ms from a sound's ADC time to its picture at the far end of the virtual
    camera; ``latency_by_pixels_ms`` is the same by pixels alone, as the shift of the pictures to the microphone's
    sound. ``file_offset`` and ``live_offset`` are the sound's offsets to the picture in the recording and at the live
    outputs, ``counts`` the pipeline's counters.
    """

    microphone_to_photon: dict[str, float]
    latency_by_pixels_ms: float
    file_offset: AvOffset
    live_offset: AvOffset
    counts: dict[str, int]


def as_results(figures: Mapping[str, VoiceLatencyFigures]) -> dict[str, Json]:
    """The figures by model, with the keys of ``bench voice``'s JSON."""
    return {
        "microphone_to_photon": {model: found.microphone_to_photon for model, found in figures.items()},
        "microphone_to_photon_seen_ms": {model: found.latency_by_pixels_ms for model, found in figures.items()},
        "av_offset_ms": {
            m: {"file": found.file_offset.ms, "live": found.live_offset.ms} for m, found in figures.items()
        },
        "av_correlation": {
            m: {"file": found.file_offset.correlation, "live": found.live_offset.correlation}
            for m, found in figures.items()
        },
        "live_counts": {model: found.counts for model, found in figures.items()},
    }


def measure_voice(
    settings: RunSettings, models: Sequence[str] = MODELS, seconds: float = 20.0
) -> dict[str, VoiceLatencyFigures]:
    """Run the pipeline of ``run`` with each of ``models`` for a test signal of ``seconds``, and judge what came out.

    The process's PortAudio uses a private PulseAudio server from then on; no stream may be open.
    Raises: DeviceError where PulseAudio or PortAudio is missing, or when nothing usable arrives.
    """
    figures = {}
    settings = settings.model_copy(update={"microphone": MICROPHONE, "sound_out": CABLE})
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="livehead-av-")))
        server = stack.enter_context(PulseServer())
        os.environ.update(server.environment)
        refresh_devices()
        write_wav(folder / "bursts.wav", synthesize_vowel_bursts(seconds))
        for model in models:
            trial = _PipelineTrial(settings.model_copy(update={"model": model}), folder / f"{model}.mp4")
            asyncio.run(trial.run(lambda: server.play(folder / "bursts.wav"), seconds))
            figures[model] = trial.evaluate_recording()
    return figures


class _PipelineTrial:
    """One run of the pipeline, with all that arrived at its outputs."""

    def __init__(self, settings: RunSettings, recording: Path) -> None:
        self.stats = StatsCollector()
        self.recording = recording
        self.probe = VirtualCameraProbe((_THUMBNAIL_SIDE, _THUMBNAIL_SIDE))
        self.sink = VirtualCameraProbeSink(self.probe)
        self.cable_frames: list[AudioFrame] = []
        portrait = bundled_portrait(DRAWN_PORTRAIT)
        driver = make_driver(settings.driver, [portrait], settings.model)
        calibration = initial_calibration(driver)
        stream = settings.stream.model_copy(update={"size": (2 * _THUMBNAIL_SIDE, 2 * _THUMBNAIL_SIDE)})
        settings = settings.model_copy(update={"stream": stream})
        live_avatar = build_live_avatar(settings, [portrait], driver, AvatarCache(), calibration=calibration)
        self.fps = fps = stream.fps
        self.pipeline = Pipeline.from_animator(
            None,
            live_avatar.animator,
            [self.sink, FileSink(recording, fps=fps, audio_rate=RATE)],
            fps=fps,
            microphone=open_microphone(settings.microphone or "default", RATE, self.stats),
            audio_buffer=AudioRingBuffer(on_gap=lambda: self.stats.count("sound.gaps")),
            sound_out=open_sound_output(settings.sound_out or "default", RATE, self.stats),
            quality_controller=QualityController(
                QualityLevel(settings.render_size, 1, fps),
                settings.budget.frame_ms or 1000 / fps,
                can_skip_tracking=False,
            ),
            stats=self.stats,
        )

    async def run(self, start_playback: Callable[[], Popen[bytes]], seconds: float) -> None:
        running = asyncio.create_task(self.pipeline.run())
        recording = asyncio.create_task(self._record_cable())
        started = asyncio.create_task(self.pipeline.first_frame_sent.wait())
        await asyncio.wait([running, recording, started], return_when=asyncio.FIRST_COMPLETED)
        player = None
        if started.done():
            await asyncio.sleep(_WARM_UP_S)
            player = start_playback()
            await asyncio.sleep(seconds + _TAIL_S)
        self.pipeline.stop()
        recording.cancel()
        started.cancel()
        if player is not None:
            player.terminate()
            player.wait()
        await running
        with suppress(asyncio.CancelledError):
            await recording

    async def _record_cable(self) -> None:
        async with MicrophoneCapture(CABLE_END, rate=RATE, block_ms=10, stats=StatsCollector()) as cable_end:
            while True:
                self.cable_frames.append(await cable_end.recv())

    def evaluate_recording(self) -> VoiceLatencyFigures:
        received = self.probe.received_frames
        mouth = track_mouth_opening(
            (at_ns / NS, np.repeat(luma[..., None], 3, axis=2))
            for at_ns, luma in zip(received.received_ns, received.thumbnails, strict=True)
        )
        heard, passed_on = (
            to_loudness_curve(to_sound_curve(frames)) for frames in (self.sink.audio_frames, self.cable_frames)
        )
        return VoiceLatencyFigures(
            microphone_to_photon=summarize_ms(self.sink.latency_ms[round(_WARM_UP_S / 2 * self.fps) :]),
            latency_by_pixels_ms=-estimate_offset(_trim_warm_up(mouth, heard), heard).ms,
            file_offset=measure_file_offset(self.recording),
            live_offset=estimate_offset(_trim_warm_up(mouth, passed_on), passed_on),
            counts=self.stats.read_counters(),
        )


def _trim_warm_up(mouth: SampledCurve, sound: SampledCurve) -> SampledCurve:
    """The part of ``mouth`` during which sound was recorded and the delay was known."""
    kept = mouth.times > max(mouth.times[0], sound.times[0]) + _WARM_UP_S / 2
    return SampledCurve(mouth.times[kept], mouth.values[kept])
