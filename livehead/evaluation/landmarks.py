"""Distances between face meshes: whether the output makes the face that the performer made."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from livehead.evaluation.image_metrics import PixelBox, bounding_box
from livehead.frames import Image
from livehead.motion.face.head import fit_head_motion
from livehead.motion.face.mesh import FACE_MESH
from livehead.motion.keypoints import Array, Keypoints, to_pixels

MISSED_AKD = 20.0
"""The distance in pixels that an output gets in which no face is found."""

_MOUTH_MARGIN = 1.3


class FaceDetector(Protocol):
    """Finds faces in single pictures, as ``livehead.perception.face_mesh.FaceMeshTracker(static=True)`` does."""

    def detect(self, image: Image) -> list[Keypoints]:
        """The faces in ``image``, uint8 [H, W, 3] RGB, as ``mesh478``; the most prominent one comes first."""
        ...


def find_mesh(finder: FaceDetector, image: Image) -> Keypoints | None:
    """The mesh of the most prominent face in ``image``, None without a face."""
    faces = finder.detect(image)
    return faces[0] if faces else None


def akd(output: Keypoints | None, truth: Keypoints, width: int, height: int) -> float:
    """The average keypoint distance in pixels; ``MISSED_AKD`` when the output has no face."""
    if output is None:
        return MISSED_AKD
    gaps = mesh_pixels(output, width, height) - mesh_pixels(truth, width, height)
    return float(np.linalg.norm(gaps, axis=1).mean())


def mesh_pixels(mesh: Keypoints, width: int, height: int) -> Array:
    """The points [K, 2] of one face in pixels of the picture in which it was found."""
    return to_pixels(mesh.value[0], width, height)


def pose_error_degrees(output: Keypoints, truth: Keypoints) -> float:
    """The angle in degrees of the rotation that turns the skull of one mesh into that of the other."""
    return rotation_angle(fit_head_motion(output.points3d()[0], truth.points3d()[0]).rotation)


def rotation_angle(rotation: Array) -> float:
    """The angle in degrees by which a rotation matrix [3, 3] turns about its axis."""
    return float(np.degrees(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1))))


def face_box(mesh: Keypoints, width: int, height: int) -> PixelBox:
    """The box around all points of the face."""
    return bounding_box(mesh_pixels(mesh, width, height), width, height)


def mouth_box(mesh: Keypoints, width: int, height: int) -> PixelBox:
    """The box around the lips, enlarged 1.3 times."""
    return bounding_box(mesh_pixels(mesh, width, height)[FACE_MESH.mouth.lips], width, height, scale=_MOUTH_MARGIN)
