"""The inside of the mouth: the photo's own as far as it reaches, behind it a dark cavity with teeth and tongue."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from livehead.frames import Image
from livehead.motion.face.mesh import FACE_MESH, Indices
from livehead.motion.keypoints import Array

_MAX_STRETCH = (
    1.3  # the photo's own inside is stretched so far (more if it is wide open); beyond, it parts and shows the cavity
)

# In widths of the mouth at rest:
_CLOSED, _OPEN = 0.04, 0.10  # opening of the photo's mouth from which its own teeth are to be seen, if any
_WIDE_OPEN = 0.35
_LIP_SHADOW = 0.07
_UPPER_TEETH, _LOWER_TEETH, _TONGUE = 0.15, 0.05, 0.24

_HALF_RESOLUTION_WIDTH = 80  # pixels; in a larger mouth the cavity is drawn at half the size, it has no fine detail

# RGB under the light in which skin has a mean of _SKIN
_REFERENCE_SKIN = 150.0
_CAVITY = np.array([54, 22, 23], np.float32)
_TEETH = np.array([216, 206, 194], np.float32)
_TONGUE_COLOUR = np.array([140, 68, 72], np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class MouthInterior:
    """The inside of the mouth as a photo shows it.

    ``split`` is the share of the inside that hangs on the upper lip (teeth belong to one jaw or the other).

    ``gape`` [9] is the opening under each inner point of the upper lip, ``width`` that of the mouth (source units, [-1,
    1]); ``light`` scales the cavity's colours to the photo's; ``toothless`` in [0, 1] is 1 where the photo's mouth is
    closed, so that its teeth have to be made up; ``stretch`` is how far the inside may be stretched.
    """

    split: float
    gape: Array
    width: float
    light: float
    toothless: float
    stretch: float

    def interior_points(self, face: Array, scale: float) -> Array:
        """Return 18 points: the lower edge of what hangs on the upper lip, and the upper edge of the rest.

        ``face`` [478, 3] is the target, ``scale`` its size over the source's. Both edges are one until the photo's own
        inside is stretched to its limit.
        """
        upper, lower = face[FACE_MESH.mouth.upper[1:-1]], face[FACE_MESH.mouth.lower[1:-1]]
        gape = np.linalg.norm(lower - upper, axis=-1)
        own = np.minimum(self.stretch * scale * self.gape / np.maximum(gape, 1e-6), 1)[:, None]
        hanging = upper + self.split * own * (lower - upper)
        lying = lower + (1 - self.split) * own * (upper - lower)
        points: Array = np.concatenate([hanging, lying]).astype(np.float32)
        return points


def analyse_mouth(image: Image, face: Array) -> MouthInterior:
    """Measure the inside of the mouth in ``image`` [S, S, 3]; ``face`` [478, 3] is in [-1, 1]."""
    upper, lower = face[FACE_MESH.mouth.upper[1:-1]], face[FACE_MESH.mouth.lower[1:-1]]
    gape = np.linalg.norm(lower - upper, axis=-1).astype(np.float32)
    width = float(np.linalg.norm(face[FACE_MESH.mouth.upper[0]] - face[FACE_MESH.mouth.upper[-1]]))
    openness = float(gape.max()) / width
    side = image.shape[0]
    cheeks = np.rint(((face[FACE_MESH.rigid, :2] + 1) * side - 1) / 2).astype(int).clip(0, side - 1)
    skin = float(image[cheeks[:, 1], cheeks[:, 0]].mean())
    return MouthInterior(
        split=_find_jaw_parting(image, upper[2:-2, :2], lower[2:-2, :2], openness > _WIDE_OPEN)
        if openness > _CLOSED
        else 0.6,
        gape=gape,
        width=width,
        light=float(np.clip(skin / _REFERENCE_SKIN, 0.25, 1.25)),
        toothless=float(1 - np.clip((openness - _CLOSED) / (_OPEN - _CLOSED), 0, 1)),
        stretch=_MAX_STRETCH + 2 * max(openness - _OPEN, 0.0),
    )


def interior_triangles(first: int) -> Indices:
    """Return the triangles of the inside, whose 18 points are numbered from ``first``."""
    left, right = int(FACE_MESH.mouth.upper[0]), int(FACE_MESH.mouth.upper[-1])
    upper, lower = [int(i) for i in FACE_MESH.mouth.upper[1:-1]], [int(i) for i in FACE_MESH.mouth.lower[1:-1]]
    hanging, lying = list(range(first, first + 9)), list(range(first + 9, first + 18))
    triangles: list[tuple[int, int, int]] = []
    for above, below in ((upper, hanging), (hanging, lying), (lying, lower)):
        triangles += [(left, above[0], below[0]), (above[-1], right, below[-1])]
        triangles += [(above[i], above[i + 1], below[i]) for i in range(8)]
        triangles += [(below[i], above[i + 1], below[i + 1]) for i in range(8)]
    return np.array(triangles, np.int32)


def draw_cavity(
    picture: Image, mouth: MouthInterior, face: Array, interior: Array, scale: float, opacity: float = 1.0
) -> None:
    """Lay the cavity between the two edges of ``interior`` [18, 2], in place.

    ``face`` [478, 2] and ``interior`` are in pixels of ``picture`` [S, S, 3]; ``scale`` is pixels per source unit;
    ``opacity`` in [0, 1] is the cavity's share over what is there.
    """
    hanging, lying = interior[:9], interior[9:]
    ends = face[FACE_MESH.mouth.upper[[0, -1]]]
    gap = float(np.linalg.norm(lying - hanging, axis=-1).max())
    if gap < 1:
        return
    outline = np.concatenate([ends[:1], hanging, ends[1:], lying[::-1]])
    low = np.maximum(np.floor(outline.min(axis=0)).astype(int) - 3, 0)
    high = np.minimum(np.ceil(outline.max(axis=0)).astype(int) + 4, picture.shape[0])
    if (high - low).min() < 2:
        return
    mask = np.zeros((int(high[1] - low[1]), int(high[0] - low[0])), np.uint8)
    cv2.fillPoly(mask, [np.rint((outline - low) * 16).astype(np.int32)], (255,), cv2.LINE_AA, 4)
    soft = cv2.GaussianBlur(mask, (0, 0), max(0.008 * mouth.width * scale, 0.6)).astype(np.float32)
    share = soft[..., None] * np.float32(opacity / 255)
    step = 2 if mask.shape[1] > _HALF_RESOLUTION_WIDTH else 1
    half = (mask.shape[0] // step, mask.shape[1] // step)
    colours = _cavity_colours(mouth, (face - low - (step - 1) / 2) / step, mouth.width * scale / step, half)
    if step > 1:
        colours = cv2.resize(colours, mask.shape[1::-1], interpolation=cv2.INTER_LINEAR).astype(np.float32, copy=False)
    window = picture[low[1] : high[1], low[0] : high[0]]
    window[:] = np.rint(window + share * (colours - window)).astype(np.uint8)


def _cavity_colours(mouth: MouthInterior, face: Array, width: float, shape: tuple[int, ...]) -> Array:
    """Return the colours [h, w, 3] of the cavity.

    ``face`` [478, 2] is in its pixels, ``width`` that of the mouth at rest in pixels.
    """
    upper, lower = face[FACE_MESH.mouth.upper], face[FACE_MESH.mouth.lower]
    across = (upper[-1] - upper[0]) / max(float(np.linalg.norm(upper[-1] - upper[0])), 1e-6)
    down = np.array([-across[1], across[0]], np.float32)
    middle = (upper[0] + upper[-1]) / 2
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    u = ((x - middle[0]) * across[0] + (y - middle[1]) * across[1]) / width
    v = ((x - middle[0]) * down[0] + (y - middle[1]) * down[1]) / width
    below = v - np.interp(u, (upper - middle) @ across / width, (upper - middle) @ down / width)
    above = np.interp(u, (lower - middle) @ across / width, (lower - middle) @ down / width) - v
    gape = float(((lower - upper) @ down).max()) / width
    smile = max(1.0, float((upper[-1] - upper[0]) @ across) / width)
    colour = np.broadcast_to(_CAVITY, (*u.shape, 3)).astype(np.float32)
    tongue = (
        _elliptic_profile(u, 0.34) ** 2
        * _soft_step(2 * _TONGUE * gape * _elliptic_profile(u, 0.34) - above, 0.1)
        * _inverse_lerp(gape, 0.15, 0.4)
    )
    colour = _mix_colours(colour, _TONGUE_COLOUR * 0.75, tongue)
    if mouth.toothless > 0:
        colour = _draw_teeth(colour, u, below, above, gape, smile, mouth.toothless)
    shade = 0.45 + 0.55 * np.clip(below / _LIP_SHADOW, 0, 1)
    lit: Array = np.clip(colour * (shade * mouth.light)[..., None], 0, 255).astype(np.float32)
    return lit


def _draw_teeth(colour: Array, u: Array, below: Array, above: Array, gape: float, smile: float, share: float) -> Array:
    """Draw teeth over ``colour`` [h, w, 3].

    ``u`` is the distance from the middle, ``below`` and ``above`` those from the lips, in mouth widths.
    """
    lower_edge = _LOWER_TEETH * _inverse_lerp(gape, 0.2, 0.5) * _elliptic_profile(u, 0.22)
    colour = _mix_colours(
        colour, _TEETH * 0.7, share * _soft_step(lower_edge - above, 0.02) * _inverse_lerp(gape, 0.25, 0.5)
    )
    row = _elliptic_profile(u, 0.42 * smile)  # a smile bares more of them
    gaps = 0.1 * np.abs(np.cos(np.pi * u / 0.1)) ** 12
    light = (0.55 + 0.45 * row) * (1 - gaps)
    shown = _soft_step(min(_UPPER_TEETH, 0.5 * gape) * row - below, 0.02) * _inverse_lerp(gape, 0.04, 0.12)
    return _mix_colours(colour, _TEETH * light[..., None], share * shown)


def _mix_colours(below: Array, above: Array, share: Array) -> Array:
    mixed: Array = below + share[..., None] * (above - below)
    return mixed


def _soft_step(inside: Array, softness: float) -> Array:
    """Return a step from 0 to 1 as ``inside`` goes from 0 to ``softness``."""
    ramp: Array = np.clip(inside / softness, 0, 1)
    return ramp


def _inverse_lerp(x: float, start: float, end: float) -> float:
    return float(np.clip((x - start) / (end - start), 0, 1))


def _elliptic_profile(u: Array, width: float) -> Array:
    bump: Array = np.sqrt(np.clip(1 - (u / width) ** 2, 0, 1))
    return bump


def _find_jaw_parting(image: Image, upper: Array, lower: Array, wide: bool) -> float:
    """Find where between the lips, from 0.3 (near the upper) to 0.95, the jaws part: in the darkest row.

    Unless the mouth is ``wide`` open, bright rows are the upper teeth, so it is the darkest row below the brightest.
    """
    side = image.shape[0]
    rows = np.linspace(0.1, 0.95, 18, dtype=np.float32)
    places = upper[None] + rows[:, None, None] * (lower - upper)[None]
    pixels = np.rint(((places + 1) * side - 1) / 2).astype(int).clip(0, side - 1)
    light = image[pixels[..., 1], pixels[..., 0]].mean(axis=(1, 2))
    first = 4 if wide else max(4, int(light.argmax()))
    return float(rows[first + light[first:].argmin()])
