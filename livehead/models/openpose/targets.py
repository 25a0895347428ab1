"""The maps that a network should return for known people (Cao et al., TPAMI 2019, equations 7 to 9)."""

from __future__ import annotations

import numpy as np

from livehead.models.openpose.heatmaps import STRIDE, Array
from livehead.models.openpose.skeletons import Skeleton

_SIGMA = 7.0  # pixels, of a heat map's bells
_MAX_EXPONENT = 4.6052  # a bell is cut off where it has fallen to a hundredth
_LIMB_HALF_WIDTH = 1.0  # cells to each side of a limb over which its field stands


def build_target_maps(people: Array, skeleton: Skeleton, size: tuple[int, int]) -> Array:
    """Draw the maps [C, h, w] of ``people`` [P, K, 3]: x, y in pixels of the input, and 0 for a missing part.

    ``size``: width and height of the input. Planes are in the networks' order: heat, background, fields.
    """
    width, height = size[0] // STRIDE, size[1] // STRIDE
    middle = STRIDE / 2 - 0.5  # pixels from a cell's first pixel to its centre
    cells = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(np.float32) * STRIDE + middle
    heat = np.stack([_gaussian_maxima(people[:, part], cells) for part in range(len(skeleton.parts))])
    fields = np.zeros((skeleton.field_planes, height, width), np.float32)
    for limb in skeleton.limbs:
        fields[[limb.x, limb.y]] = _mean_limb_field(people[:, limb.a], people[:, limb.b], cells)
    background = 1 - heat.max(axis=0, keepdims=True)
    return np.asarray(np.concatenate([heat, background, fields]), np.float32)


def _gaussian_maxima(points: Array, cells: Array) -> Array:
    """The highest [h, w] of the people's Gaussian bells at each cell."""
    there = points[points[:, 2] > 0, None, None, :2]
    exponent = np.square(cells - there).sum(axis=-1) / (2 * _SIGMA**2)
    values: Array = np.where(exponent > _MAX_EXPONENT, 0, np.exp(-exponent)).max(axis=0, initial=0)
    return values


def _mean_limb_field(starts: Array, ends: Array, cells: Array) -> Array:
    """The mean direction [2, h, w] of the people's limbs that each cell lies on."""
    there = (starts[:, 2] > 0) & (ends[:, 2] > 0) & (starts[:, :2] != ends[:, :2]).any(axis=1)
    start, way = starts[there, :2], ends[there, :2] - starts[there, :2]
    length = np.hypot(way[:, 0], way[:, 1])
    direction = way / length[:, None]
    offset = cells - start[:, None, None]
    along = (offset * direction[:, None, None]).sum(axis=-1)
    aside = offset[..., 0] * direction[:, 1, None, None] - offset[..., 1] * direction[:, 0, None, None]
    reach = _LIMB_HALF_WIDTH * STRIDE
    on = (along > -reach) & (along < length[:, None, None] + reach) & (np.abs(aside) <= reach)
    summed = (on[..., None] * direction[:, None, None]).sum(axis=0)
    field: Array = (summed / np.maximum(on.sum(axis=0), 1)[..., None]).transpose(2, 0, 1)
    return field
