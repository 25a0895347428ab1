"""From a picture to a network's input: the input's size, the picture's scale in it, and the way back."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from livehead.errors import ConfigError
from livehead.frames import Image
from livehead.models.openpose.heatmaps import Array

DEFAULT_HEIGHT = 368
"""The default height of the input, in pixels."""

SIDE_MULTIPLE = 16
"""Both sides of an input are multiples of this number of pixels."""

_MAX_ASPECT_RATIO = 16 / 9  # width over height: a photo's input is no wider
_SCALE_STEP = 0.25  # share of the first size by which each further scale is smaller


def network_input_size(
    width: int, height: int, net_height: int = DEFAULT_HEIGHT, *, is_video: bool = False
) -> tuple[int, int]:
    """Width and height of the input for a picture; that of a video keeps its own shape however wide it is.

    Raises: ConfigError unless ``net_height`` is a positive multiple of 16.
    """
    if net_height < SIDE_MULTIPLE or net_height % SIDE_MULTIPLE:
        near = max(SIDE_MULTIPLE, round(net_height / SIDE_MULTIPLE) * SIDE_MULTIPLE)
        raise ConfigError(f"the network's height cannot be {net_height}", f"use a multiple of 16, as {near}")
    wanted = net_height * width / height
    if not is_video:
        wanted = min(wanted, net_height * _MAX_ASPECT_RATIO)
    return max(SIDE_MULTIPLE, SIDE_MULTIPLE * math.floor(wanted / SIDE_MULTIPLE + 0.5)), net_height


def scaled_sizes(size: tuple[int, int], scales: int) -> list[tuple[int, int]]:
    """The input sizes for several scales, each smaller by a quarter of the first size. Raises: ConfigError."""
    if not 1 <= scales <= round(1 / _SCALE_STEP):
        raise ConfigError(f"there cannot be {scales} scales", f"use 1 to {round(1 / _SCALE_STEP)}")
    factors = [1 - number * _SCALE_STEP for number in range(scales)]
    sizes = [
        (SIDE_MULTIPLE * int(size[0] * f / SIDE_MULTIPLE), SIDE_MULTIPLE * int(size[1] * f / SIDE_MULTIPLE))
        for f in factors
    ]
    return [(max(width, SIDE_MULTIPLE), max(height, SIDE_MULTIPLE)) for width, height in sizes]


@dataclass(frozen=True, slots=True, eq=False)
class FittedInput:
    """A network's input ``pixels`` float32 [3, H, W] BGR in [-0.5, 0.5), with a picture in its upper left corner.

    ``scale``: of the picture.
    """

    pixels: Array
    scale: float


def fit_image(image: Image, size: tuple[int, int]) -> FittedInput:
    """Resize ``image`` uint8 [h, w, 3] RGB to the largest that fits ``size`` (width, height); the rest is black.

    Corner pixels are mapped to corner pixels, so the sides less one are in proportion.
    """
    height, width = image.shape[:2]
    scale = min((size[0] - 1) / max(width - 1, 1), (size[1] - 1) / max(height - 1, 1))
    matrix = np.array([[scale, 0, 0], [0, scale, 0]])
    interpolation = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_LINEAR
    bgr = np.ascontiguousarray(image[..., ::-1])
    fitted = cv2.warpAffine(bgr, matrix, size, flags=interpolation, borderMode=cv2.BORDER_CONSTANT)
    return FittedInput(to_network_input(np.asarray(fitted, np.uint8)), scale)


def to_network_input(picture: Image) -> Array:
    """Convert a picture uint8 [H, W, 3] BGR to float32 [3, H, W] in [-0.5, 0.5)."""
    return np.ascontiguousarray(picture.transpose(2, 0, 1), np.float32) / np.float32(256) - np.float32(0.5)


def input_to_image_scale(width: int, height: int, scale: float) -> float:
    """The factor from pixels of the input to pixels of the picture that was fitted into it at ``scale``."""
    fitted_width, fitted_height = (math.floor(scale * side + 0.5) for side in (width, height))
    return min((width - 1) / max(fitted_width - 1, 1), (height - 1) / max(fitted_height - 1, 1))
