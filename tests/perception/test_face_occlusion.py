"""A mask, a hand and dark glasses are told from open faces, and what is told does not flicker."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from livehead.assembly.synthetic_performer import DRAWN_PORTRAIT, bundled_portrait
from livehead.frames import Image
from livehead.motion.face.face_rig import FaceControls, FaceRig
from livehead.motion.keypoints import Keypoints
from livehead.perception.face_mesh import FaceMeshTracker
from livehead.perception.face_occlusion import FaceOcclusion, OcclusionTracker, measure_occlusion
from livehead.renderers.warp.renderer import WarpRenderer
from tests.fixtures.occlusions import MASK_BLUE, paint_dark_glasses, paint_hand, paint_mask


def look_at(picture: Image) -> FaceOcclusion:
    """What is hidden of the only face, as the tracker sees it."""
    with FaceMeshTracker(static=True) as tracker:
        (face,) = tracker.detect(picture)
    return measure_occlusion(picture, face)


def test_of_an_open_face_nothing_is_hidden(picture: Image) -> None:
    found = look_at(picture)
    assert (found.lips_hidden, found.eyes_hidden) == (False, False)
    drawn = look_at(bundled_portrait(DRAWN_PORTRAIT).image)
    assert (drawn.lips_hidden, drawn.eyes_hidden) == (False, False)


@pytest.mark.parametrize("colour", [MASK_BLUE, (235, 235, 235), (28, 28, 32)], ids=["blue", "white", "black"])
def test_a_mask_hides_the_lips_and_not_the_eyes(
    picture: Image, source: Keypoints, colour: tuple[int, int, int]
) -> None:
    found = look_at(paint_mask(picture, source, colour))
    assert (found.lips_hidden, found.eyes_hidden) == (True, False)


def test_a_hand_hides_the_lips_although_it_is_of_the_same_skin(picture: Image, source: Keypoints) -> None:
    found = look_at(paint_hand(picture, source))
    assert (found.lips_hidden, found.eyes_hidden) == (True, False)


def test_dark_glasses_hide_the_eyes_and_not_the_lips(picture: Image, source: Keypoints) -> None:
    found = look_at(paint_dark_glasses(picture, source))
    assert (found.lips_hidden, found.eyes_hidden) == (False, True)


@pytest.mark.parametrize(
    "pose",
    [
        FaceControls(jaw=0.9),
        FaceControls(blink=1),
        FaceControls(smile=0.9),
        FaceControls(yaw=22),
        FaceControls(pitch=12),
    ],
    ids=["speaks", "blinks", "smiles", "turns", "bows"],
)
def test_what_a_face_does_is_nothing_that_hides_it(pose: FaceControls) -> None:
    renderer, portrait = WarpRenderer(), bundled_portrait(DRAWN_PORTRAIT)
    avatar = renderer.prepare(portrait)
    shown = renderer.render(avatar, FaceRig(portrait.motion).pose_face(pose, 0), 512)
    found = look_at(shown)
    assert (found.lips_hidden, found.eyes_hidden) == (False, False)


@pytest.mark.parametrize("light", [0.35, 0.6, 1.4])
def test_light_and_its_tint_hide_nothing(picture: Image, light: float) -> None:
    tinted = np.clip(picture * (light * np.array([1.15, 1.0, 0.85])), 0, 255).astype(np.uint8)
    found = look_at(tinted)
    assert (found.lips_hidden, found.eyes_hidden) == (False, False)


def test_a_picture_without_colours_hides_nothing(picture: Image) -> None:
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    found = look_at(np.repeat(grey[..., None], 3, axis=2))
    assert (found.lips_hidden, found.eyes_hidden) == (False, False)


def test_followed_through_pictures_it_changes_once_for_each_time_that_a_mask_comes_or_goes(
    picture: Image, source: Keypoints
) -> None:
    masked, follower = paint_mask(picture, source), OcclusionTracker()
    random = np.random.default_rng(0)
    told = []
    for number in range(60):
        shown = (masked if 20 <= number < 40 else picture).astype(np.float32) + random.normal(0, 6, picture.shape)
        follower.observe(np.clip(shown, 0, 255).astype(np.uint8), source)
        told.append(follower.lips_hidden)
    assert told[19] is False
    assert told[26:40] == [True] * 14
    assert told[48:] == [False] * 12
    assert sum(one != next_one for one, next_one in zip(told, told[1:], strict=False)) == 2
    follower.reset()
    assert follower.lips_hidden is False
