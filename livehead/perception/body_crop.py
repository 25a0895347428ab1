"""Which square of a photo shows a person, by the rules that PIFuHD was trained with.

Points are those of OpenPose's BODY_25: float [25, 3], x and y in pixels, and a score (0: not found).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from livehead.errors import SourceError
from livehead.perception.pixel_square import PixelSquare

Body25Points: TypeAlias = npt.NDArray[np.float32]
"""[25, 3]: x, y in pixels, score."""

_NOSE, _NECK, _RIGHT_SHOULDER, _LEFT_SHOULDER, _MID_HIP = 0, 1, 2, 5, 8
_FEET_JOINTS = (11, 19, 21, 22)  # right ankle, left big toe, left heel, right big toe
_FACE_JOINTS = (0, 15, 16, 17, 18)  # nose, eyes, ears
_MIN_SCORE, _CONFIDENT_SCORE = 0.2, 0.5


def crop_full_body(points: Body25Points) -> PixelSquare:
    """Head to feet with about 30 % around; without feet, what is there about the hip. Raises: SourceError."""
    if (points[list(_FEET_JOINTS), 2] > _CONFIDENT_SCORE).any():
        found = points[points[:, 2] > _MIN_SCORE, :2]
        low, high = found.min(axis=0), found.max(axis=0)
        return _square_about((0.5 * (low + high)).astype(int), int(0.65 * (high - low).max()))
    if points[_MID_HIP, 2] <= 0:
        raise SourceError("neither feet nor hips are in the photo", "use a photo of the whole person")
    centre = points[_MID_HIP, :2].astype(int)
    radius = int(1.45 * _max_joint_distance(points, centre))
    return _square_about(centre + (0, int(0.05 * radius)), radius)


def crop_upper_body(points: Body25Points) -> PixelSquare:
    """Head to hips about the neck. Raises: SourceError."""
    if points[_NECK, 2] <= _MIN_SCORE:
        raise SourceError("neck and shoulders are not in the photo", "use a photo of the whole person")
    neck = points[_NECK, :2]
    centre = neck.astype(int)

    def far(joint: int) -> float:
        return float(np.linalg.norm(points[joint, :2] - neck)) if points[joint, 2] > _MIN_SCORE else 0.0

    if points[_MID_HIP, 2] > _MIN_SCORE:
        return _square_about(centre, int(0.8 * far(_MID_HIP)))
    reach = max(far(_NOSE) / 0.4, far(_RIGHT_SHOULDER) / 0.3, far(_LEFT_SHOULDER) / 0.3)
    return _square_about(centre, int(0.8 * reach))


def crop_face(points: Body25Points) -> PixelSquare:
    """The head. Raises: SourceError."""
    seen = points[[joint for joint in _FACE_JOINTS if points[joint, 2] > _MIN_SCORE], :2]
    if not len(seen):
        raise SourceError("no face is in the photo", "use a photo that shows it")
    centre = seen.mean(axis=0).astype(int)
    # Not the farthest point's distance: the published sum runs over the points, separately for x and y.
    return _square_about(centre, int(1.4 * np.sqrt(((seen - centre) ** 2).sum(axis=0)).max()))


def find_tallest(people: Sequence[Body25Points]) -> Body25Points | None:
    """The person whose sure joints reach highest; None where nobody has any."""
    heights = [
        np.ptp(sure[:, 1]) if len(sure := person[person[:, 2] > _CONFIDENT_SCORE]) else -1.0 for person in people
    ]
    if not heights or max(heights) < 0:
        return None
    return people[int(np.argmax(heights))]


def sort_from_left(people: Sequence[Body25Points]) -> list[Body25Points]:
    """The people with any sure joint, by where these lie from left to right."""
    found = [person for person in people if (person[:, 2] > _CONFIDENT_SCORE).any()]
    return sorted(found, key=lambda person: float(person[person[:, 2] > _CONFIDENT_SCORE, 0].mean()))


def has_visible_feet(points: Body25Points) -> bool:
    """Tell whether the person's feet are in the photo."""
    return bool((points[list(_FEET_JOINTS), 2] > _CONFIDENT_SCORE).any())


def _square_about(centre: npt.NDArray[np.int_], radius: int) -> PixelSquare:
    return PixelSquare(int(centre[0]) - radius, int(centre[1]) - radius, 2 * radius)


def _max_joint_distance(points: Body25Points, centre: npt.NDArray[np.int_]) -> float:
    """The largest distance from ``centre`` to a sure joint."""
    sure = points[points[:, 2] > _CONFIDENT_SCORE, :2]
    return float(np.linalg.norm(sure - centre, axis=1).max(initial=0.0))
