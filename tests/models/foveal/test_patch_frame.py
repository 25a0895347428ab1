import numpy as np
import pytest

from livehead.models.foveal.patch_frame import FOVEAL_PARTS, LEFT_EYE, MOUTH, RIGHT_EYE, cut_patch, measure_patch_frame
from livehead.motion.face.head import HeadMotion, rotation_matrix
from livehead.motion.face.mean_face import load_mean_face
from livehead.motion.face.mesh import FACE_MESH


@pytest.fixture(scope="module")
def face():
    return load_mean_face()


def turned(face, scale=1.0, roll=0.0, shift=(0.0, 0.0, 0.0)):
    return HeadMotion(scale, rotation_matrix(0, 0, roll), np.float32(shift)).apply(face)


@pytest.mark.parametrize("part", FOVEAL_PARTS, ids=lambda part: part.name)
def test_the_shape_in_a_patch_does_not_change_as_the_head_moves_rolls_and_comes_nearer(face, part):
    here = measure_patch_frame(face, part)
    there = measure_patch_frame(turned(face, 1.4, 15, (0.1, -0.2, 0)), part)
    assert there.curves == pytest.approx(here.curves, abs=0.05)
    assert there.corners == pytest.approx(here.corners, abs=0.05)
    assert there.pupil == pytest.approx(here.pupil, abs=0.05)


@pytest.mark.parametrize("part", FOVEAL_PARTS, ids=lambda part: part.name)
def test_the_whole_part_lies_within_its_patch_and_its_curves_in_order(face, part):
    frame = measure_patch_frame(face, part)
    assert 0 < frame.corners[0] < frame.corners[1] < part.width - 1
    assert (np.diff(frame.curves, axis=0) > -0.5).all()
    assert frame.curves[1:3].min() > 0
    assert frame.curves[1:3].max() < part.height - 1


def test_an_opened_mouth_lowers_the_lower_lip_alone_and_counts_as_more_open(face):
    opened = face.copy()
    opened[FACE_MESH.mouth.lower[1:-1], 1] += 0.1
    before, after = measure_patch_frame(face, MOUTH), measure_patch_frame(opened, MOUTH)
    assert after.state[0] > before.state[0] + 0.1
    assert after.matrix == pytest.approx(before.matrix)
    assert after.curves[1] == pytest.approx(before.curves[1])


def test_the_eyes_of_a_mirrored_face_are_each_others_mirror_images(face):
    right, left = measure_patch_frame(face, RIGHT_EYE), measure_patch_frame(face, LEFT_EYE)
    assert left.curves[:, ::-1] == pytest.approx(right.curves, abs=1.5)
    assert 47 - left.pupil[0] == pytest.approx(right.pupil[0], abs=1.5)


def test_a_patch_shows_the_place_that_its_matrix_names(face):
    picture = np.zeros((256, 256, 3), np.uint8)
    frame = measure_patch_frame(face, MOUTH)
    middle = frame.matrix @ np.array([47.5, 39.5, 1])
    x, y = np.rint(((middle + 1) * 256 - 1) / 2).astype(int)
    picture[y - 2 : y + 3, x - 2 : x + 3] = 255
    rows, columns = np.nonzero(cut_patch(picture, frame, MOUTH)[..., 0] > 127)
    assert (columns.mean(), rows.mean()) == pytest.approx((47.5, 39.5), abs=1)
