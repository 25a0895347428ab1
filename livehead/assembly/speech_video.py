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

from livehead.assembly.factories import create_voice_driver
from livehead.assembly.live_avatar import build_live_avatar, initial_calibration, open_portraits
from livehead.assembly.video_export import choose_batch_size, export_video, photo_size, read_sound_frames
from livehead.avatars.cache import AvatarCache
from livehead.cli_options import print_status, settings_from_args
from livehead.clock import NS
from livehead.drivers.voice import VoiceDriver
from livehead.errors import ConfigError
from livehead.frames import AudioFrame, Samples
from livehead.interfaces import DriverInputs
from livehead.models.voice.logmel import SAMPLE_RATE
from livehead.models.voice.network import LOOK_AHEAD_S
from livehead.motion.keypoints import Keypoints
from livehead.perception.audio_blocks import read_audio_blocks

_MIN_FPS, _MAX_FPS = 1.0, 120.0  # pictures a second


def animate_audio(args: argparse.Namespace) -> int:
    """One pass: sound in, pictures and sound out. Raises: ConfigError, SourceError, CaptureError, SinkError."""
    settings = settings_from_args(args)
    if args.debug_panels:
        raise ConfigError("--debug-panels need a performer to be seen", "add --driving VIDEO")
    fps = settings.stream.fps
    if not _MIN_FPS <= fps <= _MAX_FPS:
        raise ConfigError(f"{fps} pictures a second cannot be made", f"give --fps {_MIN_FPS:.0f} to {_MAX_FPS:.0f}")
    heard = read_audio_blocks(args.audio, SAMPLE_RATE)
    first = next(heard)  # a file without sound is told before a photo is prepared for it
    store = AvatarCache()
    (portrait,) = open_portraits([args.avatar], store, print_status)
    size = settings.stream.size
    if "size" not in vars(args):
        size = photo_size(portrait)
        settings = settings.model_copy(update={"picture": settings.picture.model_copy(update={"fit": "fit"})})
    driver = create_voice_driver(portrait)
    calibration = initial_calibration(driver, [portrait])
    company = build_live_avatar(settings, [portrait], driver, store, calibration=calibration, size=size)
    started = time.monotonic()
    motions = estimate_voice_motion(driver, _prepend_block(first, heard), fps)
    together = choose_batch_size(settings.model)
    frames = asyncio.run(
        export_video(company.animator.draw_many, motions, read_sound_frames(args.audio), args.out, batch_size=together)
    )
    _report_results(args, settings.model, frames, frames / fps, time.monotonic() - started)
    return 0


def estimate_voice_motion(driver: VoiceDriver, sound: Iterator[Samples], fps: float) -> Iterator[Keypoints]:
    """The motion of each picture, at 0, 1 / ``fps``, ... up to the end of ``sound`` (blocks [1, N] at ``RATE``).

    Each is made of the sound up to the driver's look-ahead behind it, as live; ``captured_ns`` is the picture's time.
    """
    ahead = np.zeros((1, 0), np.float32)
    given = number = 0
    total: int | None = None
    while total is None or number * SAMPLE_RATE < total * fps:
        seconds = number / fps
        wanted = math.ceil((seconds + LOOK_AHEAD_S) * SAMPLE_RATE) - given
        while ahead.shape[1] < wanted:
            block = next(sound, None)
            if block is None:
                total = given + ahead.shape[1] if total is None else total
                block = np.zeros((1, wanted - ahead.shape[1]), np.float32)
            ahead = np.concatenate([ahead, block], axis=1)
        if total is not None and number and number * SAMPLE_RATE >= total * fps:
            return
        audio = AudioFrame(ahead[:, :wanted], SAMPLE_RATE, given, given * NS // SAMPLE_RATE)
        ahead, given = ahead[:, wanted:], given + wanted
        now_ns = round(seconds * NS)
        yield replace(driver.estimate(DriverInputs(None, audio, now_ns)), captured_ns=now_ns)
        number += 1


def _prepend_block(first: Samples, rest: Iterator[Samples]) -> Iterator[Samples]:
    yield first
    yield from rest


def _report_results(args: argparse.Namespace, model: str, frames: int, seconds: float, taken_s: float) -> None:
    print_status(f"{args.out}: {frames} frames, {seconds:.1f} s of video in {taken_s:.1f} s")
    if args.json is None:
        return
    from livehead.reporting.report import Json, JsonReport, write_json

    report = JsonReport("animate", {"avatar": str(args.avatar), "audio": str(args.audio), "model": model})
    results: dict[str, Json] = {
        "out": str(Path(args.out)),
        "frames": frames,
        "clip_s": round(seconds, 3),
        "taken_s": round(taken_s, 3),
        "real_time_factor": round(taken_s / max(seconds, 1e-9), 4),
    }
    write_json(report.finish(results), args.json)
