from dataclasses import replace
from importlib.resources import files

import cv2
import numpy as np
import pytest

from livehead.avatars.archive import read_archive, write_archive
from livehead.interfaces import RenderRequest
from livehead.perception.portrait import prepare_portrait
from livehead.renderers.dagan import DaganAvatar, DaganRenderer
from livehead.renderers.debug_panels import DebugPanelRenderer

SIZE = 128


@pytest.fixture(scope="module")
def portrait():
    bgr = cv2.imread(str(files("livehead.assets") / "astronaut.png"))
    return prepare_portrait(np.ascontiguousarray(bgr[..., ::-1]), "astronaut")


@pytest.fixture(scope="module")
def renderer(tiny_dagan):
    return DaganRenderer(*tiny_dagan)


@pytest.fixture(scope="module")
def avatar(renderer, portrait):
    return renderer.prepare(portrait)


def shifted(motion, x):
    return motion.with_points(motion.value + np.array([x, 0], np.float32))


def test_an_avatar_has_its_own_points_depth_and_outline(renderer, avatar):
    assert avatar.motion.set == "dagan15"
    assert renderer.motion_sets == {"dagan15"}
    assert avatar.disparity.shape == avatar.person.shape == (256, 256)
    assert avatar.person[128, 128] > 0.5 > avatar.person[2, 2]


def test_a_motion_changes_the_picture_and_its_own_one_repeats_it(renderer, avatar):
    still, again = (renderer.render(avatar, avatar.motion, SIZE) for _ in range(2))
    assert still.shape == (128, 128, 3)
    assert np.array_equal(still, again)
    assert np.abs(renderer.render(avatar, shifted(avatar.motion, 0.2), SIZE).astype(int) - still).max() > 2


def test_rendering_many_equals_rendering_each(renderer, avatar):
    motions = [avatar.motion, shifted(avatar.motion, 0.05)]
    together = renderer.render_many([RenderRequest(avatar, motion, SIZE) for motion in motions])
    for image, motion in zip(together, motions, strict=True):
        assert np.abs(image.astype(int) - renderer.render(avatar, motion, SIZE)).max() <= 1
    assert renderer.render_many([]) == []


def test_an_avatar_that_was_kept_on_disk_renders_the_same(renderer, avatar, tmp_path):
    write_archive(tmp_path / "avatar.npz", avatar)
    kept = read_archive(DaganAvatar, tmp_path / "avatar.npz")
    motion = shifted(avatar.motion, 0.05)
    assert np.array_equal(renderer.render(kept, motion, SIZE), renderer.render(avatar, motion, SIZE))


def test_alpha_is_the_persons(tiny_dagan, avatar):
    renderer = DaganRenderer(*tiny_dagan, alpha=True)
    image = renderer.render(avatar, avatar.motion, 64)
    assert image.shape == (64, 64, 4)
    assert image[32, 32, 3] > 150


def test_points_without_jacobians_are_taken_as_undeformed(renderer, avatar):
    plain = replace(avatar.motion, jacobian=None)
    eyes = np.tile(np.eye(2, dtype=np.float32), (1, 15, 1, 1))
    expected = renderer.render(avatar, replace(plain, jacobian=eyes), SIZE)
    assert np.array_equal(renderer.render(avatar, plain, SIZE), expected)


def test_panels_stand_beside_the_picture(renderer, avatar):
    assert isinstance(renderer, DebugPanelRenderer)
    panels = renderer.debug_panels(avatar, shifted(avatar.motion, 0.2))
    assert panels.attention.sum() == pytest.approx(1, abs=1e-3)
    assert panels.occlusion.shape == (64, 64)
    picture = np.full((120, 90, 3), 7, np.uint8)
    drawn = panels.draw_beside(picture)
    assert drawn.shape == (120, 90 + 80, 3)
    assert np.array_equal(drawn[:, :90], picture)
    cells = [drawn[r * 40 : r * 40 + 40, 90 + c * 40 : 130 + c * 40] for r in range(3) for c in range(2)]
    assert all(cell.std() > 0 for cell in cells)
