"""The two layers of a portrait: the person with a margin, and the background filled in behind."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from livehead.frames import Image
from livehead.motion.easing import smoothstep
from livehead.motion.face.mesh import FACE_MESH
from livehead.motion.keypoints import Array
from livehead.perception.portrait import Portrait
from livehead.perception.segmentation import SelfieSegmenter

Mask = npt.NDArray[np.uint8]

_BORDER_SHARE = 1 / 4  # share of the crop's side beyond its edges that may move into the picture
_PERSON_THRESHOLD = 0.15  # share of person from which a pixel belongs to the person's layer
_MARGIN = 0.02  # share of the side: the layer takes so much background with it ...
_FEATHER = 0.012  # ... and fades out over so much more
_FILL_SIDE = 256  # the hidden background is made up at this size


@dataclass(frozen=True, slots=True, eq=False)
class PortraitLayers:
    """A portrait of ``side`` S pixels with ``border`` A more on each side, E = S + 2 A in all.

    ``image`` is uint8 [E, E, 3] RGB; ``matte`` and ``alpha`` are uint8 [E, E], 255 over the person; ``background``
    uint8 [S, S, 3] RGB is the picture itself wherever ``matte`` is below 255, so that laying ``image`` over it by
    ``matte`` gives the picture back exactly. ``alpha`` is the person alone, for other backgrounds. ``ends`` [2, 2] are
    the photo's first and last x, y in the portrait's [-1, 1].
    """

    image: Image
    background: Image
    matte: Mask
    alpha: Mask
    ends: Array

    @property
    def side(self) -> int:
        """The side in pixels of the portrait itself, without its border."""
        return self.background.shape[0]

    @property
    def border(self) -> int:
        """The number of pixels beyond each edge of the portrait."""
        return (self.image.shape[0] - self.side) // 2

    def resize(self, side: int) -> PortraitLayers:
        """Return the same layers with a portrait of ``side`` pixels."""
        if side == self.side:
            return self
        whole = side + 2 * round(side * _BORDER_SHARE)
        inset = max(round((self.image.shape[0] - whole * self.side / side) / 2), 0)
        inner = slice(inset, self.image.shape[0] - inset)
        return PortraitLayers(
            _resize_image(self.image[inner, inner], whole),
            _resize_image(self.background, side),
            _resize_image(self.matte[inner, inner], whole),
            _resize_image(self.alpha[inner, inner], whole),
            self.ends,
        )


def split_layers(portrait: Portrait, segmentation: SelfieSegmenter) -> PortraitLayers:
    """Split ``portrait`` into the person with that face and everything else."""
    image, person = _extend_portrait(portrait, segmentation)
    side = portrait.image.shape[0]
    around = (image.shape[0] - side) // 2
    face = portrait.motion.value[0]
    outline = ((face[FACE_MESH.oval] + 1) * side - 1) / 2 + around
    alpha = _keep_face_component(person, outline) if portrait.cutout is None else person
    matte = _feather_matte(alpha, side)
    inner = slice(around, around + side)
    background = _inpaint_background(image, matte)[inner, inner]
    return PortraitLayers(
        image, np.ascontiguousarray(background), matte, np.rint(alpha * 255).astype(np.uint8), _photo_extent(portrait)
    )


def _photo_extent(portrait: Portrait) -> Array:
    crop, (height, width) = portrait.crop, portrait.photo.shape[:2]
    ends = np.array([[0, 0], [width, height]], np.float32) - np.array([crop.left, crop.top], np.float32)
    return (ends * (2 / crop.side) - 1).astype(np.float32)


def _resize_image(image: Image, side: int) -> Image:
    how = cv2.INTER_AREA if side < image.shape[0] else cv2.INTER_CUBIC
    return cv2.resize(image, (side, side), interpolation=how).astype(np.uint8, copy=False)


def _extend_portrait(portrait: Portrait, segmentation: SelfieSegmenter) -> tuple[Image, Array]:
    """Return the portrait with its surroundings in the photo, edges repeated, and the person's share of each pixel."""
    side, crop = portrait.image.shape[0], portrait.crop
    scale = side / crop.side
    around = round(side * _BORDER_SHARE)
    height, width = portrait.photo.shape[:2]
    reach = around / scale
    rows = _clip_span(crop.top - reach, crop.side + 2 * reach, height)
    columns = _clip_span(crop.left - reach, crop.side + 2 * reach, width)
    window = portrait.photo[slice(*rows), slice(*columns)]
    size = (max(round(window.shape[1] * scale), 1), max(round(window.shape[0] * scale), 1))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    window = cv2.resize(window, size, interpolation=how).astype(np.uint8, copy=False)
    top = max(round((rows[0] - crop.top) * scale) + around, 0)
    left = max(round((columns[0] - crop.left) * scale) + around, 0)
    whole = side + 2 * around
    window = window[: whole - top, : whole - left]
    sides = (top, whole - top - window.shape[0], left, whole - left - window.shape[1])
    image = cv2.copyMakeBorder(window, *sides, borderType=cv2.BORDER_REPLICATE).astype(np.uint8, copy=False)
    if portrait.cutout is None:
        share = segmentation.segment_person(window)
    else:
        cut = cv2.resize(portrait.cutout[slice(*rows), slice(*columns)], size, interpolation=how)
        share = (cut[: whole - top, : whole - left] / np.float32(255)).astype(np.float32)
    person = cv2.copyMakeBorder(share, *sides, borderType=cv2.BORDER_REPLICATE)
    image[around : around + side, around : around + side] = portrait.image
    return image, np.asarray(person, np.float32)


def _clip_span(start: float, length: float, limit: int) -> tuple[int, int]:
    """Return the first and the end pixel of the part of a stretch that lies in the photo."""
    return max(int(np.floor(start)), 0), min(int(np.ceil(start + length)), limit)


def _keep_face_component(person: Array, outline: Array) -> Array:
    """Return ``person`` without regions that do not touch the face, and with the face itself filled.

    The face is given by its ``outline`` [36, 2] in pixels.
    """
    filled = np.zeros(person.shape, np.uint8)
    cv2.fillPoly(filled, [np.rint(outline).astype(np.int32)], (1,))
    either = ((person > _PERSON_THRESHOLD) | (filled > 0)).astype(np.uint8)
    _, islands = cv2.connectedComponents(either)
    own = islands == np.bincount(islands[filled > 0]).argmax()
    alpha: Array = np.where(filled > 0, 1, np.where(own, person, 0)).astype(np.float32)
    return alpha


def _feather_matte(alpha: Array, side: int) -> Mask:
    """Return a matte of 255 over the person and a margin, fading out to 0 farther off."""
    distance = cv2.distanceTransform((alpha < _PERSON_THRESHOLD).astype(np.uint8), cv2.DIST_L2, 3)
    beyond = (distance - _MARGIN * side) / max(_FEATHER * side, 1)
    matte: Mask = np.rint(255 * (1 - smoothstep(beyond))).astype(np.uint8)
    return matte


def _inpaint_background(image: Image, matte: Mask) -> Image:
    """Return ``image`` with the inside of the person painted over from around."""
    side = image.shape[0]
    kernel = np.ones((3, 3), np.uint8)
    sure = (matte == 255).astype(np.uint8)
    # Enlarged between two samples a matte falls a little earlier; the seam must lie where it is still whole.
    hidden = cv2.erode(sure, kernel, iterations=2, borderType=cv2.BORDER_CONSTANT, borderValue=(1,))
    small = (_FILL_SIDE, _FILL_SIDE)
    blocked = cv2.dilate((cv2.resize(matte, small, interpolation=cv2.INTER_AREA) > 100).astype(np.uint8), kernel)
    filled = cv2.inpaint(cv2.resize(image, small, interpolation=cv2.INTER_AREA), blocked, 4, cv2.INPAINT_TELEA)
    filled = cv2.GaussianBlur(filled, (0, 0), 2)
    large = cv2.resize(filled, (side, side), interpolation=cv2.INTER_CUBIC)
    background: Image = np.where(hidden[..., None] > 0, large, image).astype(np.uint8)
    return background
