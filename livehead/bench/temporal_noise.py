"""Whether an avatar stands still while its performer does: a camera's noise must not become motion."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from livehead.frames import Image

CAMERA_NOISE_STD = 2.5
"""Standard deviation of a pixel, of 255: a webcam in a lit room."""


def add_camera_noise(image: Image, frames: int, seed: int = 0) -> list[Image]:
    """The same picture ``frames`` times, each with noise of its own as a camera adds it."""
    rng = np.random.default_rng(seed)
    clean = image.astype(np.float32)
    return [
        (clean + rng.normal(0, CAMERA_NOISE_STD, image.shape).astype(np.float32)).round().clip(0, 255).astype(np.uint8)
        for _ in range(frames)
    ]


def temporal_noise(driving: Sequence[Image], outputs: Sequence[Image]) -> dict[str, float]:
    """Mean change from frame to frame of the driver and of the output, 0-1 range, and the second over the first."""
    driver, output = _mean_frame_change(driving), _mean_frame_change(outputs)
    return {"driver": round(driver, 6), "output": round(output, 6), "ratio": round(output / max(driver, 1e-9), 4)}


def _mean_frame_change(images: Sequence[Image]) -> float:
    steps = [np.abs(a.astype(np.int16) - b).mean() for a, b in zip(images[:-1], images[1:], strict=True)]
    return float(np.mean(steps)) / 255
