"""The renderer ``warp`` on a photo that comes with the package."""

from importlib.resources import files

import cv2
import numpy as np
import pytest

from livehead.errors import SourceError
from livehead.frames import Image
from livehead.interfaces import RenderRequest
from livehead.motion.face.head import HeadMotion
from livehead.motion.face.mesh import FACE_MESH
from livehead.motion.keypoints import Keypoints
from livehead.perception.face_mesh import FaceMeshTracker
from livehead.perception.portrait import Portrait, prepare_portrait
from livehead.renderers.warp.renderer import WarpAvatar, WarpRenderer

SIZE = 256


@pytest.fixture(scope="module")
def portrait() -> Portrait:
    data = np.frombuffer(files("livehead").joinpath("assets/astronaut.png").read_bytes(), np.uint8)
    return prepare_portrait(cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB), "astronaut")


@pytest.fixture(scope="module")
def avatar(portrait) -> WarpAvatar:
    return WarpRenderer().prepare(portrait)


def moved(motion: Keypoints, points: np.ndarray) -> Keypoints:
    points = points.astype(np.float32)
    return motion.with_points(points[None, :, :2].copy(), points[None, :, 2].copy())


def turned(motion: Keypoints, yaw: float) -> Keypoints:
    """The head turned about a place between the ears; degrees."""
    points = motion.points3d()[0]
    height = np.linalg.norm(points[FACE_MESH.chin] - points[FACE_MESH.forehead])
    pivot = points.mean(axis=0) + [0, 0.3 * height, 0.45 * height]
    c, s = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
    rotation = np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]], np.float32)
    return moved(motion, HeadMotion(1.0, rotation, pivot - rotation @ pivot).apply(points))


def opened(motion: Keypoints, amount: float) -> Keypoints:
    """The lower lip and the chin lowered by ``amount`` of the face's height."""
    points = motion.points3d()[0].copy()
    height = np.linalg.norm(points[FACE_MESH.chin] - points[FACE_MESH.forehead])
    top, chin = points[FACE_MESH.mouth.upper[5], 1], points[FACE_MESH.chin, 1]
    share = np.clip((points[:, 1] - top) / (chin - top), 0, 1) ** 0.5
    beside = np.abs(points[:, 0] - points[FACE_MESH.chin, 0]) / height
    points[:, 1] += amount * height * share * np.exp(-((beside / 0.3) ** 2))
    upper = np.concatenate([FACE_MESH.mouth.upper, FACE_MESH.mouth.outer[:11]])
    points[upper] = motion.points3d()[0][upper]
    return moved(motion, points)


def box(motion: Keypoints, points: np.ndarray, margin: int = 0) -> tuple[slice, slice]:
    """Rows and columns about some of the points in a picture of ``SIZE``."""
    pixels = ((motion.value[0, points] + 1) * SIZE - 1) / 2
    low, high = np.floor(pixels.min(axis=0)).astype(int), np.ceil(pixels.max(axis=0)).astype(int)
    return slice(low[1] - margin, high[1] + 1 + margin), slice(low[0] - margin, high[0] + 1 + margin)


def faces_in(picture: Image) -> int:
    """How many faces there are."""
    with FaceMeshTracker(static=True, max_faces=2) as face_mesh:
        return len(face_mesh.detect(picture))


def test_its_own_motion_gives_the_portrait_back_exactly(portrait):
    size = portrait.image.shape[0]
    renderer = WarpRenderer()
    avatar = renderer.prepare(portrait)
    np.testing.assert_array_equal(renderer.render(avatar, avatar.motion, size), portrait.image)


@pytest.mark.parametrize("size", [160, 300, 512])
def test_any_size_may_be_asked_for_between_two_frames(avatar, portrait, size):
    picture = WarpRenderer().render(avatar, avatar.motion, size)
    assert picture.shape == (size, size, 3)
    wanted = cv2.resize(portrait.image, (size, size), interpolation=cv2.INTER_AREA)
    assert np.abs(picture.astype(int) - wanted).mean() < 4


@pytest.mark.parametrize("yaw", [-20, 20])
def test_a_turned_head_is_found_where_the_motion_put_it(avatar, yaw):
    motion = turned(avatar.motion, yaw)
    picture = WarpRenderer().render(avatar, motion, SIZE)
    with FaceMeshTracker(static=True) as face_mesh:
        (found,) = face_mesh.detect(picture)
    off = np.linalg.norm(found.value[0] - motion.value[0], axis=-1).mean() * SIZE / 2
    assert off < 4
    assert off < 0.5 * np.linalg.norm(found.value[0] - avatar.motion.value[0], axis=-1).mean() * SIZE / 2


def test_the_background_stands_still_when_only_the_mouth_moves(avatar):
    renderer = WarpRenderer()
    before = renderer.render(avatar, avatar.motion, SIZE).astype(int)
    after = renderer.render(avatar, opened(avatar.motion, 0.15), SIZE).astype(int)
    outside = avatar.layers.resize(SIZE)
    outside = outside.alpha[outside.border : outside.border + SIZE, outside.border : outside.border + SIZE] == 0
    assert np.abs(after - before)[box(avatar.motion, FACE_MESH.mouth.lips)].mean() > 3
    assert np.abs(after - before)[outside].mean() < 1


def test_what_the_head_uncovers_is_filled_without_a_second_head(avatar):
    points = avatar.motion.points3d()[0] + np.array([0.5, 0, 0], np.float32)
    renderer = WarpRenderer()
    assert faces_in(renderer.render(avatar, moved(avatar.motion, points), SIZE)) == 1


def test_alpha_is_the_person(avatar):
    picture = WarpRenderer(alpha=True).render(avatar, avatar.motion, SIZE)
    assert picture.shape == (SIZE, SIZE, 4)
    assert picture[box(avatar.motion, FACE_MESH.mouth.lips)][..., 3].min() == 255
    assert picture[:20, :20, 3].max() == 0


def test_a_mouth_that_opens_wider_shows_a_dark_inside(avatar):
    motion = opened(avatar.motion, 0.25)
    picture = WarpRenderer().render(avatar, motion, SIZE)
    inside = picture[
        box(motion, FACE_MESH.mouth.lower[[5]], 2)[0].start - 8 : box(motion, FACE_MESH.mouth.lower[[5]])[0].start - 3
    ]
    column = box(motion, FACE_MESH.mouth.lower[[5]])[1].start
    assert inside[:, column - 4 : column + 4].mean() < 70


def test_shut_lids_leave_no_slit(avatar):
    """The mesh of a shut eye still gapes a little; the white must not show through."""
    points = avatar.motion.points3d()[0].copy()
    for eye in (FACE_MESH.right_eye, FACE_MESH.left_eye):
        points[eye.upper] = points[eye.lower] + 0.25 * (points[eye.upper] - points[eye.lower])
    motion = moved(avatar.motion, points)
    renderer = WarpRenderer()
    for eye in (FACE_MESH.right_eye, FACE_MESH.left_eye):
        slit = box(motion, eye.opening[[3, 4, 5, 11, 12, 13]])
        before = np.percentile(renderer.render(avatar, avatar.motion, SIZE)[slit], 5)
        after = renderer.render(avatar, motion, SIZE)
        skin = np.median(after[box(motion, eye.brow)])
        assert after[slit].max() < 1.6 * skin
        assert np.percentile(after[slit], 5) > before - 40


@pytest.mark.parametrize("shift", [-0.2, 0.2])
def test_the_iris_goes_where_the_performer_looks(avatar, shift):
    points = avatar.motion.points3d()[0].copy()
    eye = FACE_MESH.right_eye
    width = np.linalg.norm(points[eye.upper[0]] - points[eye.upper[-1]])
    points[eye.iris, 0] += shift * width
    renderer = WarpRenderer()
    centres = []
    for motion in (avatar.motion, moved(avatar.motion, points)):
        picture = renderer.render(avatar, motion, 512)
        pixels = ((avatar.motion.value[0, eye.opening] + 1) * 512 - 1) / 2
        mask = np.zeros((512, 512), np.uint8)
        cv2.fillPoly(mask, [np.rint(pixels).astype(np.int32)], (1,))
        y, x = np.nonzero(mask)
        darkness = 255.0 - picture[y, x].mean(axis=-1)
        weight = np.clip(darkness - np.percentile(darkness, 60), 0, None)
        centres.append(float((x * weight).sum() / weight.sum()))
    assert np.sign(centres[1] - centres[0]) == np.sign(shift)
    assert abs(centres[1] - centres[0]) > 0.3 * abs(shift) * width * 256


def test_rendering_many_is_rendering_each(avatar):
    renderer = WarpRenderer()
    motions = [avatar.motion, turned(avatar.motion, 10)]
    pictures = renderer.render_many([RenderRequest(avatar, motion, SIZE) for motion in motions])
    for picture, motion in zip(pictures, motions, strict=True):
        np.testing.assert_array_equal(picture, renderer.render(avatar, motion, SIZE))


def test_other_points_than_its_own_are_refused(portrait):
    foreign = Keypoints("dagan15", np.zeros((1, 15, 2), np.float32), None, None, np.ones(1, np.float32), 0)
    strange = Portrait("x", portrait.photo, portrait.crop, portrait.image, foreign, (), "")
    with pytest.raises(SourceError, match="dagan15"):
        WarpRenderer().prepare(strange)


@pytest.mark.parametrize("yaw", [-40, 40])
def test_a_large_turn_still_shows_one_face(avatar, yaw):
    assert faces_in(WarpRenderer().render(avatar, turned(avatar.motion, yaw), SIZE)) == 1
