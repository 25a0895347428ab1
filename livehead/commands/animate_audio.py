"""``livehead animate --audio`` without a video: a photo and a recording of speech become a video."""

from __future__ import annotations

import argparse
import asyncio
import math
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from livehead.clock import NS
from livehead.commands.compose import assemble, listener, neutral_of, open_portraits
from livehead.commands.film import film, photo_size, pictures_at_once, sound_frames
from livehead.commands.options import say, settings_from
from livehead.drivers.voice import VoiceDriver
from livehead.errors import ConfigError
from livehead.frames import AudioFrame, Samples
from livehead.interfaces import Inputs
from livehead.models.voice.logmel import RATE
from livehead.models.voice.network import LOOK_AHEAD_S
from livehead.motion.keypoints import Keypoints
from livehead.perception.sound import sound_blocks
from livehead.renderers.store import AvatarStore

_SLOWEST, _FASTEST = 1.0, 120.0  # pictures a second


def animate_audio(args: argparse.Namespace) -> int:
    """One pass: sound in, pictures and sound out. Raises: ConfigError, SourceError, CaptureError, SinkError."""
    settings = settings_from(args)
    if args.debug_panels:
        raise ConfigError("--debug-panels need a performer to be seen", "add --driving VIDEO")
    fps = settings.stream.fps
    if not _SLOWEST <= fps <= _FASTEST:
        raise ConfigError(f"{fps} pictures a second cannot be made", f"give --fps {_SLOWEST:.0f} to {_FASTEST:.0f}")
    heard = sound_blocks(args.audio, RATE)
    first = next(heard)  # a file without sound is told before a photo is prepared for it
    store = AvatarStore()
    (portrait,) = open_portraits([args.avatar], store, say)
    size = settings.stream.size
    if "size" not in vars(args):
        size = photo_size(portrait)
        settings = settings.model_copy(update={"picture": settings.picture.model_copy(update={"fit": "fit"})})
    driver = listener(portrait)
    calibration = neutral_of(driver, [portrait])
    company = assemble(settings, [portrait], driver, store, calibration=calibration, size=size)
    started = time.monotonic()
    motions = spoken(driver, _chain(first, heard), fps)
    together = pictures_at_once(settings.model)
    frames = asyncio.run(
        film(company.animator.draw_many, motions, sound_frames(args.audio), args.out, together=together)
    )
    _report(args, settings.model, frames, frames / fps, time.monotonic() - started)
    return 0


def spoken(driver: VoiceDriver, sound: Iterator[Samples], fps: float) -> Iterator[Keypoints]:
    """The motion of each picture, at 0, 1 / ``fps``, ... up to the end of ``sound`` (blocks [1, N] at ``RATE``).

    Each is made of the sound up to the driver's look-ahead behind it, as live; ``captured_ns`` is the picture's time.
    """
    ahead = np.zeros((1, 0), np.float32)
    given = number = 0
    total: int | None = None
    while total is None or number * RATE < total * fps:
        seconds = number / fps
        wanted = math.ceil((seconds + LOOK_AHEAD_S) * RATE) - given
        while ahead.shape[1] < wanted:
            block = next(sound, None)
            if block is None:
                total = given + ahead.shape[1] if total is None else total
                block = np.zeros((1, wanted - ahead.shape[1]), np.float32)
            ahead = np.concatenate([ahead, block], axis=1)
        if total is not None and number and number * RATE >= total * fps:
            return
        audio = AudioFrame(ahead[:, :wanted], RATE, given, given * NS // RATE)
        ahead, given = ahead[:, wanted:], given + wanted
        now_ns = round(seconds * NS)
        yield replace(driver.estimate(Inputs(None, audio, now_ns)), captured_ns=now_ns)
        number += 1


def _chain(first: Samples, rest: Iterator[Samples]) -> Iterator[Samples]:
    yield first
    yield from rest


def _report(args: argparse.Namespace, model: str, frames: int, seconds: float, taken_s: float) -> None:
    say(f"{args.out}: {frames} frames, {seconds:.1f} s of video in {taken_s:.1f} s")
    if args.json is None:
        return
    from livehead.metrics.report import Json, Report, write_json

    report = Report("animate", {"avatar": str(args.avatar), "audio": str(args.audio), "model": model})
    results: dict[str, Json] = {
        "out": str(Path(args.out)),
        "frames": frames,
        "clip_s": round(seconds, 3),
        "taken_s": round(taken_s, 3),
        "real_time_factor": round(taken_s / max(seconds, 1e-9), 4),
    }
    write_json(report.finish(results), args.json)
