"""MediaPipe's pose as OpenPose's parts, on the portrait that ships."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import livehead
from livehead.frames import Image
from livehead.models.openpose.skeletons import BODY_25
from livehead.perception.mediapipe_pose import BodyPoseTracker, to_person
from livehead.perception.photo import read_photo


@pytest.fixture(scope="module")
def astronaut() -> Image:
    return read_photo(Path(livehead.__file__).parent / "assets" / "astronaut.png")


@pytest.fixture(scope="module")
def tracker() -> Iterator[BodyPoseTracker]:
    with BodyPoseTracker(static=True) as tracker:
        yield tracker


def test_parts_lie_where_they_are_in_the_picture(tracker: BodyPoseTracker, astronaut: Image) -> None:
    pose = tracker.detect(astronaut, 7)
    assert pose is not None
    assert pose.captured_ns == 7
    person = to_person(pose, 512, 512, 0.3)
    part = {name: person.pose[index, :2] for index, name in enumerate(BODY_25.parts)}
    assert part["Nose"] == pytest.approx([222, 127], abs=12)
    assert part["RShoulder"][0] < part["Neck"][0] < part["LShoulder"][0]  # she looks at us
    assert part["REye"][0] < part["LEye"][0]
    assert part["Neck"] == pytest.approx((part["RShoulder"] + part["LShoulder"]) / 2, abs=0.01)


def test_what_the_picture_does_not_show_is_missing(tracker: BodyPoseTracker, astronaut: Image) -> None:
    pose = tracker.detect(astronaut)
    assert pose is not None
    person = to_person(pose, 512, 512, 0.3)
    for name in ("RKnee", "LKnee", "RAnkle", "LBigToe", "LSmallToe", "RSmallToe"):
        assert not person.pose[BODY_25.part_index(name)].any(), name


def test_the_shape_of_the_picture_does_not_matter(tracker: BodyPoseTracker, astronaut: Image) -> None:
    wide = np.pad(astronaut, ((0, 0), (150, 50), (0, 0)), mode="edge")
    pose, wider = tracker.detect(astronaut), tracker.detect(wide)
    assert pose is not None
    assert wider is not None
    nose = to_person(pose, 512, 512).pose[0, :2]
    assert to_person(wider, 712, 512).pose[0, :2] - (150, 0) == pytest.approx(nose, abs=12)


def test_a_transparent_picture_shows_only_what_can_be_seen(tracker: BodyPoseTracker, astronaut: Image) -> None:
    opaque = np.dstack([astronaut, np.full(astronaut.shape[:2], 255, np.uint8)])
    hidden = np.dstack([astronaut, np.zeros(astronaut.shape[:2], np.uint8)])
    seen = tracker.detect(opaque)
    assert seen is not None
    plain = tracker.detect(astronaut)
    assert plain is not None
    np.testing.assert_allclose(seen.value, plain.value, atol=1e-4)
    assert tracker.detect(hidden) is None


@pytest.mark.parametrize("shape", [(480, 640, 3), (1, 1, 3), (3, 900, 3)])
def test_nobody_is_found_where_nobody_is(tracker: BodyPoseTracker, shape: tuple[int, int, int]) -> None:
    assert tracker.detect(np.random.default_rng(0).integers(0, 255, shape, np.uint8)) is None
