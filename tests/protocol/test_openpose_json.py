"""OpenPose's JSON there and back."""

from __future__ import annotations

import json

import numpy as np
import pytest

from livehead.errors import ProtocolError
from livehead.motion.body import BODY25, PersonKeypoints
from livehead.protocol.openpose_json import parse_people, to_openpose_document, to_video_document


def person() -> PersonKeypoints:
    chance = np.random.default_rng(0)
    pose, hand = (chance.uniform(0, 500, (points, 3)).astype(np.float32) for points in (25, 21))
    return PersonKeypoints(BODY25, pose, 0.5, left_hand=hand)


def test_the_keys_and_the_order_are_openpose_s() -> None:
    document = json.loads(json.dumps(to_openpose_document([person()])))
    assert document["version"] == 1.3
    [told] = document["people"]
    assert told["person_id"] == [-1]
    assert len(told["pose_keypoints_2d"]) == 75
    assert told["pose_keypoints_2d"][:3] == pytest.approx(person().pose[0].tolist(), abs=1e-5)
    assert len(told["hand_left_keypoints_2d"]) == 63
    assert told["hand_right_keypoints_2d"] == told["face_keypoints_2d"] == told["pose_keypoints_3d"] == []


def test_people_come_back() -> None:
    [back] = parse_people(json.dumps(to_openpose_document([person()])), BODY25)
    np.testing.assert_allclose(back.pose, person().pose, atol=1e-4)
    np.testing.assert_allclose(back.left_hand, person().left_hand, atol=1e-4)
    assert back.face.shape == (0, 3)


def test_nobody_is_an_empty_list() -> None:
    assert to_openpose_document([])["people"] == []


def test_a_film_tells_each_picture_with_its_time() -> None:
    document = json.loads(json.dumps(to_video_document([(0.0, []), (0.04, [person()])])))
    assert [(frame["seconds"], len(frame["people"])) for frame in document["frames"]] == [(0.0, 0), (0.04, 1)]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"people": 3}', '{"people": [{"pose_keypoints_2d": [1, 2]}]}'])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ProtocolError, match="no JSON of OpenPose"):
        parse_people(text, BODY25)
