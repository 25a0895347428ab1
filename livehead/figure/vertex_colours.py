"""Colours for a reconstructed surface: of its normals, or of the photo that it was made from."""

from __future__ import annotations

from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from livehead.frames import Image

FloatArray: TypeAlias = npt.NDArray[np.float32]

_MIN_PERSON_SHARE = 0.9  # share of the person from which a pixel's colour is free of the background's
_OUTLINE_MARGIN = 3  # pixels inside the outline whose colours are not trusted either


def normals_to_colours(normals: FloatArray) -> Image:
    """Unit normals [V, 3] as PIFuHD shows them: uint8 [V, 3] RGB, half a normal plus a half."""
    shown: Image = np.rint((normals * 0.5 + 0.5).clip(0, 1) * 255).astype(np.uint8)
    return shown


def sample_photo_colours(vertices: FloatArray, image: Image, person: FloatArray) -> Image:
    """Return what ``image`` uint8 [S, S, 3] RGB shows at vertices [V, 3] in [-1, 1]: uint8 [V, 3] RGB.

    ``person`` [S, S] in [0, 1]. The camera sees along z, so the back is painted as the front is. Where a vertex lies
    outside the person or on the outline, the nearest colour inside is taken.
    """
    side = image.shape[0]
    painted = _extend_person_colours(image, person)
    place = (vertices[:, :2] * (1, -1) + 1) * ((side - 1) / 2)  # the outermost pixels' centres are at -1 and 1
    # OpenCV's remap takes at most 32767 in a row
    rows = -(-len(place) // side)
    maps = np.zeros((rows * side, 2), np.float32)
    maps[: len(place)] = place
    seen = cv2.remap(painted, maps.reshape(rows, side, 2), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
    return np.asarray(seen, np.uint8).reshape(-1, 3)[: len(place)]


def _extend_person_colours(image: Image, person: FloatArray) -> Image:
    """``image`` with the colours of the nearest pixel that is wholly the person's, everywhere else."""
    own = (person >= _MIN_PERSON_SHARE).astype(np.uint8)
    inner = np.asarray(cv2.erode(own, np.ones((2 * _OUTLINE_MARGIN + 1,) * 2, np.uint8)), np.uint8)
    own = inner if inner.any() else own
    if not own.any():
        return image
    _, labels = cv2.distanceTransformWithLabels(1 - own, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    rows, columns = np.nonzero(own)
    colours = np.zeros((int(labels.max()) + 1, 3), np.uint8)
    colours[labels[rows, columns]] = image[rows, columns]
    spread: Image = colours[labels]
    return spread
