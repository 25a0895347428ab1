"""MediaPipe's graph of the face mesh, whose answers are brought to the coordinates of key points."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from livehead.frames import Image
from livehead.motion.keypoints import Array
from livehead.perception.mediapipe_runtime import MediaPipeGraph, import_solutions, run_in_calling_thread
from livehead.perception.pixel_square import PixelSquare

_POINT_COUNT = 478


class FaceMeshGraph:
    """Finds the meshes of up to ``max_faces`` faces, and follows them unless ``static``. For one thread."""

    def __init__(self, *, static: bool, max_faces: int, confidence: float) -> None:
        self.graph = MediaPipeGraph(
            run_in_calling_thread(import_solutions().face_mesh.FaceMesh),
            "multi_face_landmarks",
            static_image_mode=static,
            max_num_faces=max_faces,
            refine_landmarks=True,
            min_detection_confidence=confidence,
            min_tracking_confidence=confidence,
        )

    def reset(self) -> None:
        """Forget the faces that were followed."""
        self.graph.reset()

    def detect(self, image: Image, window: PixelSquare | None = None) -> list[Array]:
        """Return the meshes [478, 3] of ``image``, in coordinates of its square; with ``window``, those within it."""
        height, width = image.shape[:2]
        if window is None:
            return [_landmarks_to_mesh(face, width, height) for face in self.graph.run(image) or ()]
        part = image[window.top : window.top + window.side, window.left : window.left + window.side]
        found = [_landmarks_to_mesh(face, window.side, window.side) for face in self.graph.run(part) or ()]
        side = max(width, height)
        middle = [2 * window.left + window.side - width, 2 * window.top + window.side - height, 0]
        shift = np.array(middle, np.float32) / np.float32(side)
        return [face * np.float32(window.side / side) + shift for face in found]


def mesh_area(face: Array) -> float:
    """Return the area of the box around a mesh [478, 3], in units of its coordinates."""
    extent = face[:, :2].max(axis=0) - face[:, :2].min(axis=0)
    return float(extent[0] * extent[1])


def _landmarks_to_mesh(face: Any, width: int, height: int) -> Array:
    """MediaPipe's landmarks to [478, 3]: x is a share of the width, y of the height, z of the width as x is."""
    points: npt.NDArray[np.float32] = np.array([(p.x, p.y, p.z) for p in face.landmark], np.float32).reshape(
        _POINT_COUNT, 3
    )
    side = max(width, height)
    points *= np.array([2 * width / side, 2 * height / side, 2 * width / side], np.float32)
    points -= np.array([width / side, height / side, 0], np.float32)
    return points
