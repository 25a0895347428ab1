from __future__ import annotations

import asyncio

import numpy as np
import pytest

from livehead.capture.synthetic import PreparedFrame, SyntheticCapture, play_in_order
from livehead.clock import NS, now_ns
from livehead.interfaces import EndOfStream

from .conftest import rest

SHOTS = [PreparedFrame(np.full((4, 4, 3), i, np.uint8), {"code": i}) for i in range(5)]


async def test_shots_come_in_order_with_what_is_attached() -> None:
    async with SyntheticCapture(SHOTS, fps=200) as capture:
        frames = [await capture.recv() for _ in range(5)]
    codes = [frame.attached["code"] for frame in frames]
    assert codes == sorted(codes)
    assert all(frame.image[0, 0, 0] == frame.attached["code"] for frame in frames)


async def test_exposures_lie_exactly_on_the_frame_clock() -> None:
    async with SyntheticCapture(SHOTS, fps=100, phase=0.25) as capture:
        frames = [await capture.recv() for _ in range(10)]
        off = {(frame.captured_ns - capture.start_ns - NS // 400) % (NS // 100) for frame in frames}
    assert off == {0}
    assert all(
        frame.seconds == pytest.approx((frame.captured_ns - capture.start_ns) / NS, abs=1e-4) for frame in frames
    )


async def test_no_frame_comes_before_its_exposure() -> None:
    async with SyntheticCapture(SHOTS, fps=100) as capture:
        for _ in range(10):
            frame = await capture.recv()
            assert frame.captured_ns <= now_ns()


async def test_a_late_reader_loses_exposures_as_with_a_real_camera() -> None:
    async with SyntheticCapture(SHOTS, fps=100) as capture:
        await capture.recv()
        await asyncio.sleep(0.055)
        before = now_ns()
        assert (await capture.recv()).captured_ns > before - 2 * NS // 100
        assert capture.skipped >= 3


async def test_without_a_loop_it_ends() -> None:
    async with SyntheticCapture(SHOTS, fps=200, schedule=play_in_order(5, 200, loop=False)) as capture:
        with pytest.raises(EndOfStream):
            await rest(capture)


async def test_a_sudden_change_is_seen_by_the_first_exposure_after_it() -> None:
    event_ns = 37_000_000
    async with SyntheticCapture(
        SHOTS, fps=100, schedule=lambda since_ns: int(since_ns >= event_ns), phase=0.5
    ) as capture:
        frames = [await capture.recv() for _ in range(8)]
        seen = next(frame for frame in frames if frame.attached["code"] == 1)
        assert 0 <= seen.captured_ns - capture.start_ns - event_ns < NS // 100 * (1 + capture.skipped)


def test_at_its_own_rate_each_shot_shows_once_for_an_hour() -> None:
    scene = play_in_order(10**9, 30.0)
    period = round(NS / 30)
    exposures = [0, 1, 2, 1_500, 107_999]
    assert [scene(n * period) for n in exposures] == exposures


def test_it_needs_something_to_show() -> None:
    with pytest.raises(ValueError, match="at least one"):
        SyntheticCapture([])
