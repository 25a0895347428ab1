"""Whether the output makes the face that the performer made: distances between face meshes."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from livehead.evaluation.image_metrics import PixelBox, bounding_box
from livehead.frames import Image
from livehead.motion.face.head import fit_head_motion
from livehead.motion.face.mesh import FACE_MESH
from livehead.motion.keypoints import Array, Keypoints, to_pixels

MISSED_AKD = 20.0
"""Pixels given to an output in which no face is found."""

_MOUTH_MARGIN = 1.3


class FaceDetector(Protocol):
    """What the metrics need of ``livehead.perception.face_mesh.FaceMesh(static=True)``."""

    def detect(self, image: Image) -> list[Keypoints]:
        """The faces of uint8 [H, W, 3] RGB as ``mesh478``, the one to use first."""
        ...


def find_mesh(finder: FaceDetector, image: Image) -> Keypoints | None:
    """The mesh of the face of ``image``, or None."""
    faces = finder.detect(image)
    return faces[0] if faces else None


def akd(output: Keypoints | None, truth: Keypoints, width: int, height: int) -> float:
    """Average keypoint distance: mean distance in pixels of the points; ``MISSED_AKD`` when there is no face."""
    if output is None:
        return MISSED_AKD
    gaps = mesh_pixels(output, width, height) - mesh_pixels(truth, width, height)
    return float(np.linalg.norm(gaps, axis=1).mean())


def mesh_pixels(mesh: Keypoints, width: int, height: int) -> Array:
    """The points [K, 2] of one face in pixels of the picture in which it was found."""
    return to_pixels(mesh.value[0], width, height)


def pose_error_degrees(output: Keypoints, truth: Keypoints) -> float:
    """Degrees between the heads of two meshes: of the one rotation that turns either skull into the other."""
    return rotation_angle(fit_head_motion(output.points3d()[0], truth.points3d()[0]).rotation)


def rotation_angle(rotation: Array) -> float:
    """The angle in degrees by which a rotation [3, 3] turns about its own axis."""
    return float(np.degrees(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1))))


def face_box(mesh: Keypoints, width: int, height: int) -> PixelBox:
    """The box around all points of the face."""
    return bounding_box(mesh_pixels(mesh, width, height), width, height)


def mouth_box(mesh: Keypoints, width: int, height: int) -> PixelBox:
    """The box around the lips, enlarged 1.3 times."""
    return bounding_box(mesh_pixels(mesh, width, height)[FACE_MESH.mouth.lips], width, height, scale=_MOUTH_MARGIN)
