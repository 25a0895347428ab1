"""Whether an avatar stands still while its performer does: a camera's noise must not become motion."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from fractions import Fraction
from typing import cast

import numpy as np

from livehead.assembly.live_avatar import build_live_avatar, make_driver
from livehead.assembly.synthetic_performer import ASTRONAUT_PHOTO, bundled_portrait, render_driving
from livehead.avatars.cache import AvatarCache
from livehead.config import RunSettings
from livehead.frames import Image, VideoFrame
from livehead.interfaces import DriverInputs
from livehead.reporting.report import Json

log = logging.getLogger(__name__)

CAMERA_NOISE_STD = 2.5
"""Standard deviation of a pixel, of 255: a webcam in a lit room."""

_SETTLING_FRAMES = 30  # at the beginning, not counted: smoothing and calibration come to rest


def measure_temporal_noise(settings: RunSettings, frames: int) -> Json:
    """How much an avatar trembles while its performer does not move and the camera is noisy; as ``temporal_noise``."""
    log.info("measuring how still the avatar is, over %d frames", frames)
    portrait = bundled_portrait(ASTRONAUT_PHOTO)
    [scene] = render_driving(portrait, settings.camera.size, [portrait.motion])
    seen = add_camera_noise(scene, frames)
    driver = make_driver("auto", [portrait], settings.model, settings.precision)
    animator = build_live_avatar(settings, [portrait], driver, AvatarCache()).animator
    step, shown = round(1e9 / settings.stream.fps), []
    for number, image in enumerate(seen):
        frame = VideoFrame(image, number, Fraction(1, round(settings.stream.fps)), number * step)
        shown.append(animator.draw(animator.estimate(DriverInputs(frame, None, number * step))))
    return cast("Json", temporal_noise(seen[_SETTLING_FRAMES:], shown[_SETTLING_FRAMES:]))


def add_camera_noise(image: Image, frames: int, seed: int = 0) -> list[Image]:
    """``frames`` copies of ``image`` (uint8 [H, W, 3] RGB), each with noise of its own as a camera adds it."""
    rng = np.random.default_rng(seed)
    clean = image.astype(np.float32)
    return [
        (clean + rng.normal(0, CAMERA_NOISE_STD, image.shape).astype(np.float32)).round().clip(0, 255).astype(np.uint8)
        for _ in range(frames)
    ]


def temporal_noise(driving: Sequence[Image], outputs: Sequence[Image]) -> dict[str, float]:
    """Mean change from frame to frame of the driving and the output pictures, 0-1 range, and their ratio."""
    driver, output = _mean_frame_change(driving), _mean_frame_change(outputs)
    return {"driver": round(driver, 6), "output": round(output, 6), "ratio": round(output / max(driver, 1e-9), 4)}


def _mean_frame_change(images: Sequence[Image]) -> float:
    steps = [np.abs(a.astype(np.int16) - b).mean() for a, b in zip(images[:-1], images[1:], strict=True)]
    return float(np.mean(steps)) / 255
