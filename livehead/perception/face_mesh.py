"""MediaPipe's face mesh (bundled models, nothing is downloaded) behind our key points."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from livehead.frames import Image
from livehead.motion.keypoints import Array, FaceSighting, Keypoints, mesh_keypoints
from livehead.perception.face_following import FaceFollower
from livehead.perception.mediapipe_runtime import MediaPipeTracker
from livehead.perception.mesh_graph import FaceMeshGraph, mesh_area


class FaceMeshTracker(MediaPipeTracker):
    """Finds faces and their 478 points (468 and ten of the irises), with depth.

    ``static=True``: every picture stands alone; up to ``max_faces`` faces, the largest first.
    ``static=False``: pictures are successive frames; one face, the largest at first and then the same person's, as
    ``FaceFollower`` tells. Its motion has a ``sighting``.

    One instance belongs to one thread. ``close`` it, or use it in a ``with``.
    """

    def __init__(self, *, static: bool = False, max_faces: int = 1, confidence: float = 0.5) -> None:
        self.static = static
        self._mesh = FaceMeshGraph(static=static, max_faces=max_faces if static else 1, confidence=confidence)
        self._follower = None if static else FaceFollower(self._mesh, confidence)
        super().__init__(*((self._mesh.graph,) if self._follower is None else (self._mesh.graph, self._follower)))

    @property
    def sighting(self) -> FaceSighting | None:
        """Whose face was followed last, and how many faces the newest picture has; None where pictures stand alone."""
        return None if self._follower is None else self._follower.sighting

    def reset(self) -> None:
        """Forget the face that was followed, so that the largest is taken next; callable from any thread."""
        if self._follower is not None:
            self._follower.forget_person()

    def detect(self, image: Image, captured_ns: int = 0) -> list[Keypoints]:
        """Faces of ``image``, uint8 [H, W, 3] RGB, each as ``mesh478`` with B = 1; the one to use comes first.

        Coordinates are those of ``livehead.motion.keypoints``; points may lie outside [-1, 1] where a face is cut off.
        """
        if self._follower is not None:
            face = self._follower.follow(image, captured_ns)
            sighting = self._follower.sighting
            return [] if face is None else [replace(mesh_keypoints(face, 1.0, captured_ns), sighting=sighting)]
        faces = self._mesh.detect(image) or self._detect_meshes_padded(image)
        faces.sort(key=mesh_area, reverse=True)
        return [mesh_keypoints(face, 1.0, captured_ns) for face in faces]

    def _detect_meshes_padded(self, image: Image) -> list[Array]:
        """Find the meshes with a margin, without which a face that fills the picture is easily missed."""
        side = max(image.shape[:2])
        margin = side // 4
        padded = np.pad(image, ((margin, margin), (margin, margin), (0, 0)), constant_values=127)
        growth = np.float32((side + 2 * margin) / side)  # the centre of the square stays
        return [face * growth for face in self._mesh.detect(padded)]
