"""A person says which part of a recording is used."""

from __future__ import annotations

import numpy as np
import pytest

from livehead.assembly.time_range import TimeRange, clip_blocks, parse_moment, parse_range
from livehead.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "seconds"), [("12.5", 12.5), ("0", 0), (".5", 0.5), ("1:30", 90), ("90:00", 5400), ("1:02:03.25", 3723.25)]
)
def test_moments_are_seconds_or_minutes_and_seconds(text: str, seconds: float) -> None:
    assert parse_moment(text) == seconds


@pytest.mark.parametrize("text", ["", "x", "-1", "1:60", "1:-5", "nan", "inf", "1:2:3:4", "1e3", "1:", ":5", "²"])
def test_what_is_no_moment_is_told(text: str) -> None:
    with pytest.raises(ConfigError, match="minutes:seconds"):
        parse_moment(text)


def test_the_end_comes_after_the_start() -> None:
    assert parse_range("10", "0:20") == TimeRange(10, 20)
    assert parse_range(None, None) == TimeRange()
    with pytest.raises(ConfigError, match="not after"):
        parse_range("10", "10")


def test_sound_is_cut_to_the_sample_wherever_its_blocks_end() -> None:
    sound = np.arange(100, dtype=np.float32)[None]
    blocks = np.array_split(sound, 7, axis=1)
    kept = np.concatenate(list(clip_blocks(blocks, 10, TimeRange(1.5, 7.2))), axis=1)
    np.testing.assert_array_equal(kept[0], np.arange(15, 72))
    whole = np.concatenate(list(clip_blocks(blocks, 10, TimeRange())), axis=1)
    np.testing.assert_array_equal(whole, sound)
    assert not list(clip_blocks(blocks, 10, TimeRange(20)))
