"""All faces of a photo with their meshes, and the one of them that a person names: the largest, the left one, ..."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from livehead.config import FaceChoice
from livehead.errors import SourceError
from livehead.frames import Image
from livehead.motion.face.head import measure_head_angles
from livehead.perception.face_detection import (
    DetectedFace,
    FaceFinder,
    FittedMesh,
    fit_mesh,
    overlap,
    search_tile_sides,
)

HIGH_CONFIDENCE = 0.66
"""Trust in a mesh from which no other way of holding the photo needs to be tried."""

_SIDEWAYS_ROLL = 60  # degrees of roll from which a photo counts as turned, not the head as tilted
_MIN_FURTHER_CONFIDENCE = 0.5  # trust in a further face: below, a pattern might be told as a second person
_SAME_FACE = 0.3  # of the smaller box, from which two boxes overlap because they are of one face
_MAX_FITTED_FACES = 30  # of a crowd, only so many of the largest are offered


@dataclass(frozen=True, slots=True, eq=False)
class PhotoFace:
    """A face of a photo: where the detector sees it, and its mesh in pixels of the photo."""

    detected: DetectedFace
    mesh: FittedMesh

    @property
    def centre_x(self) -> float:
        """The middle of the mesh in pixels from the left, by which faces are counted."""
        return float(self.mesh.points[:, 0].mean())

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, width and height in pixels of the face from forehead to chin."""
        (left, top), (right, bottom) = self.mesh.points[:, :2].min(axis=0), self.mesh.points[:, :2].max(axis=0)
        return float(left), float(top), float(right - left), float(bottom - top)


def find_photo_faces(photo: Image) -> list[PhotoFace]:
    """The faces of a photo, uint8 [H, W, 3] RGB, that a mesh fits and that stand upright; the largest comes first.

    Where there is none in the photo as a whole, small ones are searched for in ever smaller parts of it. Beside those
    that are found, others are searched for in parts of the next size.
    """
    faces: list[PhotoFace] = []
    with FaceFinder() as finder:
        for side in search_tile_sides(photo.shape[1], photo.shape[0]):
            known, found = faces, finder.find_in_tiles(photo, side)
            new = [face for face in found if all(overlap(face, other.detected) < _SAME_FACE for other in known)]
            faces = _fit_faces(photo, new, finder, known, in_tiles=side < max(photo.shape[:2]))
            if known:
                break
    return faces


def find_faces_in_bad_light(photo: Image) -> list[PhotoFace]:
    """Do as ``find_photo_faces`` where light hides the faces: in copies of the photo with its differences enlarged.

    The darkest channel of overexposed skin is the last to be lost, and equalising neighbourhoods shows what is left.
    """
    adjustments: tuple[Callable[[Image], Image], ...] = (_take_darkest_channel, _equalize_neighbourhoods)
    for adjust in adjustments:
        faces = find_photo_faces(adjust(photo))
        if faces and faces[0].mesh.confidence > 0:
            return faces
    return []


def choose_face(faces: Sequence[PhotoFace], choice: FaceChoice, name: str) -> tuple[PhotoFace, int]:
    """The face of ``faces``, the largest first, that ``choice`` names, and its number from the left (1 is the first).

    Raises: SourceError where there are fewer faces than the number says.
    """
    in_order = sorted(faces, key=lambda face: face.centre_x)
    if choice == "largest":
        return faces[0], in_order.index(faces[0]) + 1
    if isinstance(choice, int) and choice > len(in_order):
        there = "there is one face" if len(in_order) == 1 else f"there are {len(in_order)} faces"
        raise SourceError(
            f"There is no face {choice} in {name}: {there}",
            f"choose one from 1 to {len(in_order)}, counted from the left" if len(in_order) > 1 else "leave --face out",
            subject=name,
        )
    number = 1 if choice == "left" else len(in_order) if choice == "right" else choice
    return in_order[number - 1], number


def _fit_faces(
    photo: Image, detected: Sequence[DetectedFace], finder: FaceFinder, known: Sequence[PhotoFace], *, in_tiles: bool
) -> list[PhotoFace]:
    """``known``, and the detected faces that a mesh fits; all but the first only where the mesh is trusted.

    Faces that were small where they were detected (``in_tiles``, or beside a larger one) get a second look from nearby.
    """
    fitted = list(known)
    for face in detected[:_MAX_FITTED_FACES]:
        found = _fit_upright(photo, face)
        if found and found.mesh.confidence < HIGH_CONFIDENCE and (in_tiles or fitted):
            closer = finder.find_close_up(photo, face)
            found = max(filter(None, (found, _fit_upright(photo, closer) if closer else None)), key=_confidence)
        if found and (not fitted or found.mesh.confidence >= _MIN_FURTHER_CONFIDENCE):
            fitted.append(found)
    if len(fitted) > 1 and fitted[0].mesh.confidence < _MIN_FURTHER_CONFIDENCE:
        del fitted[0]  # a pattern, larger than the faces
    return fitted


def _confidence(face: PhotoFace) -> float:
    return face.mesh.confidence


def _fit_upright(photo: Image, face: DetectedFace) -> PhotoFace | None:
    mesh = fit_mesh(photo, face)
    if mesh is None or abs(measure_head_angles(mesh.points)[2]) >= _SIDEWAYS_ROLL:
        return None
    return PhotoFace(face, mesh)


def _take_darkest_channel(photo: Image) -> Image:
    return np.repeat(photo.min(axis=2)[:, :, None], 3, axis=2)


def _equalize_neighbourhoods(photo: Image) -> Image:
    lab = cv2.cvtColor(photo, cv2.COLOR_RGB2LAB)
    lab[:, :, 0] = cv2.createCLAHE(10.0, (8, 8)).apply(lab[:, :, 0])
    return np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), np.uint8)
