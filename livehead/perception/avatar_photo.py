"""The photo of an avatar from whatever file a person has: a still, or the best picture of an animation or a video."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from livehead.frames import Image
from livehead.motion.face.head import face_height, measure_head_angles
from livehead.perception.face_detection import FaceFinder, fit_mesh
from livehead.perception.photo import check_photo, read_first_bytes, require_photo_file
from livehead.perception.photo_formats import is_video
from livehead.perception.photo_frames import PhotoFrame, read_photo_frames
from livehead.perception.photo_hints import lid_gap, lip_gap
from livehead.perception.video_stills import check_video_stills, read_video_stills

_NEUTRAL_PITCH = 7.0  # degrees: what a mesh of a face that looks into the camera measures
_MAX_TURN = 50.0  # degrees of yaw, pitch and roll together from which a face is no better than none
_OPEN_LIDS, _CLOSED_LIPS = 0.25, 0.12  # gaps over widths from which an eye is open, and up to which a mouth is shut
_JUDGED_SIDE = 128  # pixels from forehead to chin: sharpness is measured at one size


def check_avatar_photo(path: Path) -> None:
    """Look at the header alone of a file that ``read_avatar_photo`` reads. Raises: SourceError."""
    require_photo_file(path)
    if is_video(read_first_bytes(path)):
        check_video_stills(path)
    else:
        check_photo(path)


def read_avatar_photo(path: Path) -> PhotoFrame:
    """The picture of a file that becomes the avatar: uint8 [H, W, 3] RGB, as ``read_photo`` gives it.

    Of an animation or a video it is the one with the sharpest, most frontal face with open eyes and closed lips, among
    at most ``MAX_FRAMES``. Raises: SourceError.
    """
    require_photo_file(path)
    return choose_best_frame(read_video_stills(path) if is_video(read_first_bytes(path)) else read_photo_frames(path))


def choose_best_frame(frames: Sequence[PhotoFrame]) -> PhotoFrame:
    """The one of ``frames`` that makes the best avatar; the first of those without a face, if all are."""
    if len(frames) == 1:
        return frames[0]
    with FaceFinder() as finder:
        for parts in (1, 2):  # faces that are far away are searched for where there are no near ones
            ratings = [_rate_face(frame.image, finder, parts) for frame in frames]
            if any(ratings):
                break
    return frames[int(np.argmax(ratings))]


def _rate_face(image: Image, finder: FaceFinder, parts: int) -> float:
    """How good an avatar the largest face of a picture makes, from 0 (there is none) upwards; sharpness has no end."""
    faces = finder.find_in_tiles(image, -(-max(image.shape[:2]) // parts))
    fit = fit_mesh(image, faces[0]) if faces else None
    if fit is None:
        return 0.0
    turn = np.array(measure_head_angles(fit.points)) - (0, _NEUTRAL_PITCH, 0)
    frontal = max(1 - float(np.linalg.norm(turn)) / _MAX_TURN, 0.01)
    eyes = min(lid_gap(fit.points) / _OPEN_LIDS, 1.0)
    lips = 1 - min(max(lip_gap(fit.points) - _CLOSED_LIPS, 0.0), 0.5)
    return max(fit.confidence, 0.01) * frontal * eyes * lips * _measure_sharpness(image, fit.points)


def _measure_sharpness(image: Image, points: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> float:
    """Detail of the face, at one size: more in a sharp picture than in one that moves or is out of focus."""
    low = np.maximum(points[:, :2].min(axis=0), 0).astype(int)
    high = points[:, :2].max(axis=0).astype(int) + 1
    face = image[low[1] : high[1], low[0] : high[0]]
    if face.size == 0:
        return 0.01
    scale = min(_JUDGED_SIDE / max(face_height(points), 1.0), 1.0)
    size = (max(round(face.shape[1] * scale), 1), max(round(face.shape[0] * scale), 1))
    grey = cv2.cvtColor(cv2.resize(face, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    height_share = min(face_height(points) / _JUDGED_SIDE, 1.0)
    return float(cv2.Laplacian(grey, cv2.CV_32F).std()) * height_share
