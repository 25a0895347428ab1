"""Dense backward flow from a triangle mesh: where in the source each place of the picture has its colour from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar, cast

import cv2
import numpy as np
import numpy.typing as npt

from livehead.motion.keypoints import Array
from livehead.motion.mesh import Indices

Sampled = TypeVar("Sampled", npt.NDArray[np.uint8], Array)

_FRACTION = 4  # bits of sub-pixel position that the polygon filler takes
_FLAT = 1e-3  # doubled area in grid cells squared below which a triangle is seen edge-on


@dataclass(frozen=True, slots=True, eq=False)
class Flow:
    """``shift`` float32 [G, G, 2]: source minus target place in grid cells; ``covered`` uint8 [G, G]: 255 or 0.

    Where nothing covers, ``shift`` is zero.
    """

    shift: Array
    covered: npt.NDArray[np.uint8]

    def places(self, side: int, density: int = 1) -> Array:
        """Where each of ``side`` x ``side`` pixels comes from: float32 [side, side, 2] in source pixels of that size.

        ``density``: the source holds so many samples per pixel, every first of them at a pixel's centre.
        """
        shift = cv2.resize(self.shift, (side, side), interpolation=cv2.INTER_LINEAR)
        places = cv2.scaleAdd(shift, density * side / self.shift.shape[0], _pixels(side, density))
        return np.asarray(places, np.float32)

    def carry(self, mask: Array, side: int) -> Array:
        """``mask`` float32 [M, M] carried along, 0 where nothing covers: float32 [side, side], as fine as ``mask``."""
        own = mask.shape[0]
        moved = sample(mask, self.places(own))
        moved[cv2.resize(self.covered, (own, own), interpolation=cv2.INTER_NEAREST) == 0] = 0
        return np.asarray(cv2.resize(moved, (side, side), interpolation=cv2.INTER_LINEAR), np.float32)


@lru_cache(maxsize=8)
def _pixels(side: int, density: int) -> Array:
    line = np.arange(side, dtype=np.float32) * density
    pixels: Array = np.stack(np.meshgrid(line, line), axis=-1)
    pixels.setflags(write=False)
    return pixels


def sample(source: Sampled, places: Array, how: int = cv2.INTER_LINEAR) -> Sampled:
    """``source`` [S, S] or [S, S, C] at ``places`` [H, W, 2] (x, y in pixels, centres at integers); edges go on."""
    taken = cv2.remap(source, places, None, how, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
    return cast(Sampled, taken)


def backward_flow(source: Array, target: Array, triangles: Indices, two_sided: int, grid: int) -> Flow:
    """Draw ``triangles`` [T, 3] far to near and look up the affine map of the nearest in each cell of the grid.

    ``source`` [V, 2] and ``target`` [V, 3] are in [-1, 1], depth away from the camera; there are ``grid`` x ``grid``
    cells. The first ``two_sided``
    triangles lie behind all others and are drawn whichever way they are turned; of the others those that show their
    back (their turn on the screen is reversed against the source) are left out.
    """
    place = ((target[:, :2] + 1) * grid - 1) / 2
    origin = ((source + 1) * grid - 1) / 2
    order = _far_to_near(place, origin, target[:, 2], triangles, two_sided)
    names = _draw(place[triangles[order]], grid)
    affine = _affine(place[triangles[order]], origin[triangles[order]])
    chosen = np.take(affine, names, axis=0)
    centres = np.arange(grid, dtype=np.float32)
    shift = chosen[..., 0] * centres[None, :, None]
    shift += chosen[..., 1] * centres[:, None, None]
    shift += chosen[..., 2]
    return Flow(shift, np.where(names > 0, np.uint8(255), np.uint8(0)))


def _turn(corners: Array) -> Array:
    """Doubled signed areas [T] of triangles [T, 3, 2], positive for clockwise on the screen."""
    one, other = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    turn: Array = one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]
    return turn


def _far_to_near(place: Array, origin: Array, depth: Array, triangles: Indices, two_sided: int) -> npt.NDArray[np.intp]:
    """Indices of the triangles to draw, the hidden ones left out, the farthest first."""
    far = -depth[triangles].sum(axis=1)
    front = triangles[two_sided:]
    turned_away = _turn(place[front]) * np.sign(_turn(origin[front])) <= 0
    behind = np.argsort(far[:two_sided], kind="stable")
    kept = two_sided + np.flatnonzero(~turned_away)
    return np.concatenate([behind, kept[np.argsort(far[kept], kind="stable")]])


def _draw(corners: Array, grid: int) -> npt.NDArray[np.int32]:
    """The number, from 1, of the last of ``corners`` [T, 3, 2] over each cell; 0 where there is none."""
    names = np.zeros((grid, grid), np.int32)
    fixed = np.rint(np.clip(corners, -4 * grid, 5 * grid) * (1 << _FRACTION)).astype(np.int32)
    fill = cv2.fillConvexPoly
    for name, corner in enumerate(fixed, 1):
        fill(names, corner, (name,), cv2.LINE_8, _FRACTION)
    return names


def _affine(place: Array, origin: Array) -> Array:
    """[T + 1, 2, 3]: affine maps from target cells to source minus target cells; the first is zero."""
    one, other = place[:, 1] - place[:, 0], place[:, 2] - place[:, 0]
    shift = origin - place
    shift_one, shift_other = shift[:, 1] - shift[:, 0], shift[:, 2] - shift[:, 0]
    turn = _turn(place)
    inverse = np.where(np.abs(turn) > _FLAT, 1 / np.where(turn == 0, 1, turn), 0)[:, None]
    affine = np.zeros((len(place) + 1, 2, 3), np.float32)
    affine[1:, :, 0] = (shift_one * other[:, 1:] - shift_other * one[:, 1:]) * inverse
    affine[1:, :, 1] = (shift_other * one[:, :1] - shift_one * other[:, :1]) * inverse
    affine[1:, :, 2] = shift[:, 0] - affine[1:, :, 0] * place[:, 0, :1] - affine[1:, :, 1] * place[:, 0, 1:]
    return affine
