"""A head: how high its face is, which way it looks, and its rigid motion between two meshes of the same face.

Angles are in degrees everywhere: positive yaw turns the nose to the right of the picture, positive pitch turns it down,
positive roll leans the crown to the right (clockwise on the screen).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from livehead.motion.face.mesh import FACE_MESH
from livehead.motion.keypoints import Array

_MIN_SQUARED_SIZE = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class HeadMotion:
    """A similarity of space: ``p -> scale * rotation @ p + shift``, in the unit and axes of ``Keypoints``.

    ``rotation`` [3, 3] is proper; ``shift`` [3] has the same unit as the points.
    """

    scale: float
    rotation: Array
    shift: Array

    def apply(self, points: npt.ArrayLike) -> Array:
        """Move points [..., 3]."""
        moved: Array = (np.asarray(points, np.float32) @ (self.scale * self.rotation.T) + self.shift).astype(np.float32)
        return moved

    def inverse(self) -> HeadMotion:
        """Return the motion that undoes this one."""
        back = self.rotation.T
        return HeadMotion(1 / self.scale, back, (-(back @ self.shift) / self.scale).astype(np.float32))

    def euler_angles(self) -> tuple[float, float, float]:
        """Yaw, pitch and roll in degrees (0 for no turn); the roll comes first, the yaw last."""
        r = self.rotation.astype(np.float64)
        yaw = -np.arctan2(r[0, 2], r[2, 2])
        pitch = np.arcsin(np.clip(-r[1, 2], -1, 1))
        roll = np.arctan2(r[1, 0], r[1, 1])
        return float(np.degrees(yaw)), float(np.degrees(pitch)), float(np.degrees(roll))


def rotation_matrix(yaw: float, pitch: float, roll: float) -> Array:
    """The rotation [3, 3] whose ``HeadMotion.euler_angles`` these are, in degrees."""
    y, p, r = np.radians(yaw), -np.radians(pitch), np.radians(roll)
    about_y = np.array([[np.cos(y), 0, -np.sin(y)], [0, 1, 0], [np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return np.asarray(about_y @ about_x @ about_z, np.float32)


def face_height(points: npt.ArrayLike) -> float:
    """The distance from chin to forehead of a mesh [478, 2 or 3] in the picture's plane, in the unit of its points."""
    places = np.asarray(points, np.float32)[:, :2]
    return max(float(np.linalg.norm(places[FACE_MESH.chin] - places[FACE_MESH.forehead])), 1e-6)


def measure_head_angles(points: Array) -> tuple[float, float, float]:
    """Yaw, pitch and roll in degrees of a mesh [478, 3] (any unit; x right, y down, depth away from the camera).

    They are read off the mesh alone: a face that looks straight into the camera has a pitch of about 10.
    """
    across = points[FACE_MESH.left_eye.upper[0]] - points[FACE_MESH.right_eye.upper[0]]
    down = points[FACE_MESH.chin] - points[FACE_MESH.forehead]
    normal = np.cross(across, down)
    normal = normal / max(float(np.linalg.norm(normal)), 1e-9)
    yaw = np.degrees(np.arctan2(-normal[0], normal[2]))
    pitch = np.degrees(np.arcsin(np.clip(-normal[1], -1, 1)))
    roll = np.degrees(np.arctan2(across[1], across[0]))
    return float(yaw), float(pitch), float(roll)


def fit_head_motion(source: Array, target: Array) -> HeadMotion:
    """The similarity that carries the skull of mesh ``source`` [478, 3] to that of ``target`` [478, 3].

    It is the least-squares fit over the points that move with the skull alone (Umeyama, "Least-squares estimation of
    transformation parameters between two point patterns", 1991, equations 40-42).
    """
    s = source[FACE_MESH.rigid].astype(np.float64)
    t = target[FACE_MESH.rigid].astype(np.float64)
    s_mean, t_mean = s.mean(axis=0), t.mean(axis=0)
    s, t = s - s_mean, t - t_mean
    u, d, v = np.linalg.svd(t.T @ s)
    sign = np.ones(3)
    sign[2] = np.sign(np.linalg.det(u) * np.linalg.det(v))
    rotation = (u * sign) @ v
    scale = float((d * sign).sum() / max(float((s * s).sum()), _MIN_SQUARED_SIZE))
    shift = t_mean - scale * rotation @ s_mean
    return HeadMotion(scale, rotation.astype(np.float32), shift.astype(np.float32))
