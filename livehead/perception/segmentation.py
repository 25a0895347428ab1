"""MediaPipe's selfie segmentation (bundled model, nothing is downloaded): where the person is in a picture."""

from __future__ import annotations

import cv2
import numpy as np

from livehead.frames import Image
from livehead.motion.keypoints import Array
from livehead.perception.mediapipe_runtime import MediaPipeGraph, MediaPipeTracker, import_solutions

# Of the longer side: how far an edge of the coarse mask is moved to meet an edge of the picture.
_EDGE_RADIUS_RATIO = 1 / 32
_MIN_EDGE_VARIANCE = 1e-4  # variance of intensity, in [0, 1] units squared, below which the picture has no edge to meet


class SelfieSegmenter(MediaPipeTracker):
    """Tells persons from background.

    ``refine=True`` lets the network's coarse edge (it sees 256 x 256) follow the picture's own, at about 10 ms for
    512 x 512: for photos. ``refine=False`` is for frames.

    One instance belongs to one thread. ``close`` it, or use it in a ``with``.
    """

    def __init__(self, *, refine: bool = True) -> None:
        self.refine = refine
        solution = import_solutions().selfie_segmentation.SelfieSegmentation
        self._graph = MediaPipeGraph(solution, "segmentation_mask", model_selection=0)
        super().__init__(self._graph)

    def segment_person(self, image: Image) -> Array:
        """Share of person in each pixel of ``image`` (uint8 [H, W, 3] RGB): float32 [H, W] in [0, 1]."""
        image = np.ascontiguousarray(image)
        coarse: Array = np.asarray(self._graph.run(image), np.float32)
        return _refine_edges(image, coarse) if self.refine else np.clip(coarse, 0, 1)


def _refine_edges(image: Image, coarse: Array) -> Array:
    """A mask [H, W] moved onto the edges of ``image`` nearby (He et al., "Guided image filtering", 2010).

    Where the network is sure, far from any edge of its own, it is left alone.
    """
    radius = max(2, round(max(image.shape[:2]) * _EDGE_RADIUS_RATIO))
    filtered = cv2.ximgproc.guidedFilter(image, coarse, radius, _MIN_EDGE_VARIANCE * 255**2)
    refined = np.clip((filtered - 0.15) / 0.7, 0, 1)  # the filter leaves a veil; take it off on both sides
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    inner, outer = cv2.erode(coarse, kernel), cv2.dilate(coarse, kernel)
    result: Array = np.where(inner > 0.9, 1.0, np.where(outer < 0.1, 0.0, refined)).astype(np.float32)
    return result
