"""Relative motion of learned points: any set without a meaning of its own, after Siarohin et al., "First Order Motion
Model for Image Animation" (NeurIPS 2019), section 3.4."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np

from livehead.motion.keypoints import Array, Keypoints

MAX_INVERSE_NORM = 20.0
"""Norm (Frobenius) up to which a Jacobian's inverse is the exact one; a nearly singular one's is held there."""


def transfer_relative_motion(
    source: Keypoints, driving: Keypoints, neutral: Keypoints, *, adapt_scale: bool, relative_jacobian: bool = True
) -> Keypoints:
    """Return the source moved as the performer moved since ``neutral``.

    Points move by the performer's displacement (times the ratio of the sizes of the faces, the square roots of their
    convex hulls' areas, if ``adapt_scale``); Jacobians turn by the performer's change of Jacobian, or are his own
    without ``relative_jacobian``.
    """
    scale = math.sqrt(hull_area(source.value[0]) / max(hull_area(neutral.value[0]), 1e-12)) if adapt_scale else 1.0
    jacobian = source.jacobian
    if source.jacobian is not None and driving.jacobian is not None and neutral.jacobian is not None:
        turned = driving.jacobian @ invert_bounded(neutral.jacobian) @ source.jacobian
        jacobian = turned.astype(np.float32) if relative_jacobian else driving.jacobian
    depth = source.depth
    if source.depth is not None and driving.depth is not None and neutral.depth is not None:
        depth = source.depth + np.float32(scale) * (driving.depth - neutral.depth)
    value = source.value + np.float32(scale) * (driving.value - neutral.value)
    return replace(driving, value=value, depth=depth, jacobian=jacobian)


def hull_area(points: Array) -> float:
    """The area of the convex hull of ``points`` [N, 2], in the square of their unit."""
    return float(cv2.contourArea(cv2.convexHull(np.asarray(points, np.float32))))


def invert_bounded(jacobian: Array, max_norm: float = MAX_INVERSE_NORM) -> Array:
    """Invert matrices [..., 2, 2]; no inverse is larger (Frobenius) than ``max_norm``, smaller ones are exact."""
    a, b, c, d = (jacobian[..., i, j] for i in (0, 1) for j in (0, 1))
    determinant = a * d - b * c
    least = np.maximum(np.linalg.norm(jacobian, axis=(-2, -1)) / max_norm, 1e-6)
    held = np.where(determinant < 0, -1, 1) * np.maximum(np.abs(determinant), least)
    adjugate = np.stack([np.stack([d, -b], axis=-1), np.stack([-c, a], axis=-1)], axis=-2)
    return np.asarray(adjugate / held[..., None, None], np.float32)
