"""The intermediate results of a depth-aware generator side by side: depth, key points, flow, attention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import cv2
import numpy as np

from livehead.frames import Image
from livehead.motion.keypoints import Array, Keypoints

_TITLES = ("source", "depth", "key points", "flow", "occlusion", "attention")
_LARGEST_FLOW = 0.5  # length of the flow that is drawn in full colour, in units of the picture's half side
_SOURCE, _DRIVING = (80, 160, 255), (255, 120, 60)  # RGB


@dataclass(frozen=True, slots=True, eq=False)
class DebugPanels:
    """The intermediate results of one frame.

    ``image`` uint8 [S, S, 3] RGB and ``disparity`` float32 [S, S] are the source's; ``source`` and ``driving`` are key
    points [K, 2] in [-1, 1]; ``sampling_grid`` [h, w, 2] says where each pixel comes from; ``occlusion`` [h, w] is 0
    where the picture is made up; ``attention`` [h, w] is that of the place ``query_cell`` (row, column).
    """

    image: Image
    disparity: Array
    source: Array
    driving: Array
    sampling_grid: Array
    occlusion: Array
    attention: Array
    query_cell: tuple[int, int]

    def draw_beside(self, picture: Image) -> Image:
        """Draw all panels, two by three and each with its title, to the right of ``picture`` (uint8 [H, W, 3] RGB)."""
        height = picture.shape[0]
        side = max(height // 3 // 2 * 2, 2)
        parts = (
            self.image,
            self._draw_depth(),
            self._draw_keypoints(side),
            self._draw_flow(),
            _to_grey_image(self.occlusion),
            self._draw_attention(),
        )
        drawn = [_draw_titled_panel(part, title, side) for part, title in zip(parts, _TITLES, strict=True)]
        block = np.vstack([np.hstack(drawn[row : row + 2]) for row in (0, 2, 4)])
        canvas = np.zeros((height, picture.shape[1] + 2 * side, 3), np.uint8)
        canvas[:, : picture.shape[1]] = picture
        canvas[: block.shape[0], picture.shape[1] :] = block[:height]
        return canvas

    def _draw_depth(self) -> Image:
        return _apply_colour_map(self.disparity / max(float(self.disparity.max()), 1e-6))

    def _draw_keypoints(self, side: int) -> Image:
        canvas = cv2.resize(self.image, (side, side), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
        radius = max(side // 64, 2)
        for here, there in zip(_pixel_positions(self.source, side), _pixel_positions(self.driving, side), strict=True):
            cv2.line(canvas, here, there, (255, 255, 255), 1, cv2.LINE_AA)
            cv2.circle(canvas, here, radius, _SOURCE, -1, cv2.LINE_AA)
            cv2.circle(canvas, there, radius, _DRIVING, -1, cv2.LINE_AA)
        return canvas

    def _draw_flow(self) -> Image:
        """Draw the flow as a picture: its direction as hue, its length as saturation."""
        height, width = self.sampling_grid.shape[:2]
        x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
        dx, dy = self.sampling_grid[..., 0] - x, self.sampling_grid[..., 1] - y
        hue = (np.degrees(np.arctan2(dy, dx)) % 360) / 2
        length = np.clip(np.hypot(dx, dy) / _LARGEST_FLOW, 0, 1) * 255
        hsv = np.stack([hue, length, np.full_like(length, 255)], axis=-1).astype(np.uint8)
        return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.uint8)

    def _draw_attention(self) -> Image:
        canvas = _apply_colour_map(self.attention / max(float(self.attention.max()), 1e-12))
        canvas[self.query_cell] = 255
        return canvas


@runtime_checkable
class DebugPanelRenderer(Protocol):
    """A renderer that can show its intermediate results."""

    def debug_panels(self, avatar: Any, motion: Keypoints) -> DebugPanels:
        """Compute the intermediate results that led to the picture of ``motion``."""
        ...


def _pixel_positions(points: Array, side: int) -> list[tuple[int, int]]:
    places = np.rint((points.clip(-2, 2) + 1) / 2 * (side - 1)).astype(int)
    return [(int(x), int(y)) for x, y in places]


def _to_grey_image(share: Array) -> Image:
    grey: Image = np.repeat(np.rint(share.clip(0, 1) * 255).astype(np.uint8)[..., None], 3, axis=2)
    return grey


def _apply_colour_map(share: Array) -> Image:
    bgr = cv2.applyColorMap(_to_grey_image(share)[..., 0], cv2.COLORMAP_MAGMA)
    return np.ascontiguousarray(bgr[..., ::-1]).astype(np.uint8, copy=False)


def _draw_titled_panel(panel: Image, title: str, side: int) -> Image:
    canvas = cv2.resize(panel, (side, side), interpolation=cv2.INTER_NEAREST).astype(np.uint8, copy=False)
    scale, place = max(side / 400, 0.3), (side // 40, side // 14)
    cv2.putText(canvas, title, place, cv2.FONT_HERSHEY_SIMPLEX, scale, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.putText(canvas, title, place, cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), 1, cv2.LINE_AA)
    return canvas
