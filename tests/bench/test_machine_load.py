"""Figures say when other programs were busy while they were taken."""

from __future__ import annotations

from pathlib import Path

from livehead.bench.machine_load import OtherProgramsLoad

IDLE_BEFORE = "cpu 1000 0 0 100000 0 0 0 0 0 0"


def measure(stat: Path, after: str) -> OtherProgramsLoad:
    stat.write_text(IDLE_BEFORE)
    with OtherProgramsLoad(stat) as load:
        stat.write_text(after)
    return load


def test_a_busy_machine_is_told(tmp_path: Path) -> None:
    load = measure(tmp_path / "stat", "cpu 61000 0 0 140000 0 0 0 0 0 0")
    assert load.share is not None
    assert 0.5 < load.share <= 0.6
    assert "other programs used 60%" in load.describe()


def test_an_idle_machine_is_not_worth_a_word(tmp_path: Path) -> None:
    assert measure(tmp_path / "stat", "cpu 1100 0 0 200000 0 0 0 0 0 0").describe() == ""


def test_a_system_that_does_not_tell_is_taken_as_idle(tmp_path: Path) -> None:
    with OtherProgramsLoad(tmp_path / "none") as load:
        pass
    assert load.share is None
    assert load.describe() == ""
