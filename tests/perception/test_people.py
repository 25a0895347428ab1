"""Whatever finds people: the networks' maps are drawn here, so that the way through is what is tested."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from livehead.bench.pose_timing import synthesize_people
from livehead.frames import Image
from livehead.models.engine import ExecutionConfig
from livehead.models.openpose.decoder import BodyPoseDecoder
from livehead.models.openpose.skeletons import BODY_25
from livehead.models.openpose.targets import build_target_maps
from livehead.motion.body import PersonKeypoints
from livehead.perception.people import HandFaceFinder, MediaPipeFinder, OpenPoseFinder, PoseNetwork, PoseOptions
from livehead.perception.pose_overlay import draw_people, part_colour

EXACT = ExecutionConfig(torch.device("cpu"), torch.float32, "processor, fp32")


class Drawn(nn.Module):
    """Instead of a network: the maps of known people, whose points are shares of the picture."""

    def __init__(self, shares: np.ndarray) -> None:
        super().__init__()
        self.shares = shares
        self.sizes: list[tuple[int, int]] = []

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        self.sizes.append((width, height))
        people = self.shares * np.array([width, height, 1], np.float32)
        return torch.from_numpy(build_target_maps(people.astype(np.float32), BODY_25, (width, height)))[None]


class Spot(nn.Module):
    """Instead of the network of a hand: every point where the picture is brightest, in the last plane nothing."""

    def __init__(self, parts: int) -> None:
        super().__init__()
        self.parts = parts

    def forward(self, x: Tensor) -> Tensor:
        light = nn.functional.avg_pool2d(x.mean(dim=1, keepdim=True) + 0.5, 8)
        return torch.cat([light.expand(-1, self.parts, -1, -1), torch.zeros_like(light)], dim=1)


@pytest.fixture
def shares() -> np.ndarray:
    return synthesize_people(5) / np.array([656, 368, 1], np.float32)


def network(module: nn.Module) -> PoseNetwork:
    return PoseNetwork(module, EXACT)


@pytest.mark.parametrize("scales", [1, 3])
def test_people_are_told_in_the_picture_s_own_pixels(shares: np.ndarray, scales: int) -> None:
    drawn = Drawn(shares)
    finder = OpenPoseFinder(network(drawn), BodyPoseDecoder(BODY_25), PoseOptions(scales=scales))
    finder._network._network.sizes = drawn.sizes  # the engine runs a copy
    people = finder.find(np.zeros((736, 1312, 3), np.uint8))
    assert len(people) == 5
    assert len(drawn.sizes) == scales
    truth = shares * (1312, 736, 1)
    for person in people:
        apart = np.median(np.abs(truth - person.pose)[..., :2], axis=(1, 2))
        assert apart.min() < 4 * scales


@pytest.mark.parametrize("hand_scales", [False, True])
def test_hands_are_found_in_their_squares_and_mirrored_back(hand_scales: bool) -> None:
    pose = np.zeros((25, 3), np.float32)
    for side, sign in (("L", 1), ("R", -1)):
        for joint, x in (("Shoulder", 40), ("Elbow", 90), ("Wrist", 140)):
            pose[BODY_25.part_index(side + joint)] = (300 + sign * x, 200, 0.9)

    class One:
        skeleton = BODY_25

        def find(self, image: Image) -> list[PersonKeypoints]:
            return [PersonKeypoints("body25", pose, 1.0)]

    image = np.zeros((400, 600, 3), np.uint8)
    places = {"left_hand": (465, 190), "right_hand": (128, 215)}
    for x, y in places.values():
        image[y - 3 : y + 4, x - 3 : x + 4] = 255
    [person] = HandFaceFinder(One(), hand=network(Spot(21)), face=network(Spot(70)), hand_scales=hand_scales).find(
        image
    )
    for name, place in places.items():
        assert getattr(person, name).shape == (21, 3)
        assert getattr(person, name)[:, :2] == pytest.approx(np.tile(place, (21, 1)), abs=2.5)
    assert person.face.shape == (70, 3)
    assert not person.face.any()  # no neck, no nose: nowhere to look


def test_mediapipe_finds_nobody_on_a_wall_and_draws_nothing() -> None:
    wall = np.full((200, 300, 3), 90, np.uint8)
    with MediaPipeFinder(is_video=False) as finder:
        people = finder.find(wall)
    assert people == []
    np.testing.assert_array_equal(draw_people(wall, people), wall)


def test_a_person_is_drawn_in_the_usual_colours_and_what_is_missing_is_not() -> None:
    pose = synthesize_people(1)[0]
    pose[:, :2] *= 2
    pose[BODY_25.part_index("LWrist"), 2] = 0
    image = np.zeros((368, 200, 3), np.uint8)
    drawn = draw_people(image, [PersonKeypoints("body25", pose, 1.0)])
    knee, wrist = pose[BODY_25.part_index("RKnee"), :2], pose[BODY_25.part_index("LWrist"), :2]
    shown = drawn[round(float(knee[1])), round(float(knee[0]))].astype(float)
    assert shown / shown.max() * 255 == pytest.approx(part_colour("RKnee"), abs=12)
    assert not drawn[round(float(wrist[1])), round(float(wrist[0]))].any()
    assert part_colour("RShoulder") == (255, 85, 0)


def test_points_far_outside_do_not_break_the_drawing() -> None:
    pose = synthesize_people(1)[0]
    pose[3, :2] = (1e7, -1e7)
    drawn = draw_people(np.zeros((50, 50, 3), np.uint8), [PersonKeypoints("body25", pose, 1.0)])
    assert drawn.shape == (50, 50, 3)
    assert drawn.any(), "the points that lie inside are drawn"
