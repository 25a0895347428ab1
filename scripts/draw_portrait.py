#!/usr/bin/env python3
"""Draws the portrait of nobody that livehead ships: a closed-mouth face at 1024 x 1024, from formulas alone.

The face is a height field (an oval with bumps for nose, brows, lips ...), lit by a soft key light with cast shadows;
eyes, lips and brows are painted on it, hair is a few thousand strokes. Same numbers in, same picture out.

    python scripts/draw_portrait.py [OUT.png]
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

FloatField = npt.NDArray[Any]  # float32, one value or colour a pixel

DEFAULT_OUTPUT = Path(__file__).parents[1] / "livehead" / "assets" / "drawn.png"

_SKIN, _LIPS, _HAIR = (0.90, 0.69, 0.575), (0.74, 0.37, 0.36), (0.25, 0.15, 0.095)
_KEY_LIGHT = np.array([-0.42, -0.46, 0.78], np.float32)  # towards the light: left, up, out of the picture
_EYE_X, _EYE_Y, _EYE_HALF_WIDTH = (
    0.0835,
    0.4700,
    0.0405,
)  # distance from the middle, height, half width; shares of the side


def draw_portrait(size: int = 1024) -> npt.NDArray[np.uint8]:
    """The portrait as uint8 [size, size, 3] RGB."""
    canvas = _PortraitCanvas(size * 2)
    canvas.draw()
    return canvas.render(size)


def _smoothstep(low: float, high: float, value: FloatField) -> FloatField:
    """0 below ``low``, 1 above ``high``, smooth between."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _smooth_curve(points: Sequence[tuple[float, float]], at: FloatField, soft: float = 0.012) -> FloatField:
    """A smooth curve near ``points`` (position, value)."""
    fine = np.linspace(0, 1, 2001)
    values = np.interp(fine, *np.array(points).T)
    kernel = np.exp(-(((np.arange(-200, 201) / 2000) / soft) ** 2) / 2)
    values = np.convolve(np.pad(values, 200, mode="edge"), kernel / kernel.sum(), mode="valid")
    return np.interp(at, fine, values).astype(np.float32)


class _PortraitCanvas:
    """Draws the picture; coordinates are shares of the side, ``x`` from the middle to the right, ``y`` down."""

    def __init__(self, side: int) -> None:
        self.side = side
        line = (np.arange(side, dtype=np.float32) + 0.5) / side
        self.x, self.y = np.meshgrid(line - 0.5, line)
        self.random = np.random.default_rng(7)
        self.colour = self._backdrop_gradient()

    def draw(self) -> None:
        """Draw the person, from the back to the front."""
        self._draw_torso()
        self._draw_hair(front=False)
        self._draw_neck()
        self._draw_face()
        for which in (-1, 1):
            self._draw_eye(which)
            self._draw_eyebrow(which)
        self._draw_hair(front=True)

    def render(self, size: int) -> npt.NDArray[np.uint8]:
        picture = cv2.resize(self.colour, (size, size), interpolation=cv2.INTER_AREA)
        grain = np.random.default_rng(3).normal(0, 0.003, (size, size, 1)).astype(np.float32)
        finished: npt.NDArray[np.uint8] = np.rint(np.clip(picture + grain, 0, 1) * 255).astype(np.uint8)
        return finished

    # -- means

    def paint_over(self, colour: FloatField | tuple[float, float, float], mask: FloatField) -> None:
        """Paint ``colour`` where ``mask`` (0 to 1) says."""
        self.colour += mask[:, :, None] * (np.asarray(colour, np.float32) - self.colour)

    def darken(self, factor: float, mask: FloatField) -> None:
        """Darken towards ``factor``, the blues more than the reds, as skin does."""
        tint = np.array([factor**0.8, factor, factor**1.1], np.float32)
        self.colour *= 1 + mask[:, :, None] * (tint - 1)

    def blur(self, field: FloatField, sigma: float) -> FloatField:
        """``sigma`` is a share of the side."""
        return cv2.GaussianBlur(field, (0, 0), sigma * self.side)

    def gaussian_bump(self, x: float, y: float, width: float, height: float) -> FloatField:
        """A Gaussian hill, 1 high."""
        hill: FloatField = np.exp(-(((self.x - x) / width) ** 2 + ((self.y - y) / height) ** 2) / 2)
        return hill

    def gaussian_pair(self, x: float, y: float, width: float, height: float) -> FloatField:
        """One on either side of the face."""
        return self.gaussian_bump(x, y, width, height) + self.gaussian_bump(-x, y, width, height)

    def soft_edge(self, signed: FloatField, soft: float = 0.0012) -> FloatField:
        """1 where ``signed`` distance is positive, with a soft edge."""
        return _smoothstep(-soft, soft, signed)

    def draw_stroke(self, layer: FloatField, path: FloatField, width: int, tone: Sequence[float]) -> None:
        """A line along ``path`` [n, 2] in shares of the side, x from the middle; ``width`` in pixels."""
        points = np.rint((path + [0.5, 0]) * self.side * 16).astype(np.int32)
        cv2.polylines(layer, [points], False, tone, width, cv2.LINE_AA, 4)

    # -- parts, from back to front

    def _backdrop_gradient(self) -> FloatField:
        glow = np.exp(-((self.x + 0.12) ** 2 + (self.y - 0.38) ** 2) / 0.22)[:, :, None]
        far, near = np.array([0.33, 0.38, 0.43], np.float32), np.array([0.66, 0.70, 0.72], np.float32)
        backdrop: FloatField = (far + glow * (near - far)).astype(np.float32)
        return backdrop

    def _shade_surface(self, height: FloatField, albedo: FloatField, shine: float) -> FloatField:
        """Light a surface: soft key with cast shadows, cool fill from the right, darker creases, a little gloss."""
        rise_x: FloatField = cv2.Sobel(height, -1, 1, 0, scale=self.side / 8)
        rise_y: FloatField = cv2.Sobel(height, -1, 0, 1, scale=self.side / 8)
        length = np.sqrt(rise_x**2 + rise_y**2 + 1)
        key = _KEY_LIGHT / np.linalg.norm(_KEY_LIGHT)
        toward = (-rise_x * key[0] - rise_y * key[1] + key[2]) / length
        lit = np.clip((toward + 0.25) / 1.25, 0, 1) ** 1.15
        lit *= self._shadow_mask(height, key)
        fill = np.clip((-rise_x * 0.75 + rise_y * -0.1 + 0.65) / length, 0, 1)
        half: FloatField = key + np.array([0, 0, 1], np.float32)
        half = half / np.linalg.norm(half)
        gloss = np.clip((-rise_x * half[0] - rise_y * half[1] + half[2]) / length, 0, 1) ** 22
        crease = np.clip((self.blur(height, 0.010) - height) * 38, 0, 0.5)
        warm = np.array([1.0, 0.96, 0.90], np.float32)
        cool = np.array([1.0, 0.95, 0.93], np.float32)
        light = 0.92 * lit[:, :, None] * warm + 0.36 * fill[:, :, None] * cool + 0.16
        # Light that has wandered through skin is red: the passage into shadow glows.
        glow = np.exp(-(((lit - 0.42) / 0.16) ** 2))[:, :, None] * np.array([0.060, 0.010, 0], np.float32)
        matt = (albedo * light + glow * (shine > 0)) * (1 - crease[:, :, None])
        shaded: FloatField = matt + shine * (gloss * lit)[:, :, None]
        return shaded

    def _shadow_mask(self, height: FloatField, key: npt.NDArray[np.float32]) -> FloatField:
        """1 where the key light reaches the surface, softly less where something stands in its way."""
        small = cv2.resize(height, (512, 512), interpolation=cv2.INTER_AREA)
        clearance = np.full_like(small, 1.0)
        for step in range(1, 40):
            shift = np.array([[1, 0, -key[0] * step], [0, 1, -key[1] * step]], np.float32)
            ahead = cv2.warpAffine(small, shift, (512, 512), borderMode=cv2.BORDER_REPLICATE)
            room = (small + key[2] * step / 512 - ahead) / (step / 512)
            clearance = np.minimum(clearance, room)
        shadow = cv2.GaussianBlur(0.45 + 0.55 * _smoothstep(-0.15, 0.22, clearance), (0, 0), 2.2)
        return cv2.resize(shadow, (self.side, self.side), interpolation=cv2.INTER_CUBIC)

    def _draw_torso(self) -> None:
        top = 0.855 + 0.30 * np.abs(self.x) ** 1.6 + 0.05 * _smoothstep(0.2, 0.5, np.abs(self.x))
        mask = self.soft_edge(self.y - top, 0.002)
        height = 0.16 * np.sqrt(np.clip((self.y - top) * 2.2, 0, 1)) - 0.30 * self.x**2
        knit = 0.03 * np.sin(self.x * 900 + 2 * np.sin(self.y * 40)) * np.sin(self.y * 700)
        albedo = np.array([0.16, 0.33, 0.37], np.float32) * (1 + knit[:, :, None])
        self.paint_over(self._shade_surface(self.blur(height.astype(np.float32), 0.004), albedo, 0.0), mask)

    def _draw_neck(self) -> None:
        half = _smooth_curve(
            [(0, 0.080), (0.70, 0.080), (0.78, 0.082), (0.84, 0.098), (0.90, 0.155), (1, 0.16)], self.y, 0.02
        )
        collar = 0.905 - 0.55 * self.x**2
        mask = self.soft_edge(half - np.abs(self.x)) * self.soft_edge(collar - self.y) * self.soft_edge(self.y - 0.6)
        height = 0.10 * np.sqrt(np.clip(1 - (self.x / half) ** 2, 0, 1))
        height += 0.004 * np.exp(-(((np.abs(self.x) - 0.030 - 0.20 * (0.90 - self.y)) / 0.014) ** 2))  # the two muscles
        self.paint_over(self._shade_surface(self.blur(height, 0.003), np.array(_SKIN, np.float32) * 0.93, 0.03), mask)
        under = np.exp(-((self.x / 0.13) ** 2)) * _smoothstep(0.90, 0.735, self.y)
        self.darken(0.20, under * mask)
        rim = (
            np.exp(-(((self.y - collar) / 0.010) ** 2))
            * self.soft_edge(self.y - collar)
            * self.soft_edge(0.16 - np.abs(self.x))
        )
        self.paint_over((0.13, 0.27, 0.31), rim * 0.9)
        self.darken(0.75, mask * _smoothstep(0.02, 0.0, collar - self.y))

    def _face_half_width(self) -> FloatField:
        """Half width of the face at each height."""
        points = [(0, -0.2), (0.145, 0.0), (0.165, 0.080), (0.20, 0.128), (0.26, 0.160), (0.34, 0.175), (0.43, 0.178)]
        points += [(0.50, 0.175), (0.56, 0.167), (0.62, 0.152), (0.66, 0.136), (0.69, 0.119), (0.715, 0.100)]
        points += [
            (0.735, 0.081),
            (0.750, 0.062),
            (0.760, 0.044),
            (0.766, 0.026),
            (0.768, 0.0),
            (0.775, -0.1),
            (1, -0.2),
        ]
        return _smooth_curve(points, self.y, 0.005)

    def _face_height_map(self) -> FloatField:
        """Height of the face, in the unit of the picture's side."""
        x, y = self.x, self.y
        # The surface turns away more slowly than the outline narrows: the chin is a ball, not an edge.
        turn = [(0, 0.130), (0.20, 0.145), (0.34, 0.175), (0.43, 0.179), (0.50, 0.176), (0.56, 0.169), (0.64, 0.150)]
        across = np.clip(np.abs(x) / _smooth_curve([*turn, (0.70, 0.134), (0.77, 0.122), (1, 0.12)], y, 0.025), 0, 1)
        height: FloatField = 0.165 * np.sqrt(np.clip(1 - across**2.3, 0, 1))
        height *= 0.35 + 0.65 * np.sqrt(np.clip(1 - (np.clip(y - 0.60, 0, 1) / 0.172) ** 2, 0, 1))
        height += 0.012 * self.gaussian_bump(0, 0.36, 0.11, 0.06)  # forehead
        below = y + 9 * np.clip(np.abs(x) - 0.004, 0, 0.03) ** 2  # the tip hangs lower than its sides
        points = [(0, 0), (0.40, 0.0), (0.445, 0.006), (0.50, 0.019), (0.55, 0.032), (0.580, 0.037), (0.594, 0.034)]
        bridge = _smooth_curve([*points, (0.609, 0.012), (0.620, 0.0), (1, 0)], below, 0.006)
        width = _smooth_curve([(0, 0.016), (0.45, 0.0155), (0.53, 0.0165), (0.59, 0.0215), (1, 0.0215)], y)
        height += bridge * np.exp(-((x / width) ** 2) / 2)
        height += 0.006 * self.gaussian_bump(0, 0.588, 0.0145, 0.0125)  # tip
        height += 0.014 * self.gaussian_pair(0.0270, 0.5935, 0.0092, 0.0100)  # wings
        height -= 0.004 * self.gaussian_pair(0.0420, 0.592, 0.008, 0.013)
        height += 0.007 * self.gaussian_pair(0.080, 0.424, 0.045, 0.011)  # brows
        height -= 0.014 * self.gaussian_pair(0.062, 0.462, 0.026, 0.018)  # sockets, deepest beside the nose
        height -= 0.006 * self.gaussian_pair(0.115, 0.468, 0.022, 0.018)
        height += 0.012 * self.gaussian_pair(_EYE_X, _EYE_Y + 0.001, 0.024, 0.014)  # the eyeballs under the lids
        height -= 0.0022 * self.gaussian_pair(0.080, 0.500, 0.030, 0.006)
        height += 0.010 * self.gaussian_pair(0.108, 0.545, 0.036, 0.028)  # cheekbones
        height -= 0.004 * self.gaussian_pair(0.110, 0.635, 0.030, 0.035)
        height -= 0.0035 * self.gaussian_pair(0.057, 0.628, 0.008, 0.020)  # beside the mouth
        height += 0.011 * self.gaussian_bump(0, 0.662, 0.048, 0.024)  # the jaws under the lips
        height += 0.0055 * self.gaussian_pair(0.013, 0.6560, 0.017, 0.0060) + 0.0080 * self.gaussian_bump(
            0, 0.6835, 0.027, 0.0080
        )
        height -= 0.0030 * self.gaussian_bump(0, 0.632, 0.0050, 0.010)  # philtrum
        height -= 0.0060 * self.gaussian_bump(0, 0.7035, 0.028, 0.0065) + 0.0035 * self.gaussian_pair(
            0.056, 0.670, 0.006, 0.008
        )
        height += 0.010 * self.gaussian_bump(0, 0.733, 0.028, 0.020)  # chin
        return height

    def _skin_albedo(self) -> FloatField:
        """Colour of the skin before light falls on it."""
        albedo = np.empty((self.side, self.side, 3), np.float32)
        albedo[:] = _SKIN
        red = 0.55 * self.gaussian_pair(0.112, 0.56, 0.042, 0.030) + 0.4 * self.gaussian_bump(0, 0.588, 0.024, 0.014)
        red += 0.25 * self.gaussian_bump(0, 0.74, 0.03, 0.02)
        albedo *= 1 - red[:, :, None] * np.array([0.02, 0.16, 0.15], np.float32)
        tired = self.gaussian_pair(0.078, 0.498, 0.028, 0.008) + 0.6 * self.gaussian_pair(0.055, 0.470, 0.012, 0.014)
        albedo *= 1 - tired[:, :, None] * np.array([0.07, 0.11, 0.08], np.float32)
        for grain, strength in ((0.0008, 0.014), (0.004, 0.006), (0.02, 0.007)):
            noise = self.blur(self.random.normal(0, 1, (self.side, self.side)).astype(np.float32), grain)
            albedo *= 1 + (noise / noise.std() * strength)[:, :, None]
        return albedo

    def _lip_masks(self) -> tuple[FloatField, FloatField, FloatField]:
        """Masks of the upper and lower lip, and of the line where they meet."""
        across = np.clip(np.abs(self.x) / 0.0560, 0, 1)
        taper = np.clip(1 - across**2.0, 0, 1)
        seam = 0.6695 + 0.0020 * np.cos(across * np.pi * 1.9) * taper - 0.0032 * across**2.2
        bow = 0.0152 * np.exp(-(((np.abs(self.x) - 0.0130) / 0.0215) ** 2)) + 0.0015
        top = seam - bow * taper**0.6 + 0.0024 * np.exp(-((self.x / 0.0060) ** 2))
        bottom = seam + 0.0232 * taper**0.70 * np.exp(-((self.x / 0.095) ** 2))
        upper = self.soft_edge(self.y - top, 0.0016) * self.soft_edge(seam - self.y, 0.0006)
        lower = self.soft_edge(bottom - self.y, 0.0018) * self.soft_edge(self.y - seam, 0.0006)
        inside = (np.abs(self.x) < 0.0560).astype(np.float32)
        thick = 0.0011 + 0.0009 * _smoothstep(0.6, 1.0, across)
        line = np.exp(-(((self.y - seam) / thick) ** 2)) * self.soft_edge(0.0565 - np.abs(self.x), 0.004)
        return upper * inside, lower * inside, line

    def _draw_face(self) -> None:
        half = self._face_half_width()
        signed = half - np.abs(self.x)
        mask = self.soft_edge(cv2.GaussianBlur(signed, (0, 0), 2), 0.0016)
        albedo = self._skin_albedo()
        upper, lower, line = self._lip_masks()
        wrinkle = 1 + 0.06 * np.sin(self.x * 1500 + 3 * np.sin(self.x * 90)) * np.cos(self.x * 310)
        for part, tone in ((upper, 0.90), (lower, 1.0)):
            lip = np.array(_LIPS, np.float32) * (tone * wrinkle)[:, :, None]
            albedo += (self.blur(part, 0.0007) * 0.85)[:, :, None] * (lip - albedo)
        height = self.blur(self._face_height_map(), 0.0012)
        shaded = self._shade_surface(height, albedo, 0.075)
        wet = self.gaussian_bump(-0.010, 0.6815, 0.016, 0.0028) * lower * 0.16
        shaded += (wet * wrinkle)[:, :, None]
        self.paint_over(shaded, mask)
        self.darken(0.34, line * 0.75)
        self.darken(0.62, self.gaussian_bump(0, 0.7015, 0.026, 0.0038) * 0.45)  # under the lower lip
        nostrils = self.gaussian_pair(0.0155, 0.6065, 0.0072, 0.0026)
        self.darken(0.22, np.clip(nostrils * 1.3, 0, 1) * 0.85)
        wings = np.exp(-(((np.hypot((np.abs(self.x) - 0.0275) / 0.0125, (self.y - 0.5945) / 0.0150) - 1) / 0.16) ** 2))
        self.darken(0.66, wings * _smoothstep(0.027, 0.040, np.abs(self.x)) * _smoothstep(0.582, 0.596, self.y) * 0.35)

    def _draw_eye(self, side_sign: int) -> None:
        """Sclera, iris, lids and lashes of one eye; ``which`` is -1 for the picture's left."""
        along = (self.x * side_sign - _EYE_X) / _EYE_HALF_WIDTH  # -1 at the inner corner, 1 at the outer one
        level = _EYE_Y - 0.0016 * along
        open_ = np.clip(1 - along**2, 0, 1)
        upper = level - 0.0175 * open_**0.72 * (1 - 0.10 * along)
        lower = level + 0.0098 * open_**0.80 * (1 + 0.18 * along)
        inside = self.soft_edge(self.y - upper, 0.0010) * self.soft_edge(lower - self.y, 0.0010) * (np.abs(along) < 1)
        ball = np.clip(1 - (along / 1.5) ** 2 - ((self.y - _EYE_Y) / 0.045) ** 2, 0, 1)
        white = np.array([0.83, 0.80, 0.78], np.float32) * (0.50 + 0.50 * ball)[:, :, None]
        self.paint_over(white, inside)
        self.paint_over((0.72, 0.45, 0.42), inside * _smoothstep(-0.80, -0.97, along) * 0.8)
        self._draw_iris(side_sign, inside)
        lid_shadow = np.exp(-np.clip(self.y - upper, 0, 1) / 0.0042)
        self.darken(0.38, inside * lid_shadow * 0.85)
        near = (np.abs(along) < 1.15) * _smoothstep(1.15, 1.0, np.abs(along))
        thick = 0.0016 + 0.0014 * _smoothstep(-0.9, 0.8, along)
        self.paint_over((0.10, 0.06, 0.05), np.exp(-(((self.y - upper + thick * 0.4) / thick) ** 2)) * near * 0.92)
        self.paint_over(
            (0.62, 0.42, 0.37), np.exp(-(((self.y - lower - 0.0009) / 0.0011) ** 2)) * near * open_**0.3 * 0.5
        )
        self.darken(
            0.45, np.exp(-(((self.y - lower - 0.0006) / 0.0009) ** 2)) * near * _smoothstep(-0.6, 0.9, along) * 0.5
        )
        crease = upper - 0.0092 * (open_ * 0.9 + 0.1) ** 0.5
        fold = np.exp(-(((self.y - crease) / 0.0017) ** 2)) * _smoothstep(1.12, 0.75, np.abs(along))
        self.darken(0.55, fold * 0.75)
        self.darken(0.80, self.gaussian_bump(side_sign * _EYE_X, 0.4510, 0.032, 0.0075) * 0.55)
        self._draw_lashes(side_sign)

    def _draw_iris(self, side_sign: int, inside: FloatField) -> None:
        dx, dy = self.x - side_sign * (_EYE_X - 0.0005), self.y - (_EYE_Y - 0.0042)
        radius = np.hypot(dx, dy) / 0.0168
        angle = np.arctan2(dy, dx)
        rays = 0.5 + 0.5 * np.sin(angle * 41 + 3 * np.sin(angle * 7 + side_sign)) * np.sin(angle * 23 + 1.3 * side_sign)
        fibre = 0.75 + 0.5 * rays * _smoothstep(0.3, 0.6, radius)
        inner, outer = np.array([0.46, 0.30, 0.16], np.float32), np.array([0.24, 0.20, 0.13], np.float32)
        colour = inner + _smoothstep(0.40, 0.80, radius)[:, :, None] * (outer - inner)
        colour = colour * fibre[:, :, None] * (0.85 + 0.45 * _smoothstep(-0.3, 0.9, dy / 0.0158))[:, :, None]
        colour *= (1 - 0.75 * _smoothstep(0.80, 1.0, radius))[:, :, None]
        self.paint_over(colour, inside * _smoothstep(1.06, 0.94, radius))
        self.paint_over((0.025, 0.02, 0.02), inside * _smoothstep(0.46, 0.36, radius))
        spot = np.hypot(dx + 0.0050, (dy + 0.0052) * 1.1)
        self.paint_over((1.0, 1.0, 0.98), inside * _smoothstep(0.0034, 0.0022, spot) * 0.95)
        self.paint_over(
            (0.8, 0.9, 1.0), inside * _smoothstep(0.0026, 0.0012, np.hypot(dx - 0.0060, dy - 0.0070)) * 0.25
        )

    def _draw_lashes(self, side_sign: int) -> None:
        layer = np.zeros((self.side, self.side), np.float32)
        for t in np.linspace(-0.6, 1.0, 34) + self.random.normal(0, 0.02, 34):
            open_ = max(1 - t * t, 0.0)
            x = _EYE_X + t * _EYE_HALF_WIDTH
            y = _EYE_Y - 0.0016 * t - 0.0175 * open_**0.72 * (1 - 0.10 * t)
            length = (0.0030 + 0.0048 * (t + 1) / 2) * self.random.uniform(0.6, 1.15)
            lean = 0.25 + 1.0 * max(t + 0.2, -0.3)
            bend = np.linspace(0, 1, 6)[:, None]
            outward, upward = np.array([[lean * 0.75, -0.35]]), np.array([[0.1, -0.55]])
            path = np.array([[x, y]]) + length * (bend * outward + bend**2 * upward)
            self.draw_stroke(layer, path * [side_sign, 1], 1, [1.0])
        self.paint_over((0.08, 0.05, 0.04), self.blur(layer, 0.0003) * 0.75)

    def _draw_eyebrow(self, side_sign: int) -> None:
        layer = np.zeros((self.side, self.side), np.float32)
        for _ in range(420):
            t = self.random.uniform(0, 1) ** 0.9
            arch = 0.4265 - 0.0155 * np.sin(np.pi * min(t * 0.86, 1.0)) + 0.008 * max(t - 0.62, 0) / 0.38
            half = 0.0080 * (1 - t) ** 0.55 * (0.55 + 0.45 * min(t * 6, 1)) + 0.0012
            x, y = 0.036 + 0.096 * t, arch + self.random.uniform(-1, 1) * half
            lean = np.array([0.35 + 0.8 * t, -0.9 + 1.25 * t])
            lean = lean / np.linalg.norm(lean) * self.random.uniform(0.008, 0.014)
            bend = np.linspace(0, 1, 5)[:, None]
            path = np.array([[x, y]]) + bend * lean + bend**2 * np.array([[0.003, 0.001]])
            self.draw_stroke(layer, path * [side_sign, 1], 1, [1.0])
        cover = self.blur(layer, 0.0005) * 0.60 + self.blur(layer, 0.0035) * 0.45
        self.paint_over((0.24, 0.155, 0.11), np.clip(cover, 0, 0.85))

    def _draw_hair(self, front: bool) -> None:
        """Strands from a parting, down both sides of the face; those behind the neck are darker."""
        count = 2600 if front else 1500
        steps = np.linspace(0, 1, 81)
        strands = []
        for _ in range(count):
            side = self.random.choice([-1, 1])
            depth = self.random.uniform(0, 1)  # 0 next to the face, 1 the outer contour
            strands.append((depth, side, self._hair_strand_path(side, depth, front, steps)))
        strands.sort(key=lambda strand: -strand[0])
        for depth, side, path in strands:
            tone = self.random.uniform(0.70, 1.25) * ((0.70 + 0.20 * depth) if front else 0.36)
            shift = self.random.normal(0, 0.025)
            shine = np.exp(-(((steps - 0.19 - 0.05 * depth + shift) / 0.07) ** 2)) * (1.0 if side < 0 else 0.5)
            shine += 0.5 * np.exp(-(((steps - 0.60 + 2 * shift) / 0.11) ** 2)) * (1.0 if side < 0 else 0.55)
            shade = tone * np.array(_HAIR)[None] * (1 + 1.2 * shine[:, None] * front)
            width = self.random.uniform(0.0009, 0.0021)
            for start in range(0, len(steps) - 1, 2):
                thin = width * (1 - 0.6 * float(_smoothstep(0.85, 1.0, steps[start])))
                tone_here = [float(part) for part in shade[start]]
                self.draw_stroke(self.colour, path[start : start + 3], max(1, round(thin * self.side)), tone_here)

    def _hair_strand_path(self, side: int, depth: float, front: bool, steps: FloatField) -> FloatField:
        """Middle line [n, 2] of one strand."""
        wobble = self.random.normal(0, 0.004, 5)
        root = np.array([0.001 + 0.002 * abs(wobble[0]), 0.246 - 0.141 * depth])
        if front:
            inner = np.array(
                [[0.050, 0.250], [0.126, 0.306], [0.168, 0.43], [0.173, 0.56], [0.140, 0.72], [0.150, 0.87]]
            )
            outer = np.array(
                [[0.085, 0.116], [0.185, 0.190], [0.222, 0.36], [0.228, 0.54], [0.246, 0.74], [0.205, 0.94]]
            )
        else:
            inner = np.array([[0.02, 0.25], [0.06, 0.40], [0.07, 0.55], [0.07, 0.70], [0.08, 0.80], [0.09, 0.90]])
            outer = np.array(
                [[0.080, 0.124], [0.180, 0.195], [0.216, 0.36], [0.222, 0.54], [0.238, 0.74], [0.200, 0.93]]
            )
        knots = np.vstack([root, inner + depth * (outer - inner)])
        knots[1:, 0] += np.resize(wobble, 6) * np.linspace(0.5, 2.0, 6)
        knots[-1] += self.random.normal(0, 0.012, 2) + [0, -0.05 * (1 - depth) ** 2]
        at = np.linspace(0, 1, len(knots))
        fine = np.stack([np.interp(np.linspace(0, 1, 101), at, knots[:, i]) for i in (0, 1)], axis=1)
        kernel = np.hanning(27) / np.hanning(27).sum()
        padded = np.pad(fine, ((13, 13), (0, 0)), mode="reflect", reflect_type="odd")
        soft = np.stack([np.convolve(padded[:, i], kernel, mode="valid") for i in (0, 1)], axis=1)
        path = np.stack([np.interp(steps, np.linspace(0, 1, 101), soft[:, i]) for i in (0, 1)], axis=1)
        path[:, 0] *= side
        return path.astype(np.float32)


def main() -> None:
    """Write the portrait to the path given, else into the package."""
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_OUTPUT
    if not cv2.imwrite(str(out), cv2.cvtColor(draw_portrait(), cv2.COLOR_RGB2BGR)):
        raise SystemExit(f"cannot write {out}")
    print(out)


if __name__ == "__main__":
    main()
