"""People drawn over their picture in the colours that OpenPose made usual: a hue for each part."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from livehead.frames import Image
from livehead.models.openpose.skeletons import SKELETONS, Skeleton
from livehead.motion.body import PersonKeypoints
from livehead.motion.keypoints import Array

_BODY_OPACITY = 0.6  # of what is drawn for bodies
_LIMB_WIDTH, _JOINT_RADIUS = 1 / 130, 1 / 110  # widths and radii, of the person's height ...
_MIN_WIDTH, _MAX_WIDTH = 1.5, 9.0  # ... within these, in pixels
_SUBPIXEL_BITS = 4  # bits of a pixel's fraction that OpenCV draws by
_FINGER_COUNT = 5
_FACE_LINES = (
    *((range(17), False), (range(17, 22), False), (range(22, 27), False), (range(27, 31), False)),
    *(
        (range(31, 36), False),
        (range(36, 42), True),
        (range(42, 48), True),
        (range(48, 60), True),
        (range(60, 68), True),
    ),
)
"""Points of the face that a line runs through, and whether it closes."""

# degrees on the wheel of hues; a limb has the colour of the part it leads to
_PART_HUES = {
    "Nose": 340,
    "Neck": 0,
    "Head": 340,
    "MidHip": 0,
    "Chest": 0,
    "RShoulder": 20,
    "RElbow": 40,
    "RWrist": 60,
    "LShoulder": 80,
    "LElbow": 100,
    "LWrist": 120,
    "RHip": 140,
    "RKnee": 160,
    "RAnkle": 180,
    "LHip": 200,
    "LKnee": 220,
    "LAnkle": 240,
    "REye": 320,
    "LEye": 280,
    "REar": 300,
    "LEar": 260,
    "LBigToe": 240,
    "LSmallToe": 240,
    "LHeel": 240,
    "RBigToe": 180,
    "RSmallToe": 180,
    "RHeel": 180,
}
_FACE_COLOUR = (255, 255, 255)

RgbColour = tuple[int, int, int]


def draw_people(image: Image, people: Sequence[PersonKeypoints]) -> Image:
    """``image`` uint8 [H, W, 3] RGB with ``people``, who are in its pixels, over it."""
    canvas = image.copy()
    for person in people:
        _draw_body(canvas, person.pose, SKELETONS[person.set])
    drawn = np.asarray(cv2.addWeighted(canvas, _BODY_OPACITY, image, 1 - _BODY_OPACITY, 0), np.uint8)
    for person in people:
        width = max(_line_width(person.pose, _LIMB_WIDTH) / 2, 1.0)
        for hand in (person.left_hand, person.right_hand):
            _draw_hand(drawn, hand, width)
        _draw_face(drawn, person.face, width)
    return drawn


def part_colour(name: str) -> RgbColour:
    """RGB of the part of that name."""
    return _hue_to_rgb(_PART_HUES[name])


def _draw_body(canvas: Image, points: Array, skeleton: Skeleton) -> None:
    there = points[:, 2] > 0
    width = _line_width(points, _LIMB_WIDTH)
    for limb in skeleton.limbs:
        if limb.can_add_person and there[limb.a] and there[limb.b]:
            _draw_limb(canvas, points[limb.a, :2], points[limb.b, :2], width, part_colour(skeleton.parts[limb.b]))
    for part in np.flatnonzero(there):
        _draw_dot(canvas, points[part], _line_width(points, _JOINT_RADIUS), part_colour(skeleton.parts[part]))


def _draw_limb(canvas: Image, a: Array, b: Array, width: float, colour: RgbColour) -> None:
    """An ellipse from one end to the other."""
    middle, way = (a + b) / 2, b - a
    angle = float(np.degrees(np.arctan2(way[1], way[0])))
    axes = (_to_subpixel(float(np.hypot(*way)) / 2), _to_subpixel(width))
    cv2.ellipse(canvas, _to_subpixel_point(middle), axes, angle, 0, 360, colour, -1, cv2.LINE_AA, _SUBPIXEL_BITS)


def _draw_hand(canvas: Image, points: Array, width: float) -> None:
    """The palm's and each finger's bones; a finger has one hue, from dark at the wrist to bright at the tip."""
    if not len(points) or not points[:, 2].any():
        return
    bones = (len(points) - 1) // _FINGER_COUNT
    for finger in range(_FINGER_COUNT):
        chain = [0, *range(1 + finger * bones, 1 + (finger + 1) * bones)]
        for number, (a, b) in enumerate(zip(chain[:-1], chain[1:], strict=True), start=1):
            colour = _hue_to_rgb(finger * 360 / _FINGER_COUNT, 0.4 + 0.6 * number / bones)
            _draw_line(canvas, points[[a, b]], width, colour)


def _draw_face(canvas: Image, points: Array, width: float) -> None:
    if not len(points) or not points[:, 2].any():
        return
    for indices, closes in _FACE_LINES:
        chain = [*indices, indices[0]] if closes else [*indices]
        for a, b in zip(chain[:-1], chain[1:], strict=True):
            _draw_line(canvas, points[[a, b]], width / 2, _FACE_COLOUR)
    for pupil in points[68:70]:
        _draw_dot(canvas, pupil, width, _FACE_COLOUR)


def _draw_line(canvas: Image, ends: Array, width: float, colour: RgbColour) -> None:
    if (ends[:, 2] > 0).all():
        thick = max(1, round(width))
        cv2.line(
            canvas, _to_subpixel_point(ends[0]), _to_subpixel_point(ends[1]), colour, thick, cv2.LINE_AA, _SUBPIXEL_BITS
        )


def _draw_dot(canvas: Image, point: Array, radius: float, colour: RgbColour) -> None:
    cv2.circle(canvas, _to_subpixel_point(point), _to_subpixel(radius), colour, -1, cv2.LINE_AA, _SUBPIXEL_BITS)


def _line_width(points: Array, share: float) -> float:
    """The width of lines in pixels: ``share`` of the person's size, within limits."""
    seen: npt.NDArray[np.float32] = points[points[:, 2] > 0, :2]
    extent = float(np.hypot(*(seen.max(axis=0) - seen.min(axis=0)))) if len(seen) else 0.0
    return min(max(extent * share, _MIN_WIDTH), _MAX_WIDTH)


def _to_subpixel_point(point: Array) -> tuple[int, int]:
    limit = 1 << 14  # OpenCV draws wrongly far beyond
    x, y = (float(np.clip(number, -limit, limit)) for number in point[:2])
    return _to_subpixel(x), _to_subpixel(y)


def _to_subpixel(number: float) -> int:
    return round(number * (1 << _SUBPIXEL_BITS))


def _hue_to_rgb(degrees: float, value: float = 1.0) -> RgbColour:
    red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(degrees / 360, 1, value))
    return red, green, blue
