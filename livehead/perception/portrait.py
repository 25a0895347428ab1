"""A portrait: one photo with its face found, a square cut about head and shoulders, and the mesh in that square."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from livehead.config import FaceChoice
from livehead.errors import NoFaceError, SourceError
from livehead.frames import Image
from livehead.motion.face.head import face_height, measure_head_angles
from livehead.motion.keypoints import Array, Keypoints, mesh_keypoints
from livehead.perception.cutout import is_cutout, split_cutout
from livehead.perception.face_detection import find_faces
from livehead.perception.photo_faces import (
    HIGH_CONFIDENCE,
    PhotoFace,
    choose_face,
    find_faces_in_bad_light,
    find_photo_faces,
)
from livehead.perception.photo_hints import photo_hints
from livehead.perception.pixel_square import PixelSquare

_MAX_SIDE, _MIN_SIDE = 1024, 256  # side of the crop picture in pixels
_FACE_SHARE = 0.49  # forehead to chin over the side of the crop: a little wider than the clips that models learn from
_HAIR_MARGIN = 0.06  # of the side: how much the crop is raised, so that hair that moves stays inside it
_MIN_CROP_RATIO = 1.25  # a crop is never narrower than this many times the face, even where it leaves the photo
_MIN_FACE_PIXELS = 40  # pixels from forehead to chin; below, eyes and mouth are a handful of pixels each
_MAX_YAW = 50  # degrees; beyond, the far eye is hidden and the mesh guesses
_WHITE, _WASHED_OUT_SHARE = 250, 0.3  # of 255 in every channel; share of the photo from which it is overexposed
_LOW_CONFIDENCE = 0.6  # trust below which paintings and half-hidden faces were sometimes read wrong


@dataclass(frozen=True, slots=True, eq=False)
class Portrait:
    """The source of an avatar.

    ``photo`` uint8 [H, W, 3] RGB upright; ``crop`` a square of it; ``image`` uint8 [S, S, 3] RGB the crop resampled
    (256 <= S <= 1024, otherwise at the photo's own resolution); ``motion`` the face mesh in the crop's coordinates
    (B = 1); ``hints`` what could be better, a sentence each; ``digest`` of the photo as given (``photo_digest``).
    ``face_boxes``: left, top, width and height of every face in pixels of ``photo``, counted from the left;
    ``face_number`` is the one that was taken, where 1 is the first. ``cutout``: uint8 [H, W], the alpha of a photo that
    was cut out before, None of a whole one; the colours of what is transparent are those of the person's edge.
    """

    name: str
    photo: Image
    crop: PixelSquare
    image: Image
    motion: Keypoints
    hints: tuple[str, ...]
    digest: str
    face_boxes: tuple[tuple[float, float, float, float], ...] = ()
    face_number: int = 1
    cutout: Image | None = None

    def crop_cutout(self, side: int) -> Array | None:
        """The alpha of a cut-out photo in the square, float32 [side, side] in [0, 1]; None of a whole photo."""
        if self.cutout is None:
            return None
        return (cut_portrait(self.cutout, self.crop, side) / np.float32(255)).astype(np.float32)

    @property
    def face_note(self) -> str:
        """A sentence on which face was taken, empty for a photo of one person."""
        if len(self.face_boxes) < 2:
            return ""
        return f"There are {len(self.face_boxes)} faces in the photo; number {self.face_number} from the left is used."


def photo_digest(photo: Image) -> str:
    """Sha256 over size and pixels: what tells one photo from another, whatever file it came in."""
    digest = hashlib.sha256(repr(photo.shape).encode())
    digest.update(np.ascontiguousarray(photo).data)
    return digest.hexdigest()


def prepare_portrait(
    photo: Image, name: str, crop: Literal["auto", "whole"] = "auto", face: FaceChoice = "largest"
) -> Portrait:
    """Find the face of ``photo`` (uint8 [H, W, 3] RGB, or [H, W, 4] RGBA of a cut-out one) and cut the portrait.

    ``crop``: ``auto`` takes head and shoulders; ``whole`` takes a square picture as it is (of another one, the square
    over its longer side). ``face``: which one of several.

    Raises: NoFaceError, SourceError (face too small, in profile, or not there).
    """
    colours, alpha = split_cutout(photo) if is_cutout(photo) else (photo[..., :3], None)
    upright, turns, faces, notes = _find_upright_faces(np.ascontiguousarray(colours), name)
    chosen, number = choose_face(faces, face, name)
    points = chosen.mesh.points
    _require_usable_face(points, name)
    height, width = upright.shape[:2]
    square = _whole_photo_crop(width, height) if crop == "whole" else propose_crop(points, width, height)
    side = square.side if crop == "whole" else min(max(square.side, _MIN_SIDE), _MAX_SIDE)
    image = cut_portrait(upright, square, min(side, _MAX_SIDE))
    motion = mesh_keypoints(_to_crop_coordinates(points, square), 1.0, 0)
    return Portrait(
        name=name,
        photo=upright,
        crop=square,
        image=image,
        motion=motion,
        hints=(*notes, *photo_hints(image, motion, photo_side=square.side)),
        digest=photo_digest(photo),
        face_boxes=tuple(sorted((each.box for each in faces), key=lambda box: box[0] + box[2] / 2)),
        face_number=number,
        cutout=None if alpha is None else np.ascontiguousarray(np.rot90(alpha, turns)),
    )


def cut_portrait(photo: Image, square: PixelSquare, side: int) -> Image:
    """The content of ``square`` resampled to ``side`` x ``side``, a new uint8 array with ``photo``'s channels.

    Outside the photo its edge goes on.
    """
    content = square.extract_repeating_edge(photo)
    if side == square.side:
        return content.copy()
    how = cv2.INTER_AREA if side < square.side else cv2.INTER_CUBIC
    return cv2.resize(content, (side, side), interpolation=how).astype(np.uint8, copy=False)


def propose_crop(points: Array, width: int, height: int) -> PixelSquare:
    """Head and shoulders about a mesh [478, 3] in pixels of a ``width`` x ``height`` photo; inside it if possible."""
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    tightest = _MIN_CROP_RATIO * float((high - low).max())
    wanted = max(face_height(points) / _FACE_SHARE, 1.35 * float((high - low).max()))
    side = int(round(max(tightest, min(wanted, width, height))))
    centre = (low + high) / 2 - np.array([0, _HAIR_MARGIN * side], np.float32)
    left, top = (int(round(float(c) + 0.5 - side / 2)) for c in centre)
    return PixelSquare(_keep_inside(left, side, width), _keep_inside(top, side, height), side)


def _keep_inside(start: int, side: int, length: int) -> int:
    if side <= length:
        return max(0, min(start, length - side))
    return max(length - side, min(start, 0))  # sticks out, but no further than it must


def _whole_photo_crop(width: int, height: int) -> PixelSquare:
    side = max(width, height)
    return PixelSquare(-((side - width) // 2), -((side - height) // 2), side)


def _to_crop_coordinates(points: Array, crop: PixelSquare) -> Array:
    """Mesh [478, 3] in photo pixels to the crop's [-1, 1]; depth in the same unit."""
    origin = np.array([crop.left - 0.5, crop.top - 0.5, 0], np.float32)
    return ((points - origin) * (2 / crop.side) - np.array([1, 1, 0], np.float32)).astype(np.float32)


def _find_upright_faces(photo: Image, name: str) -> tuple[Image, int, list[PhotoFace], tuple[str, ...]]:
    """The photo the right way up, by how many quarter turns, its faces, the largest first, and what to say about it."""
    found: list[tuple[float, int, list[PhotoFace]]] = []
    for turns in (0, 1, 3, 2):
        faces = find_photo_faces(np.ascontiguousarray(np.rot90(photo, turns)))
        # Networks read faces into photos held wrong, with some doubt: only a certain face turns a photo.
        if faces and (turns == 0 or faces[0].mesh.confidence > HIGH_CONFIDENCE):
            found.append((faces[0].mesh.confidence, turns, faces))
            if faces[0].mesh.confidence > HIGH_CONFIDENCE:
                break
    if not found and (faces := find_faces_in_bad_light(photo)):
        found.append((faces[0].mesh.confidence, 0, faces))
    if not found:
        raise _no_face_error(photo, name)
    trust, turns, faces = max(found, key=lambda each: each[0])
    notes = []
    if trust < _LOW_CONFIDENCE:
        notes.append("The face is hard to make out; a clearer photo may animate better.")
    if turns:
        notes.append("The photo lay on its side or upside down and was turned upright.")
    return np.ascontiguousarray(np.rot90(photo, turns)), turns, faces, tuple(notes)


def _no_face_error(photo: Image, name: str) -> NoFaceError:
    """The error for a photo in which no face can be used, with what is most likely wrong with it."""
    if np.percentile(photo.min(axis=2), 100 * (1 - _WASHED_OUT_SHARE)) >= _WHITE:
        seen, remedy = "No face can be made out", "use a photo with less light on the face: this one is overexposed"
    elif find_faces(photo):
        seen = "A face in profile, or half hidden, is all that was found"
        remedy = "use a photo of one person who looks into the camera, well lit"
    else:
        seen, remedy = "No face was found", "use a photo of one person who looks into the camera, well lit"
    return NoFaceError(f"{seen} in {name}", remedy, subject=name)


def _require_usable_face(points: Array, name: str) -> None:
    face = face_height(points)
    if face < _MIN_FACE_PIXELS:
        raise SourceError(
            f"The face in {name} is only {face:.0f} pixels high",
            "use a closer or larger photo; 250 pixels from forehead to chin are good",
            subject=name,
        )
    yaw = measure_head_angles(points)[0]
    if abs(yaw) > _MAX_YAW:
        raise SourceError(
            f"The face in {name} is seen from the side ({abs(yaw):.0f} degrees)",
            "use a photo in which the person looks into the camera",
            subject=name,
        )
