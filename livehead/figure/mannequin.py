"""A jointed mannequin of our own that can be drawn in any stance: as a picture, and as its exact ultra-dense pose.

It stands where a rigged character is missing: in tests, in ``livehead bench``, and to look at what the poses are. Its
limbs are rows of beads, seen straight from the front without perspective; lengths are in units of its height.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from livehead.frames import Image
from livehead.motion.keypoints import Array

_Point = npt.NDArray[np.float64]

_SPHERES_PER_LIMB = 24  # in each limb
_FRAME_HEIGHTS = 1.45  # heights across the picture: room for raised arms
_LIGHT_DIRECTION = np.array([0.35, 0.5, 0.79])
_HAIR, _SKIN, _SHIRT, _TROUSERS = (58, 42, 74), (244, 206, 178), (70, 130, 180), (60, 64, 80)


@dataclass(frozen=True, slots=True)
class MannequinPose:
    """How it stands, in radians. ``yaw``: the whole of it about the vertical. ``left_arm``, ``right_arm``: 0 stretched
    out to the side as in the T-pose, positive upwards; ``elbows`` bend the forearms upwards, ``legs`` swings the legs
    apart to the sides. Left and right are its own."""

    yaw: float = 0.0
    left_arm: float = 0.0
    right_arm: float = 0.0
    elbows: float = 0.0
    legs: float = 0.0


RELAXED_POSE = MannequinPose(left_arm=-1.15, right_arm=-1.15, legs=0.08)


@dataclass(frozen=True, slots=True, eq=False)
class MannequinImage:
    """``pose`` float32 [S, S, 4]: X, Y, Z in the T-pose and visibility, in [0, 1]; ``image`` uint8 [S, S, 4]: RGBA,
    straight alpha."""

    pose: Array
    image: Image


@dataclass(frozen=True, slots=True)
class _LimbSegment:
    """From ``start`` to ``end`` in the T-pose (x its left, y up, z to the front), and how thick it is at both."""

    start: tuple[float, float, float]
    end: tuple[float, float, float]
    radii: tuple[float, float]
    colour: tuple[int, int, int]


_TRUNK = (
    _LimbSegment((0, 0.53, 0), (0, 0.60, 0), (0.085, 0.075), _TROUSERS),
    _LimbSegment((0, 0.62, 0), (0, 0.78, 0), (0.075, 0.085), _SHIRT),
    _LimbSegment((0, 0.80, 0), (0, 0.86, 0), (0.032, 0.030), _SKIN),
    _LimbSegment((0, 0.89, 0.01), (0, 0.92, 0), (0.068, 0.078), _SKIN),
)
_ARM = (
    _LimbSegment((0.09, 0.79, 0), (0.25, 0.79, 0), (0.040, 0.030), _SHIRT),
    _LimbSegment((0.25, 0.79, 0), (0.41, 0.79, 0), (0.028, 0.022), _SKIN),
    _LimbSegment((0.42, 0.79, 0), (0.46, 0.79, 0), (0.026, 0.018), _SKIN),
)
_LEG = (
    _LimbSegment((0.055, 0.52, 0), (0.065, 0.28, 0), (0.060, 0.042), _TROUSERS),
    _LimbSegment((0.065, 0.28, 0), (0.070, 0.05, 0), (0.042, 0.028), _TROUSERS),
    _LimbSegment((0.070, 0.025, 0), (0.075, 0.02, 0.07), (0.028, 0.022), _HAIR),
)


def draw_mannequin(mannequin_pose: MannequinPose, side: int) -> MannequinImage:
    """Draw the mannequin in a square of ``side`` pixels."""
    nearest = np.full((side, side), -np.inf)
    rest = np.zeros((side, side, 3))
    colour = np.zeros((side, side, 3))
    for limb, turned, moved in _pose_limbs(mannequin_pose):
        for share in np.linspace(0, 1, _SPHERES_PER_LIMB):
            at_rest = np.array(limb.start) * (1 - share) + np.array(limb.end) * share
            radius = limb.radii[0] * (1 - share) + limb.radii[1] * share
            centre = turned @ (at_rest - moved[0]) + moved[1]
            found = _sphere_pixels(centre, radius, side)
            if found is None:
                continue
            part, outward = found
            depth = centre[2] + outward[..., 2] * radius
            front = (outward[..., 2] > 0) & (depth > nearest[part])
            surface = at_rest + radius * (outward @ turned)
            nearest[part][front] = depth[front]
            rest[part][front] = surface[front]
            shade = 0.72 + 0.28 * np.clip(outward @ _LIGHT_DIRECTION, 0, 1)
            colour[part][front] = (_surface_colours(limb, surface) * shade[..., None])[front]
    visible = np.isfinite(nearest)
    names = (rest + np.array([0.5, 0, 0.5])) / [1.0, 1.02, 1.0]
    pose = np.dstack([np.where(visible[..., None], names, 0).clip(0, 1), visible]).astype(np.float32)
    return MannequinImage(pose, np.dstack([colour, visible * 255.0]).round().astype(np.uint8))


def _pose_limbs(mannequin_pose: MannequinPose) -> Iterator[tuple[_LimbSegment, _Point, tuple[_Point, _Point]]]:
    """Each limb with its rotation [3, 3] and a point of it, in the T-pose and where it is now."""
    whole = _rotation_about_y(mannequin_pose.yaw)
    origin = np.zeros(3)
    for limb in _TRUNK:
        yield limb, whole, (origin, origin)
    for mirror, raised in ((1, mannequin_pose.left_arm), (-1, mannequin_pose.right_arm)):
        for chain, angles in (
            (_ARM, (raised, raised + mannequin_pose.elbows)),
            (_LEG, (mannequin_pose.legs, mannequin_pose.legs)),
        ):
            joint = np.array(_mirror_limb(chain[0], mirror).start)
            place, turned = whole @ joint, whole
            for number, limb in enumerate(chain):
                own = _mirror_limb(limb, mirror)
                if number < len(angles):  # hands and feet go with the limb before them
                    here = np.array(own.start)
                    place, joint = place + turned @ (here - joint), here
                    turned = whole @ _rotation_about_z(mirror * angles[number])
                yield own, turned, (joint, place)


def _mirror_limb(limb: _LimbSegment, mirror: int) -> _LimbSegment:
    (x, y, z), (u, v, w) = limb.start, limb.end
    return _LimbSegment((mirror * x, y, z), (mirror * u, v, w), limb.radii, limb.colour)


def _rotation_about_y(angle: float) -> _Point:
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def _rotation_about_z(angle: float) -> _Point:
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def _sphere_pixels(centre: _Point, radius: float, side: int) -> tuple[tuple[slice, slice], _Point] | None:
    """The pixels about a bead, and for each the direction from its middle to the surface; z is 0 beside it."""
    scale = side / _FRAME_HEIGHTS
    column, row = centre[0] * scale + side / 2, (0.55 - centre[1]) * scale + side / 2
    reach = math.ceil(radius * scale) + 1
    rows = slice(max(int(row) - reach, 0), min(int(row) + reach + 1, side))
    columns = slice(max(int(column) - reach, 0), min(int(column) + reach + 1, side))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return None
    x = (np.arange(columns.start, columns.stop) + 0.5 - column) / (scale * radius)
    y = -(np.arange(rows.start, rows.stop) + 0.5 - row) / (scale * radius)
    across, down = np.meshgrid(x, y)
    inward = np.sqrt(np.clip(1 - across**2 - down**2, 0, None))
    return (rows, columns), np.stack([across, down, inward], axis=-1)


def _surface_colours(limb: _LimbSegment, surface: _Point) -> _Point:
    """Colours of points in the T-pose: hair over the head's back and top, eyes in its face."""
    colours = np.broadcast_to(np.array(limb.colour, np.float64), surface.shape).copy()
    if limb is _TRUNK[-1]:
        colours[surface[..., 1] > 0.945 - 1.5 * np.clip(-surface[..., 2], -0.08, 0.4)] = _HAIR
        for x in (-0.03, 0.03):
            eye = (np.abs(surface[..., 0] - x) < 0.011) & (np.abs(surface[..., 1] - 0.905) < 0.018)
            colours[eye & (surface[..., 2] > 0)] = _HAIR
    return colours
