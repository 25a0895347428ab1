"""Absolute motion of a wide video is told relative to head and shoulders, the torso with the face."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from livehead.assembly.head_framing import HeadFraming, HeadFramings
from livehead.motion.keypoints import FaceSighting, Keypoints

CHOSEN = [152, 234, 454]  # chin and ears stand in for the torso: whatever happens to them must happen to it
WIDE = (912, 512)


@pytest.fixture
def seen(source: Keypoints) -> Keypoints:
    assert source.depth is not None
    # farther away in a wider picture
    small = source.with_points(source.value * np.float32(0.5), source.depth * np.float32(0.5))
    return replace(small, torso=small.value[:, CHOSEN].copy())


def test_face_and_torso_are_framed_alike(seen: Keypoints) -> None:
    framing = HeadFraming.around(seen, WIDE)
    assert framing is not None
    framed = framing.apply(seen)
    assert framed.torso is not None
    np.testing.assert_allclose(framed.torso, framed.value[:, CHOSEN], atol=1e-6)
    assert np.abs(framed.value - seen.value).max() > 0.05


def test_motion_without_a_torso_is_framed_without(seen: Keypoints) -> None:
    framing = HeadFraming.around(seen, WIDE)
    assert framing is not None
    assert framing.apply(replace(seen, torso=None)).torso is None


def test_a_square_video_is_such_a_crop_and_one_of_unknown_shape_is_framed(seen: Keypoints) -> None:
    assert HeadFraming.around(seen, (512, 512)) is None
    assert HeadFraming.around(seen, None) is not None


def test_each_shot_has_a_framing_of_its_own(seen: Keypoints) -> None:
    other = replace(seen.with_points(seen.value + np.float32(0.2)), sighting=FaceSighting(performer=2))
    framings = HeadFramings()
    framings.add_neutral(seen, WIDE)
    framings.add_neutral(other, WIDE)
    first, second = framings.frame_motions(iter([seen, other]))
    np.testing.assert_allclose(first.value, second.value, atol=0.02)
