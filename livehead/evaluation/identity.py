"""Whether the output is still the person of the photo, as far as one can tell without a recognition network.

Three distances between output and source, each over what two different persons typically differ by: the shape of the
head with pose and expression taken out, the colour of the skin, the colour of the hair. Their mean is near 0 for the
same picture and about 1 for somebody else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np

from livehead.evaluation.landmarks import mesh_pixels
from livehead.frames import Image
from livehead.motion.face.head import fit_head_motion
from livehead.motion.face.mesh import FACE_MESH
from livehead.motion.keypoints import Array, Keypoints

EmbedFace: TypeAlias = Callable[[Image, Keypoints], Array]
"""A recognition network of the user's own: a picture (uint8 [H, W, 3] RGB) and the face in it to an embedding [D]."""

OTHER_PERSON_IDENTITY = 1.0
"""The identity that an output gets in which no face is found."""

_SKIN_POLYGONS = (
    (50, 101, 118, 117, 123, 187, 205),
    (280, 330, 347, 346, 352, 411, 425),
    (109, 10, 338, 337, 151, 108),
)
"""Polygons of mesh points on bare skin: both cheeks and the middle of the forehead."""
_TEMPLES = (127, 356)
_HAIR_FROM, _HAIR_TO, _HAIR_WIDTH = 0.10, 0.24, 0.5  # above the forehead in face heights; its width in face widths

# Medians over pairs of different persons of the train split; another frame of the same clip is at 0.028, 1.4 and 3.0.
_TYPICAL_SHAPE = 0.064
_TYPICAL_SKIN = 19.2
_TYPICAL_HAIR = 21.0


@dataclass(frozen=True, slots=True, eq=False)
class FaceAppearance:
    """The parts of a picture that are compared.

    ``mesh`` [478, 3] is in units of the picture's square; ``skin_lab`` and ``hair_lab`` are median CIELAB colours [3],
    None where they lie outside the picture.
    """

    mesh: Array
    skin_lab: Array | None
    hair_lab: Array | None


def measure_appearance(image: Image, mesh: Keypoints) -> FaceAppearance:
    """Measure the appearance of the face ``mesh`` in ``image``, uint8 [H, W, 3] RGB."""
    height, width = image.shape[:2]
    points = mesh_pixels(mesh, width, height)
    lab = np.asarray(cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)
    skin = [points[list(polygon)] for polygon in _SKIN_POLYGONS]
    return FaceAppearance(
        mesh=mesh.points3d()[0],
        skin_lab=_median_colour(lab, skin),
        hair_lab=_median_colour(lab, [_hair_patch(points)]),
    )


def identity_distance(output: FaceAppearance, source: FaceAppearance) -> float:
    """The mean of the three distances; a colour that either picture does not show is left out."""
    terms = [shape_distance(output.mesh, source.mesh) / _TYPICAL_SHAPE]
    for ours, theirs, typical in (
        (output.skin_lab, source.skin_lab, _TYPICAL_SKIN),
        (output.hair_lab, source.hair_lab, _TYPICAL_HAIR),
    ):
        if ours is not None and theirs is not None:
            terms.append(float(np.linalg.norm(ours - theirs)) / typical)
    return float(np.mean(terms))


def cosine_similarity(ours: Array, theirs: Array) -> float:
    """The cosine of the angle between two embeddings [D] of a recognition network: 1 is the same person."""
    lengths = float(np.linalg.norm(ours)) * float(np.linalg.norm(theirs))
    return float(ours @ theirs) / max(lengths, 1e-12)


def shape_distance(mesh: Array, reference: Array) -> float:
    """The distance that the best similarity leaves between two meshes' [478, 3] skulls, over the reference's radius."""
    skull = reference[FACE_MESH.rigid]
    gaps = fit_head_motion(mesh, reference).apply(mesh)[FACE_MESH.rigid] - skull
    radius = np.linalg.norm(skull - skull.mean(axis=0))
    return float(np.linalg.norm(gaps)) / max(float(radius), 1e-9)


def _hair_patch(points: Array) -> Array:
    """A quadrilateral [4, 2] above the forehead, upright with the head."""
    up = points[FACE_MESH.forehead] - points[FACE_MESH.chin]
    across = (points[_TEMPLES[1]] - points[_TEMPLES[0]]) * _HAIR_WIDTH / 2
    low, high = points[FACE_MESH.forehead] + up * _HAIR_FROM, points[FACE_MESH.forehead] + up * _HAIR_TO
    return np.stack([low - across, low + across, high + across, high - across])


def _median_colour(lab: Array, polygons: list[Array]) -> Array | None:
    """Median colour inside the polygons, or None when less than half of their area lies in the picture."""
    mask = np.zeros(lab.shape[:2], np.uint8)
    area = 0.0
    for polygon in polygons:
        hull = cv2.convexHull(polygon.astype(np.float32))
        area += float(cv2.contourArea(hull))
        cv2.fillConvexPoly(mask, np.rint(hull).astype(np.int32), (1,))
    inside = lab[mask > 0]
    if len(inside) < max(area / 2, 1):
        return None
    return np.asarray(np.median(inside, axis=0), np.float32)
