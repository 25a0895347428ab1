"""An avatar is changed between two pictures, and the panic key outlives the change."""

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from livehead.assembly.avatar_runtime import AvatarRuntime, SwitchableAnimator
from livehead.frames import Image, VideoFrame
from livehead.interfaces import DriverInputs
from livehead.quality import QualityLevel


@dataclass(eq=False)
class Shade:
    """A runtime and its animator, which draws pictures of one shade, a little brighter each time."""

    shade: int
    closed_for: list[AvatarRuntime | None] = field(default_factory=list)
    quality: QualityLevel | None = None
    set: str = "shade"
    captured_ns: int = 0

    @property
    def animator(self) -> "Shade":
        return self

    def estimate(self, inputs: DriverInputs) -> "Shade":
        return self

    def draw(self, motion: "Shade", moment_ns: int) -> Image:
        assert motion is self, "a motion of another runtime"
        self.shade += 1
        return np.full((2, 2, 3), self.shade, np.uint8)

    def set_quality(self, quality: QualityLevel) -> None:
        self.quality = quality

    def close(self, successor: AvatarRuntime | None) -> None:
        self.closed_for.append(successor)


INPUTS = DriverInputs(VideoFrame(np.zeros((2, 2, 3), np.uint8), 0, Fraction(1, 90_000), 0), None, 0)


def test_a_motion_is_drawn_by_the_runtime_that_it_was_estimated_for() -> None:
    one, other = Shade(10), Shade(100)
    animator = SwitchableAnimator(one)
    before = animator.estimate(INPUTS)
    animator.switch_to(other)
    after = animator.estimate(INPUTS)
    assert animator.draw(before, 0).mean() == 11
    assert animator.draw(after, 0).mean() == 101


def test_the_runtime_before_is_closed_once_the_next_one_plays_and_the_last_at_the_end() -> None:
    one, other = Shade(10), Shade(100)
    animator = SwitchableAnimator(one)
    animator.switch_to(other)
    assert one.closed_for == []
    animator.estimate(INPUTS)
    animator.estimate(INPUTS)
    assert one.closed_for == [other]
    animator.close()
    assert other.closed_for == [None]


def test_a_held_picture_is_held_across_a_change_of_avatar() -> None:
    animator = SwitchableAnimator(Shade(10))
    animator.draw(animator.estimate(INPUTS), 0)
    animator.frozen = True
    animator.switch_to(Shade(100))
    assert animator.draw(animator.estimate(INPUTS), 0).mean() == 11
    animator.frozen = False
    assert animator.draw(animator.estimate(INPUTS), 0).mean() == 101


def test_the_quality_in_force_goes_on_to_the_next_runtime() -> None:
    animator, other = SwitchableAnimator(Shade(10)), Shade(100)
    animator.set_quality(QualityLevel(256, 2, 20.0))
    animator.switch_to(other)
    assert other.quality == QualityLevel(256, 2, 20.0)
