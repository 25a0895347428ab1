"""The clock of a stream, turned by hand. Real devices: tests/capture/test_microphone, tests/sinks/test_speaker."""

import pytest

from livehead.audio.portaudio import StreamClock
from livehead.clock import NS

RATE = 48_000
BLOCK = 480
START_NS = 3 * NS


class Card:
    """Gives blocks of 10 ms, each ``late_ms`` after its end, and says how old they are."""

    def __init__(self) -> None:
        self.clock = StreamClock("input", RATE, lambda: self.now_ns)
        self.now_ns = START_NS
        self.blocks = 0

    def block(self, late_ms: float = 5.0, reported_ms: float | None = None) -> float:
        """ms by which the clock's word for the block's first sample is off."""
        begun_ns = START_NS + self.blocks * BLOCK * NS // RATE
        self.now_ns = begun_ns + round((10 + late_ms) * 1e6)
        age_s = (10 + late_ms if reported_ms is None else reported_ms) / 1000
        off_ns = self.clock.next_sample_ns(-age_s, -BLOCK / RATE) - begun_ns
        self.clock.sample_position += BLOCK
        self.blocks += 1
        return off_ns / 1e6

    def settle(self) -> None:
        for _ in range(300):
            self.block()


def test_a_credible_card_is_believed_and_its_blocks_jitter_does_not_show() -> None:
    card = Card()
    card.settle()
    assert max(abs(card.block(late_ms)) for late_ms in (0, 30, 2, 12, 55, 0)) < 0.01


def test_at_first_and_where_a_card_is_not_credible_a_block_is_as_old_as_it_is_long() -> None:
    card = Card()
    assert card.block(5.0, reported_ms=400) == pytest.approx(5)
    card.settle()
    for reported_ms in (0.0, 0.5, -20.0, 5000.0):  # a sample cannot be younger than the block that it begins
        card.settle()
        offs = [card.block(4.0, reported_ms) for _ in range(60)]
        assert offs[-1] == pytest.approx(4, abs=0.01)


def test_lost_samples_are_skipped() -> None:
    card = Card()
    card.settle()
    card.blocks += 10
    late_ms = card.block()
    assert late_ms == pytest.approx(-100, abs=0.1), "not known yet"
    assert card.clock.skip_lost_samples() == 10 * BLOCK
    assert abs(card.block()) < 0.1
