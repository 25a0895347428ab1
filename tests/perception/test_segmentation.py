"""Persons told from background, on a photo that comes with the package."""

from importlib.resources import files

import cv2
import numpy as np
import pytest

from livehead.frames import Image
from livehead.perception.segmentation import SelfieSegmenter


@pytest.fixture(scope="module")
def photo() -> Image:
    data = np.frombuffer(files("livehead").joinpath("assets/astronaut.png").read_bytes(), np.uint8)
    return cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


@pytest.mark.parametrize("refine", [True, False])
def test_the_face_is_person_and_the_wall_is_not(photo, refine):
    with SelfieSegmenter(refine=refine) as segmentation:
        share = segmentation.segment_person(photo)
    assert share.shape == photo.shape[:2]
    assert share.dtype == np.float32
    assert 0 <= share.min() <= share.max() <= 1
    assert share[90:160, 200:250].min() > 0.95  # cheeks and nose
    assert share[20:80, 20:80].max() < 0.05


def test_a_refined_edge_is_sharper_where_the_picture_has_one(photo):
    with SelfieSegmenter(refine=True) as refined, SelfieSegmenter(refine=False) as plain:
        unsure = [
            np.mean((share > 0.1) & (share < 0.9))
            for share in (refined.segment_person(photo), plain.segment_person(photo))
        ]
    assert unsure[0] < unsure[1]


def test_two_pictures_do_not_disturb_each_other(photo):
    with SelfieSegmenter() as segmentation:
        first = segmentation.segment_person(photo)
        segmentation.segment_person(np.zeros_like(photo))
        np.testing.assert_array_equal(segmentation.segment_person(photo), first)
