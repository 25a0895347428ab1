"""Sound and picture through the real pipeline: how late each is, and how far they are apart.

A test signal is spoken into a microphone; pictures and sound are recorded in a file, and at the far ends of a virtual
camera and of a virtual cable. Without devices named, both are null sinks of a private PulseAudio server.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from tempfile import TemporaryDirectory

import numpy as np

from livehead.audio.portaudio import look_again
from livehead.audio.ring import SoundRing
from livehead.capture.microphone import MicrophoneCapture
from livehead.clock import NS
from livehead.commands.compose import assemble, make_driver, neutral_of
from livehead.commands.ends import open_microphone, open_sound_out
from livehead.commands.options import add_picture_arguments, say, settings_from
from livehead.commands.performer import DRAWN, own_portrait
from livehead.config import RunSettings
from livehead.errors import LiveheadError
from livehead.frames import AudioFrame
from livehead.governor import Governor, Quality
from livehead.metrics.av_offset import (
    Curve,
    Offset,
    loudness,
    mouth_opening,
    offset_between,
    offset_in_file,
    sound_curve,
)
from livehead.metrics.bursts import RATE, vowel_bursts, write_wav
from livehead.metrics.pulse import CABLE, CABLE_END, MICROPHONE, PulseServer
from livehead.metrics.receiver import Receiver, ReceiverSink
from livehead.metrics.report import Json, Report, table, write_json
from livehead.pipeline import Pipeline
from livehead.renderers.store import AvatarStore
from livehead.sinks.file import FileSink
from livehead.stats import Stats, summary

MODELS = ("warp", "compact")
TIMES = ("median", "p95", "p99", "n")
ROW = ("file", "live", "mic to photon by pixels")
_WARM_UP_S = 4.0  # the sound cards' clocks settle, and the delay of the pictures becomes known
_LAST_S = 1.5
_SIDE = 256  # of the pictures that are kept

Speak = Callable[[Path], Popen[bytes]]
"""Starts to speak a sound file into the microphone."""


@dataclass(frozen=True, slots=True)
class VoiceFigures:
    """``microphone_to_photon``: ms from a sound's ADC time to its picture at the far end of the virtual camera.

    ``seen_ms``: the same by pixels alone, as the shift of the pictures to the microphone's sound; ``file`` and
    ``live``: the sound's offset to the picture; ``counts``: the pipeline's.
    """

    microphone_to_photon: dict[str, float]
    seen_ms: float
    file: Offset
    live: Offset
    counts: dict[str, int]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--driver", default="voice", metavar="NAME", help="voice, or another driver that hears")
    parser.add_argument("--seconds", type=float, default=20.0, metavar="N", help="length of the test signal")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    add_picture_arguments(parser)


def main(args: argparse.Namespace) -> int:
    """Measure, print a table, write what was asked for."""
    settings = settings_from(args)
    models = MODELS if settings.model == "auto" else tuple(settings.model.split(","))
    report = Report("av_offset", settings.model_dump(mode="json"))
    figures = measure_voice(settings, models, args.seconds)
    print(table({model: found.microphone_to_photon for model, found in figures.items()}, TIMES, "mic to photon, ms"))
    print(table({model: _row(found) for model, found in figures.items()}, ROW, "sound after picture, ms"))
    if args.json:
        write_json(report.finish(as_results(figures)), args.json)
    return 0


def as_results(figures: Mapping[str, VoiceFigures]) -> dict[str, Json]:
    """Figures by model, as the design names them for ``bench voice``."""
    return {
        "microphone_to_photon": {model: found.microphone_to_photon for model, found in figures.items()},
        "microphone_to_photon_seen_ms": {model: found.seen_ms for model, found in figures.items()},
        "av_offset_ms": {m: {"file": found.file.ms, "live": found.live.ms} for m, found in figures.items()},
        "av_correlation": {
            m: {"file": found.file.correlation, "live": found.live.correlation} for m, found in figures.items()
        },
        "live_counts": {model: found.counts for model, found in figures.items()},
    }


def measure_voice(
    settings: RunSettings, models: Sequence[str] = MODELS, seconds: float = 20.0
) -> dict[str, VoiceFigures]:
    """Run the pipeline of ``run`` with each of ``models`` for a test signal of ``seconds``; judge what came out.

    It makes this process's PortAudio use a private PulseAudio server from now on; no stream may be open.
    Raises: DeviceError where PulseAudio or PortAudio is missing, or when nothing usable arrives.
    """
    figures = {}
    settings = settings.model_copy(update={"microphone": MICROPHONE, "sound_out": CABLE})
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="livehead-av-")))
        server = stack.enter_context(PulseServer())
        os.environ.update(server.environment)
        look_again()
        write_wav(folder / "bursts.wav", vowel_bursts(seconds))
        for model in models:
            trial = _Trial(settings.model_copy(update={"model": model}), folder / f"{model}.mp4")
            asyncio.run(trial.run(lambda: server.play(folder / "bursts.wav"), seconds))
            figures[model] = trial.judged()
    return figures


class _Trial:
    """One run of the pipeline, with what arrived at all its far ends."""

    def __init__(self, settings: RunSettings, recording: Path) -> None:
        self.stats = Stats()
        self.recording = recording
        self.receiver = Receiver((_SIDE, _SIDE))
        self.sink = ReceiverSink(self.receiver)
        self.cable: list[AudioFrame] = []
        portrait = own_portrait(DRAWN)
        driver = make_driver(settings.driver, [portrait], settings.model)
        calibration = neutral_of(driver, [portrait])
        stream = settings.stream.model_copy(update={"size": (2 * _SIDE, 2 * _SIDE)})
        settings = settings.model_copy(update={"stream": stream})
        company = assemble(settings, [portrait], driver, AvatarStore(), calibration=calibration)
        self.fps = fps = stream.fps
        self.pipeline = Pipeline(
            None,
            company.animator,
            [self.sink, FileSink(recording, fps=fps, audio_rate=RATE)],
            fps=fps,
            microphone=open_microphone(settings.microphone or "default", RATE, self.stats),
            ear=SoundRing(on_gap=lambda: self.stats.count("sound.gaps")),
            sound_out=open_sound_out(settings.sound_out or "default", RATE, self.stats),
            governor=Governor(
                Quality(settings.render_size, 1, fps), settings.budget.frame_ms or 1000 / fps, tracks=False
            ),
            stats=self.stats,
        )

    async def run(self, speak: Callable[[], Popen[bytes]], seconds: float) -> None:
        running = asyncio.create_task(self.pipeline.run())
        recording = asyncio.create_task(self._record())
        started = asyncio.create_task(self.pipeline.first_sent.wait())
        await asyncio.wait([running, recording, started], return_when=asyncio.FIRST_COMPLETED)
        player = None
        if started.done():
            await asyncio.sleep(_WARM_UP_S)
            player = speak()
            await asyncio.sleep(seconds + _LAST_S)
        self.pipeline.stop()
        recording.cancel()
        started.cancel()
        if player is not None:
            player.terminate()
            player.wait()
        await running
        with suppress(asyncio.CancelledError):
            await recording

    async def _record(self) -> None:
        async with MicrophoneCapture(CABLE_END, rate=RATE, block_ms=10, stats=Stats()) as ear:
            while True:
                self.cable.append(await ear.recv())

    def judged(self) -> VoiceFigures:
        received = self.receiver.received
        mouth = mouth_opening(
            (at_ns / NS, np.repeat(luma[..., None], 3, axis=2))
            for at_ns, luma in zip(received.at_ns, received.thumbnails, strict=True)
        )
        heard, passed_on = (loudness(sound_curve(frames)) for frames in (self.sink.sound, self.cable))
        return VoiceFigures(
            microphone_to_photon=summary(self.sink.latency_ms[round(_WARM_UP_S / 2 * self.fps) :]),
            seen_ms=-offset_between(_since(mouth, heard), heard).ms,
            file=offset_in_file(self.recording),
            live=offset_between(_since(mouth, passed_on), passed_on),
            counts=self.stats.counts(),
        )


def _since(mouth: Curve, sound: Curve) -> Curve:
    """What the mouth did while sound was recorded and the delay was known."""
    kept = mouth.times > max(mouth.times[0], sound.times[0]) + _WARM_UP_S / 2
    return Curve(mouth.times[kept], mouth.values[kept])


def _row(figures: VoiceFigures) -> dict[str, float]:
    return dict(zip(ROW, (figures.file.ms, figures.live.ms, figures.seen_ms), strict=True))


def _main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="measure_av_offset", description=__doc__)
    add_arguments(parser)
    try:
        return main(parser.parse_args(words))
    except LiveheadError as error:
        say(f"measure_av_offset: {error}")
        return 2


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
