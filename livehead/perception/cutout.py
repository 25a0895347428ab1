"""Photos that were cut out before: their own alpha says where the person is, better than any network could."""

from __future__ import annotations

import cv2
import numpy as np

from livehead.frames import Image
from livehead.perception.photo_pixels import TRANSPARENT_FILL

CUTOUT_GROUND = "#{:02x}{:02x}{:02x}".format(*TRANSPARENT_FILL)
"""The colour that stands behind a cut-out photo, unless another background is asked for."""

_MIN_TRANSPARENT_SHARE = 0.05  # of a photo; less is a frame or a round corner, and no cut about a person
_MIN_OPAQUE_SHARE = 0.02
_OWN_COLOUR = 32  # alpha from which a pixel's colour in the file can be trusted
_SURE = 250  # alpha from which a pixel's colour is that of the person alone
_REACH = 1 / 24  # share of the longer side: so far out the colours of the edge go on


def is_cutout(photo: Image) -> bool:
    """Tell whether a picture (uint8 [H, W, 3 or 4]) was cut out: a good part of it is transparent, and not all."""
    if photo.shape[2] != 4:
        return False
    transparent = float((photo[..., 3] < 128).mean())
    return _MIN_TRANSPARENT_SHARE <= transparent <= 1 - _MIN_OPAQUE_SHARE


def split_cutout(photo: Image) -> tuple[Image, Image]:
    """Take a cut-out picture apart, uint8 [H, W, 4] RGBA with straight alpha: its colours [H, W, 3] and alpha [H, W].

    Transparent pixels get the colours of the nearest edge, and a neutral grey farther away: where a head that moves is
    resampled, no colour of what was cut away comes in at its outline.
    """
    alpha = np.ascontiguousarray(photo[..., 3])
    colours = np.ascontiguousarray(photo[..., :3])
    away = np.where(alpha >= _SURE, 0, 255).astype(np.uint8)
    distance, labels = cv2.distanceTransformWithLabels(away, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    rows, columns = np.nonzero(away == 0)
    place = np.zeros((labels.max() + 1, 2), np.int64)
    place[labels[rows, columns]] = np.stack([rows, columns], axis=1)
    nearest = place[labels]
    carried = colours[nearest[..., 0], nearest[..., 1]]
    carried[distance > _REACH * max(alpha.shape)] = TRANSPARENT_FILL
    colours[alpha < _OWN_COLOUR] = carried[alpha < _OWN_COLOUR]
    return colours, alpha
