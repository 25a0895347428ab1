from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import pytest

from livehead.animator import Animator, AvatarScene
from livehead.errors import ConfigError
from livehead.frames import Image, VideoFrame
from livehead.interfaces import DriverInputs, RenderRequest
from livehead.motion.keypoints import MESH478, Keypoints, mesh_keypoints
from livehead.motion.retarget.transfer import MotionTransfer
from livehead.motion.synthesis.idle import IdleMotion
from livehead.motion.synthesis.idle_blend import IdleBlend
from livehead.quality import QualityLevel

FACE = np.load(__file__.replace("test_animator.py", "data/face.npz"))["points"]


class Showing:
    """A driver that gives what it is told."""

    motion_set = MESH478

    def __init__(self) -> None:
        self.motion = mesh_keypoints(FACE, 1.0, 0)

    def estimate(self, inputs: DriverInputs) -> Keypoints:
        return replace(self.motion, captured_ns=inputs.now_ns)

    def reset(self) -> None: ...


@dataclass(frozen=True)
class Plain:
    motion: Keypoints
    shade: int


class Shading:
    """A renderer that paints the avatar's shade, and keeps the motion that it was given."""

    avatar_type = Plain
    motion_sets = frozenset({MESH478})
    hardware = "none"

    def __init__(self) -> None:
        self.given: Keypoints | None = None

    def prepare(self, source: int) -> Plain:
        return Plain(mesh_keypoints(FACE, 1.0, 0), source)

    def render(self, avatar: Plain, motion: Keypoints, size: int) -> Image:
        self.given = motion
        return np.full((size, size, 3), avatar.shade, np.uint8)

    def render_many(self, requests: Sequence[RenderRequest[Plain, Keypoints]]) -> list[Image]:
        return [self.render(request.avatar, request.motion, request.size) for request in requests]


class AsIs:
    def compose(self, rendered: Image) -> Image:
        return rendered


def at(ms: int) -> DriverInputs:
    frame = VideoFrame(np.zeros((4, 4, 3), np.uint8), ms, Fraction(1, 1000), ms * 10**6)
    return DriverInputs(frame, None, frame.captured_ns)


def build(*shades: int, **options: float) -> tuple[Animator, Showing, Shading]:
    driver, renderer = Showing(), Shading()
    scenes = []
    for shade in shades:
        avatar = renderer.prepare(shade)
        scenes.append(
            AvatarScene(str(shade), avatar, MotionTransfer(avatar.motion), IdleBlend(IdleMotion(avatar.motion)), AsIs())
        )
    return Animator(driver, renderer, scenes, size=32, **options), driver, renderer  # type: ignore[arg-type]


def test_inputs_become_a_picture_of_the_first_avatar() -> None:
    animator, _, _ = build(50, 200)
    assert animator.animate(at(0)).mean() == 50


def test_the_next_avatar_comes_with_a_cross_fade() -> None:
    animator, _, _ = build(50, 200, fade_s=60.0)
    animator.animate(at(0))
    assert animator.select_next_scene().name == "200"
    assert 50 <= animator.animate(at(33)).mean() < 60, "the fade has only begun"


def test_without_a_fade_the_next_avatar_is_there_at_once_and_the_first_follows_the_last() -> None:
    animator, _, _ = build(50, 200, fade_s=0.0)
    animator.animate(at(0))
    animator.select_next_scene()
    assert animator.animate(at(33)).mean() == 200
    animator.select_next_scene()
    assert animator.animate(at(66)).mean() == 50


def test_a_frozen_picture_stays_until_it_is_let_go() -> None:
    animator, _, _ = build(50, 200, fade_s=0.0)
    first = animator.animate(at(0))
    animator.frozen = True
    animator.select_next_scene()
    assert animator.animate(at(33)) is first
    animator.frozen = False
    assert animator.animate(at(66)).mean() == 200


def test_a_face_never_seen_leaves_the_avatar_to_idle_motion() -> None:
    animator, driver, renderer = build(50)
    driver.motion = mesh_keypoints(np.zeros_like(FACE), 0.0, 0)
    for ms in range(0, 2000, 33):
        animator.animate(at(ms))
        assert renderer.given is not None
        assert np.abs(renderer.given.value[0] - FACE[:, :2]).max() < 0.1


def test_idle_motion_goes_on_where_a_motion_is_drawn_once_more() -> None:
    animator, driver, renderer = build(50)
    driver.motion = mesh_keypoints(np.zeros_like(FACE), 0.0, 0)
    unseen = animator.estimate(at(0))
    shown = []
    for ms in (0, 400, 800):
        animator.draw(unseen, ms * 10**6)
        assert renderer.given is not None
        shown.append(renderer.given.value)
    assert not np.array_equal(shown[0], shown[1])
    assert not np.array_equal(shown[1], shown[2])


def test_quality_changes_the_size_from_the_next_picture_on() -> None:
    animator, _, _ = build(50)
    animator.set_quality(QualityLevel(size=16, track_every=1, fps=30))
    assert animator.animate(at(0)).shape == (16, 16, 3)


def test_requests_are_done_between_frames() -> None:
    animator, _, _ = build(50)
    done: list[str] = []
    animator.call_before_next_frame(lambda: done.append("now"))
    assert not done
    animator.animate(at(0))
    assert done == ["now"]


def test_every_motion_can_be_watched() -> None:
    driver, renderer = Showing(), Shading()
    avatar = renderer.prepare(1)
    watched: list[Keypoints] = []
    scene = AvatarScene("one", avatar, MotionTransfer(avatar.motion), IdleBlend(IdleMotion(avatar.motion)), AsIs())
    animator = Animator(driver, renderer, [scene], size=32, on_motion=watched.append)
    animator.estimate(at(0))
    assert len(watched) == 1


def test_a_driver_and_a_renderer_of_other_points_are_refused_by_name() -> None:
    driver, renderer = Showing(), Shading()
    renderer.motion_sets = frozenset({"dagan15"})
    with pytest.raises(ConfigError, match=r"mesh478.*dagan15"):
        Animator(driver, renderer, [], size=32)


def test_no_avatar_is_told() -> None:
    with pytest.raises(ConfigError, match="--avatar"):
        Animator(Showing(), Shading(), [], size=32)


def test_drawing_several_is_drawing_one_after_the_other() -> None:
    animator, driver, _ = build(50, 200, fade_s=0)
    motions = [driver.estimate(at(ms)) for ms in (0, 33, 66)]
    first, *others = animator.draw_many(motions)
    assert first.max() == 50
    assert all(np.array_equal(other, first) for other in others)
    animator.select_next_scene()
    assert [picture.max() for picture in animator.draw_many(motions)] == [200] * 3
    animator.frozen = True
    animator.select_next_scene()
    assert [picture.max() for picture in animator.draw_many(motions)] == [200] * 3
