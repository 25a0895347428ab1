"""MediaPipe's pose (bundled models, nothing is downloaded) as OpenPose's 25 body parts."""

from __future__ import annotations

import cv2
import numpy as np

from livehead.frames import Image
from livehead.motion.body import BODY25, BODY25_POINTS, BodyPose, PersonKeypoints
from livehead.motion.keypoints import Array, to_pixels
from livehead.perception.mediapipe_runtime import (
    MediaPipeGraph,
    MediaPipeTracker,
    import_solutions,
    run_in_calling_thread,
)

_MODEL_COMPLEXITY = 1  # the one of MediaPipe's three networks that its package contains
_MAX_INPUT_SIDE = 640  # pixels: the networks see 224 and 256
_LANDMARK_COUNT = 33
_MAX_OUTSIDE = 1.1  # in the square's coordinates: a point further out is a guess about what is not in the picture

# MediaPipe's landmarks by OpenPose's part; two are taken in their middle. It knows no small toes (19 to 24: LBigToe,
# LSmallToe, LHeel, RBigToe, RSmallToe, RHeel).
_LANDMARKS_BY_PART: dict[int, tuple[int, ...]] = {
    0: (0,),
    1: (11, 12),
    2: (12,),
    3: (14,),
    4: (16,),
    5: (11,),
    6: (13,),
    7: (15,),
    8: (23, 24),
    9: (24,),
    10: (26,),
    11: (28,),
    12: (23,),
    13: (25,),
    14: (27,),
    15: (5,),
    16: (2,),
    17: (8,),
    18: (7,),
    19: (31,),
    21: (29,),
    22: (32,),
    24: (30,),
}


def _build_part_weights() -> Array:
    """[25, 33]: the weights of the landmarks in each part."""
    weights = np.zeros((BODY25_POINTS, _LANDMARK_COUNT), np.float32)
    for part, sources in _LANDMARKS_BY_PART.items():
        weights[part, list(sources)] = 1 / len(sources)
    return weights


_PART_WEIGHTS = _build_part_weights()
_KNOWN_PARTS = _PART_WEIGHTS.sum(axis=1) > 0


class BodyPoseTracker(MediaPipeTracker):
    """Finds one person, the most evident, as ``body25`` with depth.

    ``static=True``: every picture stands alone. ``static=False``: pictures are successive frames, and the person is
    followed until lost. One instance belongs to one thread. ``close`` it, or use it in a ``with``.
    """

    def __init__(self, *, static: bool = False, confidence: float = 0.5) -> None:
        self._static = static
        self._graph = MediaPipeGraph(
            run_in_calling_thread(import_solutions().pose.Pose),
            "pose_landmarks",
            static_image_mode=static,
            model_complexity=_MODEL_COMPLEXITY,
            smooth_landmarks=False,  # what is smoothed here is not delayed twice
            min_detection_confidence=confidence,
            min_tracking_confidence=confidence,
        )
        super().__init__(self._graph)

    def reset(self) -> None:
        """Forget the person that was followed."""
        if not self._static:
            self._graph.reset()

    def detect(self, image: Image, captured_ns: int = 0) -> BodyPose | None:
        """The person in ``image``, uint8 [H, W, 3] RGB or [H, W, 4] with straight alpha, B = 1; None without one.

        Points may lie outside [-1, 1] where the person is cut off; far outside, their confidence is 0.
        """
        height, width = image.shape[:2]
        found = self._graph.run(_to_network_input(image))
        if found is None:
            return None
        marks = np.array([(p.x, p.y, p.z, p.visibility) for p in found.landmark], np.float32)
        side = max(width, height)
        marks[:, :3] *= np.array([2 * width / side, 2 * height / side, 2 * width / side], np.float32)
        marks[:, :2] -= np.array([width / side, height / side], np.float32)
        parts = _PART_WEIGHTS @ marks
        outside = np.abs(parts[:, :2]) > _MAX_OUTSIDE * np.array([width / side, height / side], np.float32)
        confidence = np.where(_KNOWN_PARTS & ~outside.any(axis=1), _min_visibility(marks[:, 3]), 0).clip(0, 1)
        return BodyPose(BODY25, parts[None, :, :2], parts[None, :, 2], confidence[None].astype(np.float32), captured_ns)


def to_person(pose: BodyPose, width: int, height: int, min_confidence: float = 0.0) -> PersonKeypoints:
    """The first body of ``pose`` in pixels of a ``width`` x ``height`` picture.

    Points that are no surer than ``min_confidence`` are zeros.
    """
    pixels = to_pixels(pose.value[0], width, height)
    sure = pose.confidence[0]
    points = np.concatenate([pixels, sure[:, None]], axis=1).astype(np.float32)
    return PersonKeypoints(
        pose.set, np.where((sure > min_confidence)[:, None], points, 0).astype(np.float32), float(sure.mean())
    )


def _min_visibility(visibility: Array) -> Array:
    """[25]: of each part the visibility of the less visible of its landmarks."""
    lowest: Array = np.where(_PART_WEIGHTS > 0, visibility, np.inf).min(axis=1)
    return np.where(np.isfinite(lowest), lowest, 0)


def _to_network_input(image: Image) -> Image:
    """Return what the networks need of ``image``: RGB over mid grey, no larger than is of use to them."""
    if image.shape[2] == 4:
        alpha = image[..., 3:].astype(np.uint16)
        image = ((image[..., :3] * alpha + 128 * (255 - alpha)) // 255).astype(np.uint8)
    scale = _MAX_INPUT_SIDE / max(image.shape[:2])
    if scale < 1:
        size = (max(round(image.shape[1] * scale), 1), max(round(image.shape[0] * scale), 1))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    return np.ascontiguousarray(image)
