"""A photo and a recording of speech become a video, without a performer's video."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np

from livehead.assembly.animation import AnimationRequest
from livehead.assembly.live_avatar import build_live_avatar, initial_calibration, open_portraits
from livehead.assembly.model_factories import create_voice_driver
from livehead.assembly.time_range import TimeRange, clip_blocks
from livehead.assembly.video_export import ExportSettings, choose_batch_size, export_video, read_sound_frames
from livehead.avatars.cache import AvatarCache
from livehead.clock import NS
from livehead.drivers.voice import VoiceDriver
from livehead.errors import ConfigError
from livehead.frames import AudioFrame, Samples
from livehead.interfaces import DriverInputs
from livehead.models.voice.logmel import SAMPLE_RATE
from livehead.models.voice.network import LOOK_AHEAD_S
from livehead.motion.keypoints import Keypoints
from livehead.perception.audio_blocks import read_audio_blocks
from livehead.perception.media_length import measure_sound_s


@dataclass(frozen=True, slots=True)
class SpeechVideoFigures:
    """How many pictures were drawn, how long they last, the time taken, and that until the first one was written."""

    frames: int
    duration_s: float
    taken_s: float
    first_picture_s: float


def animate_by_speech(request: AnimationRequest) -> SpeechVideoFigures:
    """Let a photo speak ``request.audio``, in one pass. Raises: ConfigError, SourceError, CaptureError, SinkError."""
    if request.audio is None:
        raise ConfigError("there is nothing for the avatar to say", "add --audio SPEECH")
    heard = read_speech(request.audio, request.time_range)
    first = next(heard)  # sound that cannot be decoded is told before a photo is prepared for it
    store = AvatarCache()
    (portrait,) = open_portraits([request.avatar], store, request.notify, request.settings.picture.face)
    settings, size = request.face_picture(portrait)
    driver = create_voice_driver(portrait)
    calibration = initial_calibration(driver)
    live_avatar = build_live_avatar(
        settings, [portrait], driver, store, calibration=calibration, size=size, allow_transparent=True
    )
    started = time.monotonic()
    fps = settings.stream.fps
    motions = estimate_voice_motion(driver, chain([first], heard), fps)
    sound = read_sound_frames(request.audio, request.time_range, tell_damage=False)
    length_s = request.time_range.clip_s(measure_sound_s(request.audio))
    export = ExportSettings(request.out, round(length_s * fps), choose_batch_size(settings.model), request.crf)
    written = asyncio.run(export_video(live_avatar.animator.draw_many, motions, sound, export))
    ended = time.monotonic()
    return SpeechVideoFigures(written.frames, written.frames / fps, ended - started, written.first_written - started)


def read_speech(path: Path, time_range: TimeRange) -> Iterator[Samples]:
    """The part of a recording that the avatar is to say, in blocks [1, N] at ``SAMPLE_RATE``. Raises: CaptureError."""
    return clip_blocks(read_audio_blocks(path, SAMPLE_RATE), SAMPLE_RATE, time_range)


def estimate_voice_motion(driver: VoiceDriver, sound: Iterator[Samples], fps: float) -> Iterator[Keypoints]:
    """The motion of each picture, at 0, 1 / ``fps``, ... up to the end of ``sound`` (blocks [1, N] at ``SAMPLE_RATE``).

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
