"""Dense backward flow from a triangle mesh: where in the source each pixel of the picture gets its colour."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from livehead.motion.face.mesh import Indices
from livehead.motion.keypoints import Array
from livehead.renderers.remap import pixel_grid

_SUBPIXEL_BITS = 4  # bits of sub-pixel position that the polygon filler takes
_MIN_CELLS = 128  # the flow is looked up in no fewer cells than that along a side ...
_MAX_FLOW_STEP = 0.375  # ... and again in every pixel where it changes by more than this from pixel to pixel
_MIN_DOUBLE_AREA = 1e-3  # doubled area in square pixels below which a triangle is seen edge-on


@dataclass(frozen=True, slots=True, eq=False)
class BackwardFlow:
    """A flow as triangles.

    ``triangle_ids`` int32 [S, S] is the number of the nearest triangle at each pixel, 0 where there is none. ``affine``
    float32 [T + 1, 2, 3] is each triangle's map from a target pixel (x, y, 1) to source minus target pixel.
    """

    triangle_ids: npt.NDArray[np.int32]
    affine: Array

    def sampling_grid(self, density: int = 1, border: int = 0) -> Array:
        """Return where each pixel comes from: float32 [S, S, 2], x and y in samples of the source.

        The source holds ``density`` samples a pixel, the first of them at the pixel's centre, and ``border`` pixels
        more on each side than the picture.
        """
        side = self.triangle_ids.shape[0]
        shift, seams = self._coarse_displacement(_grid_step(side))
        places = np.asarray(cv2.scaleAdd(shift, density, pixel_grid(side, density, border)), np.float32)
        if len(seams):
            own = np.take(self.affine, np.take(self.triangle_ids, seams), axis=0)
            x, y = (seams % side).astype(np.float32), (seams // side).astype(np.float32)
            exact = own[:, :, 0] * x[:, None] + own[:, :, 1] * y[:, None] + own[:, :, 2]
            places.reshape(-1, 2)[seams] = density * (exact + np.stack([x + border, y + border], axis=1))
        return places

    def coverage_mask(self) -> npt.NDArray[np.bool_]:
        """Return the mask [S, S] of pixels over which there is a triangle."""
        mask: npt.NDArray[np.bool_] = self.triangle_ids > 0
        return mask

    def _coarse_displacement(self, step: int) -> tuple[Array, npt.NDArray[np.intp]]:
        """Return the shift [S, S, 2], linear between every ``step``-th pixel, and where that is too coarse.

        The latter are flat indices.
        """
        side = self.triangle_ids.shape[0]
        own = np.take(self.affine, self.triangle_ids[step // 2 :: step, step // 2 :: step], axis=0)
        centres = (np.arange(side // step, dtype=np.float32) + 0.5) * step - 0.5
        coarse: Array = own[..., 0] * centres[None, :, None]
        coarse += own[..., 1] * centres[:, None, None]
        coarse += own[..., 2]
        if step == 1:
            return coarse, np.empty(0, np.intp)
        rough = np.zeros(coarse.shape[:2], bool)
        down, right = np.abs(coarse[1:] - coarse[:-1]), np.abs(coarse[:, 1:] - coarse[:, :-1])
        for change, one, other in ((down, rough[1:], rough[:-1]), (right, rough[:, 1:], rough[:, :-1])):
            seam = np.maximum(change[..., 0], change[..., 1]) > _MAX_FLOW_STEP * step
            one |= seam
            other |= seam
        seams = np.flatnonzero(cv2.resize(rough.view(np.uint8), (side, side), interpolation=cv2.INTER_NEAREST))
        return np.asarray(cv2.resize(coarse, (side, side), interpolation=cv2.INTER_LINEAR), np.float32), seams


def compute_backward_flow(source: Array, target: Array, triangles: Indices, two_sided: int, side: int) -> BackwardFlow:
    """Draw ``triangles`` [T, 3] from far to near into ``side`` x ``side`` pixels, so that the nearest wins.

    ``source`` [V, 2] and ``target`` [V, 3] are in [-1, 1], with depth away from the camera. The first ``two_sided``
    triangles lie behind all others and are drawn whichever way they are turned; of the others those that show their
    back (counter-clockwise on the screen) are left out.
    """
    place = ((target[:, :2] + 1) * side - 1) / 2
    origin = ((source + 1) * side - 1) / 2
    order = triangles[_sort_far_to_near(place, target[:, 2], triangles, two_sided)]
    return BackwardFlow(_rasterize(place[order], side), _affine_maps(place[order], origin[order]))


def _grid_step(side: int) -> int:
    """Return the widest step that divides ``side`` and leaves enough cells."""
    return max((step for step in (1, 2, 4, 8) if side % step == 0 and side // step >= _MIN_CELLS), default=1)


def _signed_double_areas(corners: Array) -> Array:
    """Return the doubled signed areas [T] of triangles [T, 3, 2], positive for clockwise on the screen."""
    one, other = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    turn: Array = one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]
    return turn


def _sort_far_to_near(positions: Array, depth: Array, triangles: Indices, two_sided: int) -> npt.NDArray[np.intp]:
    """Return the indices of the triangles to draw, the farthest first, without those that show their back."""
    far = -depth[triangles].sum(axis=1)
    behind = np.argsort(far[:two_sided], kind="stable")
    front = two_sided + np.flatnonzero(_signed_double_areas(positions[triangles[two_sided:]]) > 0)
    return np.concatenate([behind, front[np.argsort(far[front], kind="stable")]])


def _rasterize(corners: Array, side: int) -> npt.NDArray[np.int32]:
    """Return the number, from 1, of the last of ``corners`` [T, 3, 2] over each pixel; 0 where there is none."""
    names = np.zeros((side, side), np.int32)
    fixed = np.rint(np.clip(corners, -4 * side, 5 * side) * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    fill = cv2.fillConvexPoly
    for name, corner in enumerate(fixed, 1):
        fill(names, corner, (name,), cv2.LINE_8, _SUBPIXEL_BITS)
    return names


def _affine_maps(target: Array, source: Array) -> Array:
    """Return affine maps [T + 1, 2, 3] from target to source minus target pixels; the first is zero."""
    one, other = target[:, 1] - target[:, 0], target[:, 2] - target[:, 0]
    shift = source - target
    shift_one, shift_other = shift[:, 1] - shift[:, 0], shift[:, 2] - shift[:, 0]
    turn = _signed_double_areas(target)
    inverse = np.where(np.abs(turn) > _MIN_DOUBLE_AREA, 1 / np.where(turn == 0, 1, turn), 0)[:, None]
    affine = np.zeros((len(target) + 1, 2, 3), np.float32)
    affine[1:, :, 0] = (shift_one * other[:, 1:] - shift_other * one[:, 1:]) * inverse
    affine[1:, :, 1] = (shift_other * one[:, :1] - shift_one * other[:, :1]) * inverse
    affine[1:, :, 2] = shift[:, 0] - affine[1:, :, 0] * target[:, 0, :1] - affine[1:, :, 1] * target[:, 0, 1:]
    return affine
