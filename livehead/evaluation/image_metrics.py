"""How far pictures are from the truth: all are uint8 [H, W, 3] RGB, and the figures are for the 0-1 range."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from livehead.frames import Image
from livehead.motion.keypoints import Array

PixelBox = tuple[int, int, int, int]
"""A box: left, top, right and bottom in whole pixels, right and bottom excluded."""

PSNR_OF_IDENTICAL = 100.0
"""The decibels that a picture gets which equals the truth, so that means stay finite."""

_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = 0.01**2, 0.03**2
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def l1(output: Image, truth: Image) -> float:
    """The mean absolute difference in the 0-1 range."""
    return float(cv2.norm(output, truth, cv2.NORM_L1) / (output.size * 255))


def psnr(output: Image, truth: Image) -> float:
    """The peak signal-to-noise ratio in decibels, ``PSNR_OF_IDENTICAL`` where the pictures are equal."""
    error = cv2.norm(output, truth, cv2.NORM_L2SQR) / (output.size * 255**2)
    return float(min(-10 * np.log10(error), PSNR_OF_IDENTICAL)) if error > 0 else PSNR_OF_IDENTICAL


def ssim(output: Image, truth: Image) -> float:
    """The structural similarity (Wang et al. 2004): Gaussian window of 11, sigma 1.5, mean over the channels.

    As in the paper the mean is over the windows that lie inside the picture, which must be larger than 11 x 11.
    """
    x, y = _to_unit_range(output), _to_unit_range(truth)
    mean_x, mean_y = _blur(x), _blur(y)
    xx, yy, xy = mean_x * mean_x, mean_y * mean_y, mean_x * mean_y
    covariance = _blur(x * y) - xy
    variances = _blur(x * x) - xx + _blur(y * y) - yy
    similarity = (2 * xy + _C1) * (2 * covariance + _C2) / ((xx + yy + _C1) * (variances + _C2))
    edge = _WINDOW // 2
    return float(similarity[edge:-edge, edge:-edge].mean(dtype=np.float64))


def sharpness(output: Image, truth: Image, box: PixelBox) -> float:
    """The gradient energy inside ``box`` over the truth's: below 1 is blurred, above 1 is ringing or noise."""
    return _gradient_energy(output, box) / max(_gradient_energy(truth, box), 1e-9)


def flicker(outputs: Sequence[Image], truths: Sequence[Image]) -> float:
    """The mean absolute second difference in time over the truth's, of three or more consecutive frames.

    The frames of the evaluation lie some tenths of a second apart, so it tells jumps and tremor of the picture as a
    whole rather than the shimmer of single frames.
    """
    if len(outputs) < 3 or len(outputs) != len(truths):
        raise ValueError(f"flicker needs three or more frames of each, got {len(outputs)} and {len(truths)}")
    return _second_difference(outputs) / max(_second_difference(truths), 1e-9)


def box_l1(output: Image, truth: Image, box: PixelBox) -> float:
    """The ``l1`` inside ``box``; in the mouth's box it is the evaluation's ``mouth_l1``."""
    left, top, right, bottom = box
    return l1(np.ascontiguousarray(output[top:bottom, left:right]), np.ascontiguousarray(truth[top:bottom, left:right]))


def bounding_box(points: Array, width: int, height: int, scale: float = 1.0) -> PixelBox:
    """The box around ``points`` [K, 2] in pixels, enlarged by ``scale``, cut to the picture, at least a pixel large."""
    low, high = points.min(axis=0), points.max(axis=0) + 1
    centre, half = (low + high) / 2, (high - low) / 2 * scale
    left, top = np.clip(np.floor(centre - half), 0, (width - 1, height - 1)).astype(int)
    right, bottom = np.clip(np.ceil(centre + half), (left + 1, top + 1), (width, height)).astype(int)
    return int(left), int(top), int(right), int(bottom)


def _second_difference(frames: Sequence[Image]) -> float:
    """The mean of |before - 2 now + after| over pixels and each three consecutive ``frames``, 0-1 range."""
    total = 0.0
    for before, now, after in zip(frames, frames[1:], frames[2:], strict=False):
        bend = before.astype(np.int16) - 2 * now.astype(np.int16) + after
        total += float(np.abs(bend).mean()) / 255
    return total / (len(frames) - 2)


def _gradient_energy(image: Image, box: PixelBox) -> float:
    """The mean squared gradient of the luma (central differences) inside ``box``, 0-1 range."""
    left, top, right, bottom = box
    luma = _to_unit_range(image[top:bottom, left:right]) @ _LUMA
    if min(luma.shape) < 3:
        return 0.0
    across = luma[1:-1, 2:] - luma[1:-1, :-2]
    down = luma[2:, 1:-1] - luma[:-2, 1:-1]
    return float((across**2 + down**2).mean() / 4)


def _to_unit_range(image: Image) -> npt.NDArray[np.float32]:
    return image.astype(np.float32) / 255


def _blur(image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(image, (_WINDOW, _WINDOW), _SIGMA), np.float32)
