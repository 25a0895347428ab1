"""Whether lips and eyes of a face are to be seen, or a mask, a hand, a cup or dark glasses are before them.

MediaPipe draws a mouth upon a mask and eyes upon dark glasses all the same. Here the colours at the points of its mesh
are compared: skin about the lips with skin about the eyes, lips with what surrounds them, eyes with their lids. Twenty
such measures and a logistic regression tell what is hidden. It was fitted on 290 portraits and stills free to use, in
many poses, lights and tones of skin, open, and with masks, hands, cups and dark glasses painted on. On 441 stills
of other people's clips it finds 97 of 100 things that are painted before lips, 98 of 100 dark glasses, and is wrong
about one mouth and no eyes that are open.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from livehead.frames import Image
from livehead.motion.easing import smoothstep
from livehead.motion.face.head import face_height, measure_head_angles
from livehead.motion.face.mesh import FACE_MESH
from livehead.motion.keypoints import Array, FaceSighting, Keypoints, to_pixels

_SIDE = 96  # pixels of the upright square in which colours are taken
_FACE_HEIGHTS = 1.5  # of the square, in heights of the face
_DARK = 12.0  # added to colours before logarithms, so that noise in the dark counts for little
_HIDDEN_SCORE, _OPEN_SCORE = 1.0, -0.5  # from which a thing is taken as hidden, and below which as open again
_LOOK_EVERY = 3  # frames from one look to the next: each takes half a millisecond
_EASE_S = 0.25  # in which a stand-in takes over from hidden lips and eyes, and gives back
_MAX_YAW = 35.0  # degrees; beyond, half of the mouth is hidden by the face itself
_MAX_SCORE = 3.0  # that counts: what is told changes as soon after sure looks as after very sure ones
_SMOOTHING = 0.35  # share of each new score in the one that counts


def _points(*numbers: int) -> npt.NDArray[np.intp]:
    return np.array(numbers, np.intp)


_LIPS = np.unique(FACE_MESH.mouth.lips)
_ABOUT_LIPS = _points(
    *(164, 167, 393, 165, 391, 92, 322, 186, 410, 57, 287, 43, 273),
    *(106, 335, 182, 406, 83, 313, 18, 200, 199, 201, 421, 204, 424),
)
_CHIN = _points(199, 175, 152, 148, 377, 171, 396, 208, 428, 194, 418, 32, 262)
_CHEEKS = _points(205, 425, 207, 427, 192, 416, 214, 434, 212, 432, 50, 280, 187, 411, 147, 376)
_FOREHEAD = _points(9, 8, 151, 107, 336, 108, 337, 66, 296, 69, 299, 168)
_UNDER_EYES = _points(118, 119, 120, 347, 348, 349, 100, 329, 101, 330)
_NOSE = _points(4, 5, 1, 195, 197)
_NOSTRILS = _points(79, 309, 166, 392)
_NOSE_BRIDGE = _points(168, 6)
_OPENINGS = tuple(np.unique(np.append(eye.opening, eye.iris[0])) for eye in (FACE_MESH.right_eye, FACE_MESH.left_eye))
_LIDS = tuple(np.setdiff1d(eye.lids, eye.opening) for eye in (FACE_MESH.right_eye, FACE_MESH.left_eye))

# In the order of _measure_lips and _measure_eyes; of logarithms of colours.
_LIP_WEIGHTS = np.array(
    [8.53, 3.881, 9.441, 3.633, -2.491, -10.91, -8.394, -4.901, -24.544, -38.19]
    + [-1.79, 15.241, -1.268, -3.804, -4.284, -10.684, 12.902, 7.163, 6.762],
    np.float32,
)
_LIP_BIAS = 4.479
_EYE_WEIGHTS = np.array(
    [-1.503, -1.379, -7.417, 7.018, 0.22, -2.41, -0.059, 1.044, -0.745, -1.407]
    + [-1.268, -12.168, -15.653, 1.127, -1.114, 1.537, -11.798, 1.085, 0.552, -2.152],
    np.float32,
)
_EYE_BIAS = 0.902


@dataclass(frozen=True, slots=True)
class FaceOcclusion:
    """Scores of lips and eyes, in logits: above 0 hidden rather than open, from 1 on hidden almost surely."""

    lips: float
    eyes: float

    @property
    def lips_hidden(self) -> bool:
        """Whether something is before the lips."""
        return self.lips > _HIDDEN_SCORE

    @property
    def eyes_hidden(self) -> bool:
        """Whether something is before the eyes."""
        return self.eyes > _HIDDEN_SCORE


def measure_occlusion(image: Image, face: Keypoints) -> FaceOcclusion:
    """Measure what is hidden of ``face``, a ``mesh478``, in ``image``, uint8 [H, W, 3] RGB."""
    height, width = image.shape[:2]
    colours = _read_colours(image, to_pixels(face.value[0], width, height))
    lips = float(_measure_lips(colours) @ _LIP_WEIGHTS) + _LIP_BIAS
    return FaceOcclusion(lips, float(_measure_eyes(colours) @ _EYE_WEIGHTS) + _EYE_BIAS)


class OcclusionTracker:
    """What is hidden of one face in successive pictures, without flicker. For one thread."""

    def __init__(self) -> None:
        self._scores: FaceOcclusion | None = None
        self.lips_hidden = False
        """Whether something has been before the lips for some pictures."""
        self.eyes_hidden = False
        """Whether something has been before the eyes for some pictures."""

    def reset(self) -> None:
        """Forget the face, as another one follows."""
        self._scores, self.lips_hidden, self.eyes_hidden = None, False, False

    def observe(self, image: Image, face: Keypoints) -> None:
        """Look at the next picture, uint8 [H, W, 3] RGB, and its ``face``; one turned far aside tells nothing new."""
        yaw, _, _ = measure_head_angles(face.points3d()[0])
        if abs(yaw) > _MAX_YAW:
            return
        now, last = measure_occlusion(image, face), self._scores
        if last is None:
            last = FaceOcclusion(0.0, 0.0)
        lips, eyes = (
            before + _SMOOTHING * (float(np.clip(new, -_MAX_SCORE, _MAX_SCORE)) - before)
            for before, new in ((last.lips, now.lips), (last.eyes, now.eyes))
        )
        self._scores = FaceOcclusion(lips, eyes)
        self.lips_hidden = lips > (_OPEN_SCORE if self.lips_hidden else _HIDDEN_SCORE)
        self.eyes_hidden = eyes > (_OPEN_SCORE if self.eyes_hidden else _HIDDEN_SCORE)


class HiddenPartMarker:
    """Marks in the motion of one face how much of lips and eyes is hidden, eased in and out. For one thread."""

    def __init__(self) -> None:
        self._tracker = OcclusionTracker()
        self._frames = 0
        self._last_ns = 0
        self._lips = self._eyes = 0.0

    def reset(self) -> None:
        """Forget the face, as another one follows."""
        self._tracker.reset()
        self._frames = 0

    def mark(self, image: Image, face: Keypoints) -> Keypoints:
        """Return ``face`` of the next picture, uint8 [H, W, 3] RGB, with what is hidden in its sighting."""
        if self._frames % _LOOK_EVERY == 0:
            self._tracker.observe(image, face)
        self._frames += 1
        step = min(max((face.captured_ns - self._last_ns) * 1e-9 / _EASE_S, 0.0), 1.0)
        self._last_ns = face.captured_ns
        self._lips, self._eyes = (
            min(max(share + (step if hidden else -step), 0.0), 1.0)
            for share, hidden in ((self._lips, self._tracker.lips_hidden), (self._eyes, self._tracker.eyes_hidden))
        )
        sighting = face.sighting or FaceSighting()
        marked = replace(sighting, lips_hidden=smoothstep(self._lips), eyes_hidden=smoothstep(self._eyes))
        return replace(face, sighting=marked)


def _read_colours(image: Image, places: Array) -> Array:
    """Return lightness, redness and blueness [478, 3], in logarithms, of ``image`` at ``places`` [478, 2] in pixels."""
    zoom = _SIDE / (_FACE_HEIGHTS * face_height(places))
    middle = places[:468].mean(axis=0)
    matrix = np.array([[zoom, 0, _SIDE / 2 - middle[0] * zoom], [0, zoom, _SIDE / 2 - middle[1] * zoom]], np.float32)
    # A large face is shrunk in two steps, so that fine texture averages out.
    times = 2 if zoom < 0.6 else 1
    size = (times * _SIDE, times * _SIDE)
    upright: npt.NDArray[Any] = cv2.warpAffine(
        image, times * matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    if times > 1:
        upright = cv2.resize(upright, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    smooth = cv2.blur(upright, (3, 3))
    cells = np.clip(np.rint(places @ matrix[:, :2].T + matrix[:, 2]), 0, _SIDE - 1).astype(np.intp)
    logs = np.log(smooth[cells[:, 1], cells[:, 0]].astype(np.float32) + _DARK)
    red, green, blue = logs.T
    return np.stack([logs.mean(axis=1), red - green, blue - green], axis=1)


def _measure_lips(colours: Array) -> Array:
    """Return the measures [19] that tell whether lips are hidden."""
    forehead, under_eyes, about, cheeks, chin, nose = (
        np.median(colours[part], axis=0) for part in (_FOREHEAD, _UNDER_EYES, _ABOUT_LIPS, _CHEEKS, _CHIN, _NOSE)
    )
    lips, around = colours[_LIPS], colours[_ABOUT_LIPS]
    seam = colours[FACE_MESH.mouth.inner, 0].mean() - colours[FACE_MESH.mouth.outer, 0].mean()
    measures = [
        *(min(_tint_gap(part, forehead), _tint_gap(part, under_eyes)) for part in (about, cheeks, chin)),
        abs(about[0] - under_eyes[0]),
        abs(cheeks[0] - under_eyes[0]),
        lips[:, 1].mean() - about[1],
        about[0] - lips[:, 0].mean(),
        abs(seam),
        *lips.std(axis=0)[:2],
        *around.std(axis=0)[:2],
        *_separation(lips, around),
        cheeks[1] - under_eyes[1],
        about[1] - forehead[1],
        _tint_gap(about, cheeks),
        _tint_gap(nose, forehead),
        colours[_NOSTRILS, 0].mean() - nose[0],
    ]
    return np.array(measures, np.float32)


def _measure_eyes(colours: Array) -> Array:
    """Return the measures [20] that tell whether eyes are hidden: larger, then smaller of both eyes, and the nose."""
    forehead, under_eyes, cheeks = (np.median(colours[part], axis=0) for part in (_FOREHEAD, _UNDER_EYES, _CHEEKS))
    both = []
    for opening, lids in zip(_OPENINGS, _LIDS, strict=True):
        eye, skin = colours[opening], colours[lids]
        both.append(
            [
                eye[:, 0].mean() - cheeks[0],
                skin[:, 0].mean() - cheeks[0],
                eye[:, 0].std(),
                skin[:, 0].std(),
                _tint_gap(np.median(skin, axis=0), cheeks),
                *_separation(eye, skin),
                eye[:, 0].max() - skin[:, 0].mean(),
                skin[:, 0].min() - cheeks[0],
            ]
        )
    right, left = np.array(both, np.float32)
    between = [under_eyes[0] - cheeks[0], colours[_NOSE_BRIDGE, 0].mean() - forehead[0]]
    return np.concatenate([np.maximum(right, left), np.minimum(right, left), np.array(between, np.float32)])


def _tint_gap(one: Array, other: Array) -> float:
    """Return how far the tints of two colours are apart, whatever their lightness."""
    return float(np.hypot(*(one - other)[1:]))


def _separation(inside: Array, outside: Array) -> Array:
    """Return how well lightness and redness [2] part two groups of colours: the gap of means over their spread."""
    gap = np.abs(inside.mean(axis=0) - outside.mean(axis=0))
    return np.asarray((gap / np.sqrt(inside.var(axis=0) + outside.var(axis=0) + 1e-3))[:2], np.float32)
