"""The two layers of a portrait: the person with a margin, and the background filled in behind."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from livehead.frames import Image
from livehead.motion.keypoints import Array
from livehead.motion.mesh import MESH

_MARGIN = 0.012  # of the side: the person's layer takes so much background with it ...
_FEATHER = 0.016  # ... and fades out over so much more
_FILL_SIDE = 192  # the hidden background is made up at this size


@dataclass(frozen=True, slots=True, eq=False)
class Layers:
    """``image`` and ``background`` uint8 [S, S, 3] RGB; ``matte`` and ``alpha`` float32 [S, S].

    ``background`` is the picture itself wherever ``matte`` is below 1, so that laying ``image`` over it by ``matte``
    gives the picture back exactly. ``alpha`` is the person alone, for other backgrounds.
    """

    image: Image
    background: Image
    matte: Array
    alpha: Array

    def scaled(self, side: int) -> Layers:
        """The same at ``side`` pixels."""
        if side == self.image.shape[0]:
            return self
        how = cv2.INTER_AREA if side < self.image.shape[0] else cv2.INTER_CUBIC
        size = (side, side)
        return Layers(
            cv2.resize(self.image, size, interpolation=how).astype(np.uint8, copy=False),
            cv2.resize(self.background, size, interpolation=how).astype(np.uint8, copy=False),
            np.asarray(cv2.resize(self.matte, size, interpolation=cv2.INTER_AREA), np.float32),
            np.asarray(cv2.resize(self.alpha, size, interpolation=cv2.INTER_AREA), np.float32),
        )


def split_layers(image: Image, person: Array, face: Array) -> Layers:
    """Split ``image`` [S, S, 3] by ``person`` [S, S] (share of person); ``face`` [478, 3] belongs to it in any case."""
    side = image.shape[0]
    alpha = _sure_of_face(person, face)
    matte = _matte(alpha, side)
    return Layers(image, _background(image, matte), matte, alpha)


def _sure_of_face(person: Array, face: Array) -> Array:
    """``person`` without what hangs together with no face, the face itself filled."""
    side = person.shape[0]
    outline = np.rint(((face[MESH.oval, :2] + 1) * side - 1) / 2).astype(np.int32)
    filled = np.zeros((side, side), np.uint8)
    cv2.fillPoly(filled, [outline], (1,))
    either = ((person > 0.1) | (filled > 0)).astype(np.uint8)
    _, islands = cv2.connectedComponents(either)
    own = islands == np.bincount(islands[filled > 0]).argmax()
    alpha: Array = np.where(filled > 0, 1, np.where(own, person, 0)).astype(np.float32)
    return alpha


def _matte(alpha: Array, side: int) -> Array:
    """1 over the person and a margin, fading out; 0 farther off."""
    distance = cv2.distanceTransform((alpha < 0.35).astype(np.uint8), cv2.DIST_L2, 3)
    x = np.clip((distance - _MARGIN * side) / max(_FEATHER * side, 1), 0, 1)
    matte: Array = (1 - x * x * (3 - 2 * x)).astype(np.float32)
    return matte


def _background(image: Image, matte: Array) -> Image:
    """``image`` with the inside of the person painted over from around."""
    side = image.shape[0]
    kernel = np.ones((3, 3), np.uint8)
    sure = (matte >= 1).astype(np.uint8)
    hidden = cv2.erode(sure, kernel, iterations=max(2, side // 64), borderType=cv2.BORDER_CONSTANT, borderValue=(1,))
    small = (_FILL_SIDE, _FILL_SIDE)
    blocked = cv2.dilate((cv2.resize(matte, small, interpolation=cv2.INTER_AREA) > 0.5).astype(np.uint8), kernel)
    filled = cv2.inpaint(cv2.resize(image, small, interpolation=cv2.INTER_AREA), blocked, 4, cv2.INPAINT_TELEA)
    filled = cv2.GaussianBlur(filled, (0, 0), 2)
    large = cv2.resize(filled, (side, side), interpolation=cv2.INTER_CUBIC)
    background: Image = np.where(hidden[..., None] > 0, large, image).astype(np.uint8)
    return background
