"""A slow or hostile viewer changes nothing for the others: two rungs, and few key frames for each."""

import pytest

from livehead.clock import NS
from livehead.webrtc.encoder import MIN_BITRATE, START_BITRATE
from livehead.webrtc.rungs import (
    LOW_RUNG_BITRATE,
    BitrateMeter,
    KeyFrameBudget,
    RungSelector,
    choose_high_bitrate,
    choose_low_bitrate,
)
from tests.webrtc.hostile_viewer import honest_bitrates

RATE = 1_000_000
STEP_NS = NS // 10


def rungs(selector: RungSelector, estimate: int | None, seconds: float, start_s: float = 0.0) -> list[str]:
    """The rung ten times a second while the estimate stays, with ``RATE`` sent on the high one and half on the low."""
    moments = range(round(start_s * NS), round((start_s + seconds) * NS), STEP_NS)
    return [selector.update(estimate, RATE, RATE // 2, moment) for moment in moments]


@pytest.mark.parametrize("estimate", [None, RATE, RATE * 85 // 100, 8 * RATE])
def test_a_viewer_who_can_take_what_is_sent_stays_on_the_high_rung(estimate: int | None) -> None:
    assert set(rungs(RungSelector(0), estimate, 100)) == {"high"}


def test_a_viewer_who_cannot_is_put_on_the_low_rung_once_estimates_have_come_to_rest() -> None:
    found = rungs(RungSelector(0), RATE // 2, 10)
    assert 40 <= found.index("low") <= 70
    assert found[-1] == "low"


def test_a_short_fall_of_the_estimate_changes_nothing() -> None:
    selector = RungSelector(0)
    rungs(selector, RATE, 10)
    rungs(selector, 1, 1.0, start_s=10)
    assert set(rungs(selector, RATE, 10, start_s=11)) == {"high"}


def test_the_high_rung_is_tried_again_after_pauses_that_grow() -> None:
    selector = RungSelector(0)
    found = rungs(selector, RATE // 2, 400)  # its estimate is as high as what it is sent on the low rung
    changes = [at / 10 for at, (one, next_) in enumerate(zip(found, found[1:], strict=False)) if one != next_]
    tries = [later - earlier for earlier, later in zip(changes[::2], changes[1::2], strict=False)]
    assert tries == sorted(tries)
    assert 9 < tries[0] < 11
    assert tries[-1] > 75


def test_a_viewer_who_can_take_nothing_is_never_tried_again() -> None:
    assert "high" not in rungs(RungSelector(0), 1, 400)[100:]


def test_the_owner_s_link_alone_decides_how_good_its_picture_is() -> None:
    assert choose_high_bitrate([3_000_000], [1, None, 8_000_000]) == 3_000_000
    assert choose_high_bitrate([None], [1]) == START_BITRATE


def test_without_an_owner_nobody_is_lowered_by_another() -> None:
    assert choose_high_bitrate([], [700_000]) == 700_000, "one viewer's own link"
    assert choose_high_bitrate([], [2_000_000, 1]) == 2_000_000
    assert choose_high_bitrate([], [None, 1]) == START_BITRATE
    assert choose_high_bitrate([], [2_000_000, 8_000_000]) == START_BITRATE, "nor drowned"
    assert choose_high_bitrate([], []) is None


def test_the_low_rung_has_bounds() -> None:
    assert choose_low_bitrate([]) == choose_low_bitrate([None, 900_000]) == LOW_RUNG_BITRATE
    assert choose_low_bitrate([300_000, 400_000]) == 300_000
    assert choose_low_bitrate([1]) == MIN_BITRATE


def test_a_meter_tells_what_was_sent_of_late() -> None:
    meter = BitrateMeter()
    assert meter.rate(0) is None
    for number in range(90):
        meter.add(1250, number * NS // 30)
    assert meter.rate(3 * NS) == pytest.approx(300_000, rel=0.05)
    assert meter.rate(6 * NS) is None, "nobody has wanted it for a while"
    meter.add(1250, 7 * NS)
    assert meter.rate(7 * NS) is None


def test_a_viewer_has_three_key_frames_at_once_and_then_few() -> None:
    budget = KeyFrameBudget(0)
    granted = [moment for moment in range(0, 60 * NS, NS // 50) if budget.try_acquire(moment)]
    assert granted[:3] == [0, NS // 50, 2 * NS // 50]
    assert len(granted) <= 3 + 60 // 4


async def test_a_viewer_who_says_it_can_take_nothing_and_floods_lowers_nobody_s_picture() -> None:
    _, beside_another = await honest_bitrates(4.0, hostile=False, owner=False)
    before, beside_hostile = await honest_bitrates(4.0, hostile=True, owner=False)
    assert beside_hostile > 0.7 * beside_another, (before, beside_hostile, beside_another)
