"""What could be better about a photo: one plain sentence each. A hint stops nobody; errors do that, elsewhere.

The limits were set by looking at 128 portraits: what lies beyond them is seen in the animation.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from livehead.frames import Image
from livehead.motion.face.head import face_height, measure_head_angles
from livehead.motion.face.mesh import FACE_MESH, EyeIndices
from livehead.motion.keypoints import Array, Keypoints, to_pixels
from livehead.perception.face_occlusion import measure_occlusion

_MIN_FACE_PIXELS = 128  # from forehead to chin
_MAX_YAW, _MAX_ROLL, _PITCH_RANGE = 20.0, 12.0, (-13.0, 27.0)  # degrees
_MAX_LIP_GAP = 0.12  # gap of the lips over the width of the mouth
_MIN_LID_GAP = 0.16  # gap of the lids over the width of the eye
_MIN_SHARPNESS = 0.2  # detail over contrast about the eyes
_MIN_BRIGHTNESS = 105  # of 255, of the face's lit parts; skin of every colour has some brighter ones in good light
_WHITE, _MAX_WHITE_AREA = 250, 0.2  # of 255 in every channel; share of the face from which it is overexposed
_MAX_GLARE_AREA = 0.02  # of the area about the eyes
_HIDDEN_LIPS_SCORE, _HIDDEN_EYES_SCORE = 1.5, -0.5  # of measure_occlusion: no open face among 488 pictures has more
_JUDGED_FACE_PIXELS = 192  # from forehead to chin: pictures are judged at one size, so that limits fit them all


def photo_hints(image: Image, motion: Keypoints, photo_side: int) -> tuple[str, ...]:
    """Hints on a crop ``image`` uint8 [S, S, 3] RGB with its mesh; ``photo_side``: the crop's side in photo pixels."""
    points = motion.points3d()[0]
    height = face_height(points) / 2 * photo_side
    small = _resize_to_judge(image, points, height)
    occlusion = measure_occlusion(small, motion)
    lips_hidden, eyes_hidden = occlusion.lips > _HIDDEN_LIPS_SCORE, occlusion.eyes > _HIDDEN_EYES_SCORE
    hints = []
    if height < _MIN_FACE_PIXELS:
        hints.append(f"The face is only {height:.0f} pixels high; a larger photo gives a sharper avatar.")
    if lips_hidden:
        hints.append("A mask or a hand hides the mouth, so that one would be painted upon it; use a photo without.")
    if eyes_hidden:
        hints.append("Dark glasses hide the eyes; a photo without them animates better.")
    expression = _expression_hints(points, lips_seen=not lips_hidden, eyes_seen=not eyes_hidden)
    return (*hints, *_pose_hints(points), *expression, *_image_hints(small, motion, eyes_seen=not eyes_hidden))


def _resize_to_judge(image: Image, points: Array, photo_face_height: float) -> Image:
    """The picture with the face at the size that it is judged at, or at the photo's own if that is smaller."""
    side = max(round(min(_JUDGED_FACE_PIXELS, photo_face_height) * 2 / face_height(points)), 8)
    how = cv2.INTER_AREA if side < image.shape[0] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (side, side), interpolation=how), np.uint8)


def _pose_hints(points: Array) -> list[str]:
    yaw, pitch, roll = measure_head_angles(points)
    hints = []
    if abs(yaw) > _MAX_YAW:
        hints.append("The head is turned to the side; a photo that looks into the camera animates better.")
    if not _PITCH_RANGE[0] < pitch < _PITCH_RANGE[1]:
        way = "raised" if pitch < 0 else "lowered"
        hints.append(f"The chin is {way}; a photo at eye level animates better.")
    if abs(roll) > _MAX_ROLL:
        hints.append("The head is tilted; a photo with level eyes animates better.")
    return hints


def _expression_hints(points: Array, *, lips_seen: bool, eyes_seen: bool) -> list[str]:
    hints = []
    if lips_seen and lip_gap(points) > _MAX_LIP_GAP:
        hints.append("The mouth is open; a photo with closed lips animates better.")
    if eyes_seen and lid_gap(points) < _MIN_LID_GAP:
        hints.append("An eye is nearly closed; a photo with open eyes animates better.")
    return hints


def lip_gap(points: Array) -> float:
    """How far the lips of a mesh [478, 3] are apart, over the width of the mouth."""
    return _relative_gap(points, FACE_MESH.mouth.upper, FACE_MESH.mouth.lower)


def lid_gap(points: Array) -> float:
    """How far the lids of a mesh [478, 3] are apart, over the width of the eye, at the eye that is less open."""
    return min(_relative_gap(points, eye.upper, eye.lower) for eye in (FACE_MESH.right_eye, FACE_MESH.left_eye))


def _relative_gap(points: Array, upper: npt.NDArray[np.int32], lower: npt.NDArray[np.int32]) -> float:
    middle, width = len(upper) // 2, float(np.linalg.norm(points[upper[0]] - points[upper[-1]]))
    return float(np.linalg.norm(points[upper[middle]] - points[lower[middle]])) / max(width, 1e-9)


def _image_hints(small: Image, motion: Keypoints, *, eyes_seen: bool) -> list[str]:
    """Sharpness, light and reflections of a picture uint8 [S, S, 3] RGB of the judged size."""
    side = small.shape[0]
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    places = to_pixels(motion.value[0], side, side)
    face, eyes = _fill_polygon(places[FACE_MESH.oval], side), np.zeros((side, side), bool)
    for eye in (FACE_MESH.right_eye, FACE_MESH.left_eye):
        eyes |= _fill_polygon(cv2.convexHull(places[_eye_region(eye)])[:, 0].astype(np.float32), side)
    if not face.any() or not eyes.any():
        return []  # a face outside the picture says nothing about it
    hints = []
    detail = cv2.Laplacian(grey, cv2.CV_32F)[eyes].std()
    if eyes_seen and detail < _MIN_SHARPNESS * max(float(grey[eyes].std()), 1.0):
        hints.append("The photo is out of focus; a sharp one gives a sharper avatar.")
    if np.percentile(grey[face], 95) < _MIN_BRIGHTNESS:
        hints.append("The face is poorly lit; a brighter photo gives a better avatar.")
    if (small.min(axis=2)[face] >= _WHITE).mean() > _MAX_WHITE_AREA:
        return [*hints, "The face is overexposed; a photo with less light on it gives a better avatar."]
    white = small.min(axis=2) > max(min(float(np.median(grey[eyes])) + 70, 250), 225)
    if eyes_seen and white[eyes].mean() > _MAX_GLARE_AREA:
        hints.append("Something shines before the eyes; a photo without reflections in glasses animates better.")
    return hints


def _eye_region(eye: EyeIndices) -> npt.NDArray[np.int32]:
    return np.concatenate([eye.lids, eye.brow])


def _fill_polygon(outline: Array, side: int) -> npt.NDArray[np.bool_]:
    """Mask [side, side] of a polygon [n, 2] in pixels."""
    mask = np.zeros((side, side), np.uint8)
    cv2.fillPoly(mask, [np.rint(outline).astype(np.int32)], [1])
    return mask.astype(bool)
