"""A machine is asked how quick it is before a model is chosen for it, and says what it measured."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from livehead.assembly.realtime_trial import try_realtime


@pytest.mark.parametrize(
    ("seconds_at", "enough", "told"),
    [({512: 0.0, 384: 0.0}, True, 512), ({512: 0.04, 384: 0.0}, True, 384), ({512: 0.04, 384: 0.04}, False, 384)],
)
def test_a_renderer_keeps_up_when_it_leaves_time_for_the_rest_at_its_size_or_a_step_below(
    seconds_at: dict[int, float], enough: bool, told: int
) -> None:
    class SleepingRenderer:
        def render(self, avatar: object, motion: object, size: int) -> None:
            time.sleep(seconds_at[size])

    live_avatar = SimpleNamespace(renderer=SleepingRenderer(), avatars=(SimpleNamespace(motion=None),), render_size=512)
    trial = try_realtime(live_avatar, 30)  # type: ignore[arg-type]
    assert trial.keeps_up is enough
    assert trial.size == told
    if not enough:
        assert trial.draw_ms >= 40
        assert f"took {trial.draw_ms:.0f} ms, and 25 ms are allowed" in trial.describe_excess()
