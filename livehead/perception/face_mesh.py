"""MediaPipe's face mesh (bundled models, nothing is downloaded) behind our key points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from livehead.frames import Image
from livehead.motion.keypoints import Array, Keypoints, mesh_keypoints
from livehead.perception.mediapipe_runtime import (
    MediaPipeGraph,
    MediaPipeTracker,
    import_solutions,
    run_in_calling_thread,
)

_POINT_COUNT = 478
_SURVEY_INTERVAL = 30  # frames between two looks at whether somebody else has come to the fore
_RIVAL_AREA_RATIO = 1.6  # area of another face over the followed one's that counts as "to the fore" ...
_RIVAL_SURVEYS = 2  # ... when it is seen in this many surveys in a row


@dataclass(frozen=True, slots=True)
class FaceBox:
    """A face in pixels of the picture: left, top, right, bottom."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def area(self) -> float:
        """Square pixels."""
        return max(self.right - self.left, 0.0) * max(self.bottom - self.top, 0.0)


class FaceMeshTracker(MediaPipeTracker):
    """Finds faces and their 478 points (468 and ten of the irises), with depth.

    ``static=True``: every picture stands alone; up to ``max_faces`` faces, the largest first.
    ``static=False``: pictures are successive frames; one face, the largest at first and then the same one, until it is
    lost or somebody else is much larger for a while.

    One instance belongs to one thread. ``close`` it, or use it in a ``with``.
    """

    def __init__(self, *, static: bool = False, max_faces: int = 1, confidence: float = 0.5) -> None:
        solutions = import_solutions()
        self.static = static
        self._following = False
        self._followed_area = 0.0
        self._rival_surveys = 0
        self._frames_since_survey = 0
        self._mesh_graph = MediaPipeGraph(
            run_in_calling_thread(solutions.face_mesh.FaceMesh),
            "multi_face_landmarks",
            static_image_mode=static,
            max_num_faces=max_faces if static else 1,
            refine_landmarks=True,
            min_detection_confidence=confidence,
            min_tracking_confidence=confidence,
        )
        self._face_detector: MediaPipeGraph | None = None
        if not static:
            self._face_detector = MediaPipeGraph(
                run_in_calling_thread(solutions.face_detection.FaceDetection),
                "detections",
                model_selection=0,
                min_detection_confidence=confidence,
            )
        super().__init__(*(graph for graph in (self._mesh_graph, self._face_detector) if graph is not None))

    def reset(self) -> None:
        """Forget the face that was followed."""
        self._following = False
        self._rival_surveys = self._frames_since_survey = 0
        if not self.static:
            self._mesh_graph.reset()

    def detect(self, image: Image, captured_ns: int = 0) -> list[Keypoints]:
        """Faces of ``image``, uint8 [H, W, 3] RGB, each as ``mesh478`` with B = 1; the one to use comes first.

        Coordinates are those of ``livehead.motion.keypoints``; points may lie outside [-1, 1] where a face is cut off.
        """
        if self.static:
            faces = self._detect_meshes(image) or self._detect_meshes_padded(image)
            faces.sort(key=_mesh_area, reverse=True)
        else:
            faces = self._track_face(image)
        return [mesh_keypoints(face, 1.0, captured_ns) for face in faces]

    def _track_face(self, image: Image) -> list[Array]:
        """The followed face of the next frame, or none."""
        self._frames_since_survey += 1
        if not self._following:
            boxes = self._detect_boxes(image)
            if not boxes:
                return []
            return self._update_tracking(self._detect_meshes(_mask_other_faces(image, boxes[1:], boxes[0])))
        if self._frames_since_survey >= _SURVEY_INTERVAL and self._is_overtaken(image):
            self.reset()
            return self._track_face(image)
        return self._update_tracking(self._detect_meshes(image))

    def _update_tracking(self, faces: list[Array]) -> list[Array]:
        self._following = bool(faces)
        if not faces:
            self._rival_surveys = 0
        self._followed_area = _mesh_area(faces[0]) if faces else 0.0
        return faces

    def _is_overtaken(self, image: Image) -> bool:
        """Tell whether another face has been much larger than the followed one for some surveys."""
        self._frames_since_survey = 0
        boxes = self._detect_boxes(image)
        # The followed face's own box is of its own area, give or take: only a clearly larger one can be another's.
        side = max(image.shape[:2])
        rival = len(boxes) > 1 and boxes[0].area * (2 / side) ** 2 > _RIVAL_AREA_RATIO * self._followed_area
        self._rival_surveys = self._rival_surveys + 1 if rival else 0
        return self._rival_surveys >= _RIVAL_SURVEYS

    def _detect_boxes(self, image: Image) -> list[FaceBox]:
        """Boxes of all faces, the largest first (about 1 ms)."""
        if self._face_detector is None:
            return []
        height, width = image.shape[:2]
        boxes = []
        for detection in self._face_detector.run(image) or ():
            box = detection.location_data.relative_bounding_box
            boxes.append(
                FaceBox(
                    box.xmin * width,
                    box.ymin * height,
                    (box.xmin + box.width) * width,
                    (box.ymin + box.height) * height,
                )
            )
        return sorted(boxes, key=lambda box: box.area, reverse=True)

    def _detect_meshes(self, image: Image) -> list[Array]:
        """Each face of the graph's answer as [478, 3] in coordinates of the picture's square."""
        height, width = image.shape[:2]
        return [_landmarks_to_mesh(face, width, height) for face in self._mesh_graph.run(image) or ()]

    def _detect_meshes_padded(self, image: Image) -> list[Array]:
        """Do as ``_detect_meshes``, with a margin, without which a face that fills the picture is easily missed."""
        side = max(image.shape[:2])
        margin = side // 4
        padded = np.pad(image, ((margin, margin), (margin, margin), (0, 0)), constant_values=127)
        growth = np.float32((side + 2 * margin) / side)  # the centre of the square stays
        return [face * growth for face in self._detect_meshes(padded)]


def _landmarks_to_mesh(face: Any, width: int, height: int) -> Array:
    """MediaPipe's landmarks to [478, 3]: x is a share of the width, y of the height, z of the width as x is."""
    points: npt.NDArray[np.float32] = np.array([(p.x, p.y, p.z) for p in face.landmark], np.float32).reshape(
        _POINT_COUNT, 3
    )
    side = max(width, height)
    points *= np.array([2 * width / side, 2 * height / side, 2 * width / side], np.float32)
    points -= np.array([width / side, height / side, 0], np.float32)
    return points


def _mesh_area(face: Array) -> float:
    """Area of the box around a face [478, 3], in units of the square's coordinates."""
    extent = face[:, :2].max(axis=0) - face[:, :2].min(axis=0)
    return float(extent[0] * extent[1])


def _mask_other_faces(image: Image, boxes: list[FaceBox], keep: FaceBox) -> Image:
    """``image`` with ``boxes`` painted grey, except where ``keep`` is, so that the graph finds only that face."""
    if not boxes:
        return image
    hidden = image.copy()
    for box in boxes:
        hidden[max(int(box.top), 0) : max(int(box.bottom), 0), max(int(box.left), 0) : max(int(box.right), 0)] = 127
    rows = slice(max(int(keep.top), 0), max(int(keep.bottom), 0))
    columns = slice(max(int(keep.left), 0), max(int(keep.right), 0))
    hidden[rows, columns] = image[rows, columns]
    return hidden
