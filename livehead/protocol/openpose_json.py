"""OpenPose's JSON: what its ``--write_json`` writes for a picture, with which other programs go on."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from livehead.errors import ProtocolError
from livehead.motion.body import Person
from livehead.motion.keypoints import Array

_VERSION = 1.3
_PLACES = (
    ("pose_keypoints_2d", "pose"),
    ("face_keypoints_2d", "face"),
    ("hand_left_keypoints_2d", "left_hand"),
    ("hand_right_keypoints_2d", "right_hand"),
)
_NO_DEPTH = ("pose_keypoints_3d", "face_keypoints_3d", "hand_left_keypoints_3d", "hand_right_keypoints_3d")

Document = dict[str, object]


def people_document(people: Sequence[Person]) -> Document:
    """The people of one picture: x, y in pixels and score, point after point."""
    return {"version": _VERSION, "people": [_person(person) for person in people]}


def film_document(frames: Sequence[tuple[float, Sequence[Person]]]) -> Document:
    """Of a film, in one file: for each picture its time in seconds beside what it alone would have."""
    documents = [{"seconds": round(seconds, 6), **people_document(people)} for seconds, people in frames]
    return {"version": _VERSION, "frames": documents}


def read_people(text: str, skeleton: str) -> list[Person]:
    """The people that ``people_document`` (or OpenPose) wrote, of that skeleton. Raises: ProtocolError."""
    try:
        entries = json.loads(text)["people"]
        return [
            Person(skeleton, score=0.0, **{ours: _points(entry.get(theirs, [])) for theirs, ours in _PLACES})
            for entry in entries
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ProtocolError("this is no JSON of OpenPose's", "write it with livehead pose --out FILE.json") from error


def _points(numbers: Sequence[float]) -> Array:
    return np.asarray(numbers, np.float32).reshape(-1, 3)


def _person(person: Person) -> Document:
    placed = {theirs: _numbers(getattr(person, ours)) for theirs, ours in _PLACES}
    return {"person_id": [-1], **placed, **{name: [] for name in _NO_DEPTH}}


def _numbers(points: Array) -> list[float]:
    return [round(float(number), 5) for number in points.ravel()]
