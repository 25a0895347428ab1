"""Absolute motion of a wide video is told relative to head and shoulders, the torso with the face."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import livehead
from livehead.assembly.face_video import TrackedVideo, crop_to_head
from livehead.drivers.idle import IdleDriver
from livehead.motion.keypoints import Keypoints
from livehead.perception.face_mesh import FaceMeshTracker

CHOSEN = [152, 234, 454]  # chin and ears stand in for the torso: whatever happens to them must happen to it


@pytest.fixture(scope="module")
def seen() -> Keypoints:
    picture = cv2.imread(str(Path(livehead.__file__).parent / "assets" / "astronaut.png"))
    assert picture is not None
    with FaceMeshTracker(static=True) as mesh:
        found = mesh.detect(np.ascontiguousarray(picture[..., ::-1]))[0]
    assert found.depth is not None
    found = found.with_points(
        found.value * np.float32(0.5), found.depth * np.float32(0.5)
    )  # farther away in a wider picture
    return replace(found, torso=found.value[:, CHOSEN].copy())


def test_face_and_torso_are_framed_alike(seen: Keypoints) -> None:
    tracked = TrackedVideo(IdleDriver(seen), [seen], [], (912, 512), 1.0)
    framed = crop_to_head(tracked, seen).motions[0]
    assert framed.torso is not None
    np.testing.assert_allclose(framed.torso, framed.value[:, CHOSEN], atol=1e-6)
    assert np.abs(framed.value - seen.value).max() > 0.05


def test_motion_without_a_torso_is_framed_without(seen: Keypoints) -> None:
    tracked = TrackedVideo(IdleDriver(seen), [replace(seen, torso=None)], [], (912, 512), 1.0)
    assert crop_to_head(tracked, seen).motions[0].torso is None
