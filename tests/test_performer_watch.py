"""A live run tells what to do while nobody is seen, who is followed among several, and counts frames without a face."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from livehead import performer_watch
from livehead.clock import NS
from livehead.frames import VideoFrame
from livehead.motion.keypoints import FaceSighting, Keypoints
from livehead.performer_watch import NO_FACE_COUNTER, PerformerWatch, report_performer
from livehead.stats import StatsCollector


class Clock:
    """A clock that a test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_ns = 10 * NS
        monkeypatch.setattr(performer_watch, "now_ns", lambda: self.now_ns)

    def advance(self, seconds: float) -> None:
        self.now_ns += round(seconds * NS)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def stats() -> StatsCollector:
    return StatsCollector()


def frame(brightness: int = 120) -> VideoFrame:
    return VideoFrame(np.full((48, 64, 3), brightness, np.uint8), 0, Fraction(1, 30), 0)


def away(source: Keypoints) -> Keypoints:
    return replace(source, confidence=np.zeros(1, np.float32))


def test_nothing_is_told_until_nobody_has_been_seen_for_three_seconds(
    source: Keypoints, clock: Clock, stats: StatsCollector
) -> None:
    watch = PerformerWatch(stats)
    watch.observe(frame(), source)
    for _ in range(28):
        clock.advance(0.1)
        watch.observe(frame(), away(source))
        assert watch.advice() == ""
    clock.advance(0.3)
    watch.observe(frame(), away(source))
    for word in ("nearer", "light", "lens"):
        assert word in watch.advice()
    assert stats.read_counters()[NO_FACE_COUNTER] == 29
    watch.observe(frame(), source)
    assert watch.advice() == ""


@pytest.mark.parametrize(("brightness", "word"), [(2, "uncover"), (30, "more light"), (140, "nearer")])
def test_the_advice_is_of_the_picture(
    source: Keypoints, clock: Clock, stats: StatsCollector, brightness: int, word: str
) -> None:
    watch = PerformerWatch(stats)
    for _ in range(32):
        watch.observe(frame(brightness), away(source))
        clock.advance(0.1)
    assert word in watch.advice()


def test_a_camera_that_gives_nothing_is_no_face_that_is_lost(
    source: Keypoints, clock: Clock, stats: StatsCollector
) -> None:
    watch = PerformerWatch(stats)
    watch.observe(frame(), source)
    clock.advance(10)
    assert watch.advice() == ""


def test_of_several_faces_it_tells_how_many_and_which(source: Keypoints, clock: Clock, stats: StatsCollector) -> None:
    watch = PerformerWatch(stats)
    watch.observe(frame(), replace(source, sighting=FaceSighting(face_count=1)))
    assert watch.describe_others() == ""
    watch.observe(frame(), replace(source, sighting=FaceSighting(face_count=2)))
    assert watch.describe_others().startswith("2 faces: following the one seen first")


def test_each_change_is_told_once(source: Keypoints, clock: Clock, stats: StatsCollector) -> None:
    watch, told = PerformerWatch(stats), []

    async def live() -> None:
        reporting = asyncio.create_task(report_performer(watch, told.append, 0.01))
        for seconds, motion in [(0, source), (3.5, away(source)), (0.1, away(source)), (0.1, source), (0.1, source)]:
            clock.advance(seconds)
            watch.observe(frame(), motion)
            await asyncio.sleep(0.05)
        crowd = replace(source, sighting=FaceSighting(face_count=3))
        watch.observe(frame(), crowd)
        await asyncio.sleep(0.05)
        reporting.cancel()

    asyncio.run(live())
    assert [line.split(":")[0] for line in told] == ["nobody is seen", "somebody is seen again", "3 faces"]
