"""``livehead evaluate --audio``: how true the mouth is that the driver ``voice`` makes of a clip's sound."""

from __future__ import annotations

import argparse

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from livehead.clock import NS
from livehead.drivers.voice import VoiceDriver
from livehead.evaluation.clips import list_clips
from livehead.evaluation.speech import AUDIO_METRICS, evaluate_speech
from livehead.frames import AudioFrame
from livehead.interfaces import DriverInputs
from livehead.models.voice.build import load_voice_model
from livehead.models.voice.network import LOOK_AHEAD_S, STEP_S
from livehead.motion.keypoints import Array, mesh_keypoints
from livehead.perception.talking_clip import RATE, TalkingClip
from livehead.perception.voice_activity import VoiceActivityDetector
from livehead.reporting.plot import plot_speech
from livehead.reporting.report import JsonReport, format_table, write_json

DRIVER = "voice"
_STEP_SAMPLES = round(STEP_S * RATE)


def evaluate_audio(args: argparse.Namespace) -> int:
    """Measure, print the table, write what was asked for. Raises: ConfigError, CaptureError, NoFaceError."""
    clips = list_clips(args.clips, args.list)
    report = JsonReport("evaluate", {"clips": str(args.clips), "list": str(args.list or ""), "driver": DRIVER})
    with tqdm(total=len(clips), unit="clip", disable=None) as bar:
        figures = evaluate_speech(clips, estimate_meshes, lambda clip: (bar.set_postfix_str(clip), bar.update())[0])
    print(format_table({**figures.clips, "mean": figures.mean}, AUDIO_METRICS, "clip"))
    if args.json:
        write_json(report.finish({DRIVER: {"mean": figures.mean, "clips": figures.clips}}), args.json)
    if args.plot:
        plot_speech(figures, args.plot)
    return 0


def estimate_meshes(clip: TalkingClip) -> tuple[npt.NDArray[np.float64], Array]:
    """The driver fed with a clip's sound step by step, as live, on the face of the clip's first frame."""
    source = mesh_keypoints(clip.meshes[int(np.flatnonzero(clip.face_seen)[0])], 1.0, 0)
    driver = VoiceDriver(source, load_voice_model(), VoiceActivityDetector())
    tail = np.zeros(round(LOOK_AHEAD_S * RATE) + _STEP_SAMPLES, np.float32)
    sound = np.concatenate([clip.sound, tail])
    times, meshes = [], []
    for end in range(_STEP_SAMPLES, len(sound) + 1, _STEP_SAMPLES):
        block = AudioFrame(
            sound[None, end - _STEP_SAMPLES : end], RATE, end - _STEP_SAMPLES, (end - _STEP_SAMPLES) * NS // RATE
        )
        motion = driver.estimate(DriverInputs(None, block, end * NS // RATE))
        times.append(motion.captured_ns / NS)
        meshes.append(motion.points3d()[0])
    return np.array(times), np.stack(meshes)
