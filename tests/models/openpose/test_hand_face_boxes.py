"""The squares of hands and faces, and points found inside them."""

import cv2
import numpy as np
import pytest

from livehead.models.openpose.hand_face_boxes import (
    EMPTY_REGION,
    REGION_SIDE,
    SquareRegion,
    face_region,
    find_highest_points,
    hand_regions,
    merge_with_previous,
)
from livehead.models.openpose.skeletons import BODY_25, MPI_15


@pytest.mark.parametrize("number", range(9))
def test_squares_are_the_published_ones(parity, number):
    fixture = parity("openpose-handface-boxes")
    person = fixture["keypoints"][number].numpy()
    left, right = hand_regions(person, BODY_25)
    found = {"left_hand": left, "right_hand": right, "face": face_region(person, BODY_25)}
    for name, square in found.items():
        box = [square.left, square.top, square.side, square.side]
        np.testing.assert_allclose(box, fixture[name][number].numpy(), atol=1e-4)


def test_the_head_alone_tells_an_mpi_face():
    person = np.zeros((15, 3), np.float32)
    person[0], person[1] = (100, 50, 0.9), (100, 90, 0.9)
    square = face_region(person, MPI_15)
    assert square.side == pytest.approx(1.33 * 40)
    assert square.center == pytest.approx([100, 50])
    person[1, 2] = 0.1
    assert face_region(person, MPI_15) == EMPTY_REGION


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_point_of_the_square_goes_back_to_its_pixel(mirrored):
    image = np.zeros((300, 400, 3), np.uint8)
    cv2.circle(image, (210, 140), 3, (255, 255, 255), -1)
    square = SquareRegion(150, 90, 120)
    cut = square.crop_image(image, mirrored=mirrored)
    assert cut.shape == (REGION_SIDE, REGION_SIDE, 3)
    y, x = np.nonzero(cut[..., 0] > 128)
    [[back_x, back_y, _]] = square.map_to_image(np.array([[x.mean(), y.mean(), 1]], np.float32), mirrored=mirrored)
    assert (back_x, back_y) == pytest.approx((210, 140), abs=0.3)


def test_the_highest_place_of_each_plane_is_taken():
    cells = np.zeros((2, REGION_SIDE // 8, REGION_SIDE // 8), np.float32)
    cells[0, 10, 20], cells[1, 30, 5] = 1, 0.5
    points = find_highest_points(cells)
    assert points[:, :2] == pytest.approx(np.array([[163.5, 83.5], [43.5, 243.5]]), abs=0.5)
    assert points[0, 2] > points[1, 2] > 0


def test_a_hand_is_looked_for_around_the_middle_of_where_it_is_and_was():
    assert merge_with_previous(SquareRegion(100, 100, 60), SquareRegion(90, 100, 60)) == SquareRegion(80, 85, 90)
    assert merge_with_previous(SquareRegion(100, 100, 60), SquareRegion(300, 100, 60)) == SquareRegion(100, 100, 60)
    assert merge_with_previous(EMPTY_REGION, SquareRegion(90, 100, 60)) == EMPTY_REGION
