from dataclasses import replace
from importlib.resources import files

import cv2
import numpy as np
import pytest
import torch

from livehead.avatars.archive import read_archive, write_archive
from livehead.environment import HOME_VARIABLE
from livehead.errors import SourceError
from livehead.evaluation.image_metrics import psnr
from livehead.interfaces import RenderRequest
from livehead.models.compact.build import build_compact
from livehead.models.compact.motion_prior import TORSO_CANDIDATE
from livehead.motion.face.face_rig import FaceControls, FaceRig
from livehead.motion.face.torso import rest_torso_points
from livehead.motion.keypoints import MESH478, to_pixels
from livehead.perception.portrait import prepare_portrait
from livehead.renderers.compact import CompactAvatar, CompactRenderer

SIZE = 256


@pytest.fixture(scope="module")
def portrait():
    bgr = cv2.imread(str(files("livehead.assets") / "astronaut.png"))
    return prepare_portrait(np.ascontiguousarray(bgr[..., ::-1]), "astronaut")


@pytest.fixture(scope="module")
def renderer():
    torch.manual_seed(0)
    return CompactRenderer(SIZE, precision="fp32", network=build_compact())


@pytest.fixture(scope="module")
def avatar(renderer, portrait):
    return renderer.prepare(portrait)


def shifted(motion, x):
    return motion.with_points(motion.value + np.array([x, 0], np.float32))


def test_the_sources_own_motion_gives_the_photo_back(renderer, avatar):
    # untrained, 0.95 of the output is the warped photo and the rest is grey
    share = 1 / (1 + np.exp(-3.0))
    expected = share * cv2.resize(avatar.image, (256, 256), interpolation=cv2.INTER_AREA) + (1 - share) * 127.5
    assert np.abs(renderer.render(avatar, avatar.motion, SIZE) - expected).mean() < 1


def test_the_face_goes_where_the_motion_says(renderer, avatar):
    def edges(image):
        return cv2.Canny(image, 60, 120)[60:200].astype(float)

    still, moved = (
        renderer.render(avatar, motion, SIZE) for motion in (avatar.motion, shifted(avatar.motion, 8 / 128))
    )
    box = slice(90, 150)
    match = [np.abs(edges(moved)[:, 90 + x : 150 + x] - edges(still)[:, box]).mean() for x in range(-12, 13)]
    assert abs(int(np.argmin(match)) - 12 - 8) <= 1


def test_rendering_many_equals_rendering_each(renderer, avatar):
    motions = [avatar.motion, shifted(avatar.motion, 0.05)]
    together = renderer.render_many([RenderRequest(avatar, motion, SIZE) for motion in motions])
    for image, motion in zip(together, motions, strict=True):
        assert np.abs(image.astype(int) - renderer.render(avatar, motion, SIZE)).max() <= 1
    assert renderer.render_many([]) == []


def test_an_avatar_that_was_kept_on_disk_renders_the_same(renderer, avatar, tmp_path):
    write_archive(tmp_path / "avatar.npz", avatar)
    kept = read_archive(CompactAvatar, tmp_path / "avatar.npz")
    motion = shifted(avatar.motion, 0.05)
    assert np.array_equal(renderer.render(kept, motion, SIZE), renderer.render(avatar, motion, SIZE))


def test_another_size_needs_no_new_avatar(renderer, avatar):
    assert renderer.render(avatar, avatar.motion, 384).shape == (384, 384, 3)


def test_below_its_first_size_the_network_draws_a_smaller_picture_of_the_same(portrait):
    renderer = CompactRenderer(SIZE, precision="fp32")
    avatar = renderer.prepare(portrait)
    sides = []
    renderer.parts["decoder"].register_forward_pre_hook(lambda part, given: sides.append(given[2].shape[-1]))
    motion = shifted(avatar.motion, 0.05)
    full = renderer.render(avatar, motion, SIZE)
    lesser = renderer.render(avatar, motion, 192)
    assert sides == [192, 128]
    assert psnr(lesser, cv2.resize(full, (192, 192), interpolation=cv2.INTER_AREA)) > 26


def test_a_mouth_that_the_photo_shows_closed_opens_dark(renderer):
    bgr = cv2.imread(str(files("livehead.assets") / "drawn.png"))
    drawn = renderer.prepare(prepare_portrait(np.ascontiguousarray(bgr[..., ::-1]), "drawn"))
    motion = FaceRig(drawn.motion).pose_face(FaceControls(jaw=0.6), 0)
    picture = renderer.render(drawn, motion, SIZE)
    upper, lower = (int(to_pixels(motion.value[0, lip], 256, 256)[1]) for lip in (13, 14))
    column = int(to_pixels(motion.value[0, 13], 256, 256)[0])
    assert lower - upper > 4
    lips = picture[[upper - 3, lower + 3], column].mean()
    assert picture[upper + 1 : lower, column].mean(axis=-1).min() < 0.6 * lips


def test_alpha_is_the_persons_and_moves_with_it(portrait):
    renderer = CompactRenderer(128, alpha=True, precision="fp32", network=build_compact())
    avatar = renderer.prepare(portrait)
    image = renderer.render(avatar, avatar.motion, 128)
    assert image.shape == (128, 128, 4)
    assert image[64, 64, 3] > 200 > 60 > image[2, 2, 3]


def test_half_precision_stays_close_to_the_exact_path(renderer, avatar):
    torch.manual_seed(0)
    half = CompactRenderer(SIZE, precision="bf16", network=build_compact())
    motion = shifted(avatar.motion, 0.05)
    assert np.abs(half.render(avatar, motion, SIZE).astype(int) - renderer.render(avatar, motion, SIZE)).mean() < 0.5


def test_the_bundled_weights_in_eight_bits_stay_close_to_the_exact_path(portrait, monkeypatch, tmp_path):
    pytest.importorskip("openvino", reason="the extra fast-cpu is not installed")
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    exact, integer = (CompactRenderer(SIZE, precision=precision) for precision in ("fp32", "int8"))
    avatar = exact.prepare(portrait)
    for x in (0.0, 0.08):
        motion = shifted(avatar.motion, x)
        assert psnr(integer.render(avatar, motion, SIZE), exact.render(avatar, motion, SIZE)) > 40


def test_a_portrait_in_other_points_is_refused_by_name(renderer, portrait):
    with pytest.raises(SourceError, match=MESH478):
        renderer.prepare(replace(portrait, motion=replace(portrait.motion, set="dagan15")))


def test_the_torso_follows_a_motion_that_tells_of_it(portrait):
    torch.manual_seed(0)
    network = build_compact()
    network.motion.mask.bias.data[TORSO_CANDIDATE] = 25.0  # as if training had found it right
    renderer = CompactRenderer(SIZE, precision="fp32", network=network)
    avatar = renderer.prepare(portrait)
    rest = rest_torso_points(avatar.motion.value[0])[None]
    aside = replace(avatar.motion, torso=rest + np.array([16 / 128, 0], np.float32))
    still, leaning, untold = (
        renderer.render(avatar, motion, SIZE).astype(float)[-24:]
        for motion in (replace(avatar.motion, torso=rest), aside, avatar.motion)
    )
    assert np.abs(leaning[:, 60:200] - still[:, 44:184]).mean() < 0.3 * np.abs(leaning - still)[:, 60:200].mean()
    assert np.abs(untold - still).mean() < 0.5


def test_told_and_untold_torsos_are_drawn_together(renderer, avatar):
    told = replace(avatar.motion, torso=rest_torso_points(avatar.motion.value[0])[None] + np.float32(0.1))
    together = renderer.render_many([RenderRequest(avatar, motion, SIZE) for motion in (avatar.motion, told)])
    for image, motion in zip(together, (avatar.motion, told), strict=True):
        assert np.abs(image.astype(int) - renderer.render(avatar, motion, SIZE)).max() <= 1
