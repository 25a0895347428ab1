import numpy as np
import pytest
import torch

from livehead.animator import Animator, AvatarScene
from livehead.avatars.archive import read_archive, write_archive
from livehead.drivers.dense_pose import DensePoseSequenceDriver
from livehead.drivers.replay import ReplayDriver
from livehead.environment import HOME_VARIABLE
from livehead.errors import ConfigError
from livehead.figure.mannequin import RELAXED_POSE, MannequinPose, draw_mannequin
from livehead.interfaces import DriverInputs, RenderRequest
from livehead.models.engine import ExecutionConfig, choose_execution_config
from livehead.models.quantize import observe_ranges
from livehead.motion.dense_pose import DensePose
from livehead.motion.keypoints import Keypoints
from livehead.perception.character_sheet import build_character_sheet
from livehead.perception.dense_pose import frame_dense_pose, open_dense_pose_sequence, quantize_pose
from livehead.perception.figure_framing import find_visible_box, square_window
from livehead.renderers.conr import ConrAvatar, ConrRenderer
from livehead.renderers.warp.renderer import WarpRenderer

SIZE = 256
FP32 = ExecutionConfig(torch.device("cpu"), torch.float32, "processor, fp32")


def pose_of(stance):
    pose = draw_mannequin(stance, 256).pose
    return frame_dense_pose(pose, square_window(find_visible_box(quantize_pose(pose)[..., 3])), 0)


def sheet_of(*turns):
    return build_character_sheet(
        "doll", {str(turn): draw_mannequin(MannequinPose(turn, -1, -1), 128).image for turn in turns}
    )


@pytest.fixture(scope="module")
def renderer(tiny_conr):
    return ConrRenderer(tiny_conr, FP32)


@pytest.fixture(scope="module")
def avatar(renderer):
    return renderer.prepare(sheet_of(0, 3))


def test_a_character_is_drawn_with_alpha_and_every_pose_is_another_picture(renderer, avatar):
    still, again, moved = (
        renderer.render(avatar, pose_of(s), SIZE) for s in (RELAXED_POSE, RELAXED_POSE, MannequinPose(left_arm=0.8))
    )
    assert still.shape == (256, 256, 4)
    assert still.dtype == np.uint8
    assert np.array_equal(still, again)
    assert np.abs(still.astype(int) - moved).max() > 3


def test_what_is_kept_of_a_sheet_gives_what_the_published_call_gives(renderer, avatar):
    pose = pose_of(RELAXED_POSE)
    assert (
        np.abs(renderer.render(avatar, pose, SIZE).astype(int) - renderer.render_uncached(avatar, pose, SIZE)).max()
        <= 1
    )


def test_the_sheet_is_encoded_once(renderer, monkeypatch):
    avatar = renderer.prepare(sheet_of(0))
    monkeypatch.setattr(renderer._network, "encode_views", None)
    assert renderer.render(avatar, pose_of(RELAXED_POSE), SIZE).any()


def test_an_empty_pose_is_an_empty_picture(renderer, avatar):
    nothing = DensePose(np.zeros((256, 256, 4), np.float32), 0)
    assert not renderer.render(avatar, nothing, SIZE).any()


def test_characters_of_different_sheets_are_drawn_together(renderer, avatar):
    other = renderer.prepare(sheet_of(1))
    requests = [
        RenderRequest(avatar, pose_of(RELAXED_POSE), SIZE),
        RenderRequest(other, pose_of(RELAXED_POSE), SIZE),
        RenderRequest(avatar, pose_of(MannequinPose(left_arm=0.5)), SIZE),
    ]
    for picture, request in zip(renderer.render_many(requests), requests, strict=True):
        alone = renderer.render(request.avatar, request.motion, SIZE)
        assert np.abs(picture.astype(int) - alone).max() <= 1
    assert renderer.render_many([]) == []


@pytest.mark.parametrize("size", [100, 400])
def test_any_size_is_the_same_picture(renderer, avatar, size):
    picture = renderer.render(avatar, pose_of(RELAXED_POSE), size)
    whole = renderer.render(avatar, pose_of(RELAXED_POSE), SIZE)
    assert picture.shape == (size, size, 4)
    assert abs(picture[..., 3].mean() - whole[..., 3].mean()) < 2


def test_a_kept_avatar_draws_the_same(renderer, avatar, tmp_path):
    write_archive(tmp_path / "avatar.npz", avatar)
    kept = read_archive(ConrAvatar, tmp_path / "avatar.npz")
    assert np.array_equal(renderer.render(kept, kept.motion, SIZE), renderer.render(avatar, avatar.motion, SIZE))


def test_half_precision_stays_near_the_exact_path(tiny_conr, renderer, avatar):
    quick = ConrRenderer(tiny_conr, choose_execution_config("bf16"))
    pose = pose_of(RELAXED_POSE)
    error = quick.render(avatar, pose, SIZE).astype(int) - renderer.render(avatar, pose, SIZE)
    assert 0 < np.sqrt(np.square(error).mean()) < 8


def test_eight_bits_stay_near_the_exact_path_with_any_number_of_views(
    tiny_conr, renderer, avatar, monkeypatch, tmp_path
):
    pytest.importorskip("openvino", reason="the extra fast-cpu is not installed")
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    stances = (RELAXED_POSE, MannequinPose(left_arm=0.8))
    ranges = observe_ranges(
        renderer.network, lambda: [renderer.render(avatar, pose_of(stance), SIZE) for stance in stances]
    )
    assert "drawing.shader.decoder_blocks.5.conv_last.2" in ranges, "transposed ones have ranges too"
    quick = ConrRenderer(tiny_conr, choose_execution_config("int8"), ranges=ranges)
    assert set(quick.parts) == {"pose", "drawing"}
    for who in (avatar, renderer.prepare(sheet_of(0))):
        moved = pose_of(MannequinPose(left_arm=0.4))
        error = quick.render(who, moved, SIZE).astype(int) - renderer.render(who, moved, SIZE)
        assert 0 < np.sqrt(np.square(error).mean()) < 6


class _AsItIs:
    def apply(self, motion, now_ns=0):
        return motion


class _Picture:
    def compose(self, rendered):
        return rendered


def test_a_driver_of_other_motion_is_refused_when_the_animator_is_built(renderer, avatar):
    face = Keypoints("mesh478", np.zeros((1, 478, 2), np.float32), None, None, np.ones(1, np.float32), 0)
    scene = AvatarScene("doll", avatar, _AsItIs(), _AsItIs(), _Picture())
    with pytest.raises(ConfigError, match="driver gives mesh478 and the renderer takes udp"):
        Animator(ReplayDriver([face]), renderer, [scene], size=SIZE)


def test_poses_are_refused_by_a_renderer_of_faces(avatar, tmp_path):
    np.savez(tmp_path / "1.npz", i=draw_mannequin(RELAXED_POSE, 64).pose)
    driver = DensePoseSequenceDriver(open_dense_pose_sequence(tmp_path), 25)
    scene = AvatarScene("doll", avatar, _AsItIs(), _AsItIs(), _Picture())
    with pytest.raises(ConfigError, match="driver gives udp and the renderer takes mesh478"):
        Animator(driver, WarpRenderer(), [scene], size=SIZE)


def test_an_animator_plays_poses(renderer, avatar, tmp_path):
    for number, stance in enumerate((RELAXED_POSE, MannequinPose(left_arm=0.5))):
        np.savez(tmp_path / f"{number}.npz", i=draw_mannequin(stance, 64).pose)
    driver = DensePoseSequenceDriver(open_dense_pose_sequence(tmp_path), 10)
    scene = AvatarScene("doll", avatar, _AsItIs(), _AsItIs(), _Picture())
    animator = Animator(driver, renderer, [scene], size=SIZE, fade_s=0)
    first, same, second = (animator.animate(DriverInputs(None, None, ms * 10**6)) for ms in (0, 99, 100))
    assert np.array_equal(first, same)
    assert not np.array_equal(first, second)
