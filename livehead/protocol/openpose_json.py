"""OpenPose's JSON: what its ``--write_json`` writes for a picture, with which other programs go on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np

from livehead.errors import ProtocolError
from livehead.motion.body import PersonKeypoints
from livehead.motion.keypoints import Array
from livehead.untrusted_files import DamagedFileError, guard_parser

_VERSION = 1.3
_KEYPOINT_KEYS = (
    ("pose_keypoints_2d", "pose"),
    ("face_keypoints_2d", "face"),
    ("hand_left_keypoints_2d", "left_hand"),
    ("hand_right_keypoints_2d", "right_hand"),
)
_EMPTY_3D_KEYS = ("pose_keypoints_3d", "face_keypoints_3d", "hand_left_keypoints_3d", "hand_right_keypoints_3d")

JsonDocument = dict[str, object]


def to_openpose_document(people: Sequence[PersonKeypoints], finder: Mapping[str, object] | None = None) -> JsonDocument:
    """The document of one picture's people: x, y in pixels and score, point after point.

    ``finder`` is what is told of that which found them, under a key of its own, which OpenPose's readers pass over.
    """
    told = {} if finder is None else {"finder": dict(finder)}
    return {"version": _VERSION, **told, "people": [_to_person_entry(person) for person in people]}


def to_video_document(
    frames: Sequence[tuple[float, Sequence[PersonKeypoints]]], finder: Mapping[str, object] | None = None
) -> JsonDocument:
    """The document of a whole video: for each picture its time in seconds beside what it alone would have."""
    documents = [{"seconds": round(seconds, 6), **to_openpose_document(people)} for seconds, people in frames]
    told = {} if finder is None else {"finder": dict(finder)}
    return {"version": _VERSION, **told, "frames": documents}


def parse_people(text: str, skeleton: str) -> list[PersonKeypoints]:
    """The people that ``to_openpose_document`` (or OpenPose) wrote, of that skeleton. Raises: ProtocolError."""
    try:
        with guard_parser():
            return [
                PersonKeypoints(
                    skeleton, score=0.0, **{ours: _to_points(entry.get(theirs, [])) for theirs, ours in _KEYPOINT_KEYS}
                )
                for entry in json.loads(text)["people"]
            ]
    except DamagedFileError as error:
        raise ProtocolError("this is no JSON of OpenPose's", "write it with livehead pose --out FILE.json") from error


def _to_points(numbers: Sequence[float]) -> Array:
    return np.asarray(numbers, np.float32).reshape(-1, 3)


def _to_person_entry(person: PersonKeypoints) -> JsonDocument:
    placed = {theirs: _to_number_list(getattr(person, ours)) for theirs, ours in _KEYPOINT_KEYS}
    return {"person_id": [-1], **placed, **{name: [] for name in _EMPTY_3D_KEYS}}


def _to_number_list(points: Array) -> list[float]:
    return [round(float(number), 5) for number in points.ravel()]
