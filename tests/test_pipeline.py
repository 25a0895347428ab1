import asyncio
import threading
import time
from fractions import Fraction
from types import TracebackType

import numpy as np
import pytest

from livehead.clock import now_ns
from livehead.errors import CaptureError, SinkError
from livehead.frames import AudioFrame, Frame, Image, VideoFrame
from livehead.governor import Governor, Quality
from livehead.interfaces import EndOfStream, Inputs
from livehead.motion.keypoints import Keypoints, mesh_keypoints
from livehead.pipeline import Pipeline

PERIOD_S = 0.01


class End:
    """The two ends of an ``async with``; remembers whether it was closed."""

    closed = False

    async def __aenter__(self):  # type: ignore[no-untyped-def]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closed = True


class Counting(End):
    """A capture of ``n`` pictures whose first pixel is their number; then the end, or ``error``."""

    def __init__(self, n: int, error: Exception | None = None) -> None:
        self.n = n
        self.error = error
        self.given = 0

    async def recv(self) -> Frame:
        if self.given == self.n:
            raise self.error or EndOfStream
        await asyncio.sleep(PERIOD_S)
        image = np.full((4, 4, 3), self.given % 256, np.uint8)
        self.given += 1
        return VideoFrame(image, self.given, Fraction(1, 100), now_ns(), {"code": self.given - 1})


class Beeping(End):
    """A microphone that never ends."""

    async def recv(self) -> Frame:
        await asyncio.sleep(PERIOD_S)
        return AudioFrame(np.zeros((1, 160), np.float32), 16_000, 0, now_ns())


class Echo:
    """A performer whose picture is the number it saw; ``bad`` numbers fail in either stage."""

    def __init__(
        self, bad_estimate: set[int] = frozenset(), bad_draw: set[int] = frozenset(), cost_s: float = 0
    ) -> None:  # type: ignore[assignment]
        self.bad_estimate, self.bad_draw, self.cost_s = bad_estimate, bad_draw, cost_s
        self.qualities: list[Quality] = []
        self.threads: set[str] = set()

    def estimate(self, inputs: Inputs) -> Keypoints:
        number = int(inputs.frame.image[0, 0, 0]) if inputs.frame else 7
        if number in self.bad_estimate:
            raise ValueError(f"bad frame {number}")
        self.threads.add(threading.current_thread().name)
        return mesh_keypoints(np.full((478, 3), number, np.float32), 1.0, inputs.now_ns)

    def draw(self, motion: Keypoints) -> Image:
        number = int(motion.value[0, 0, 0])
        if number in self.bad_draw:
            raise ArithmeticError(f"bad picture {number}")
        time.sleep(self.cost_s)
        self.threads.add(threading.current_thread().name)
        return np.full((4, 4, 3), number, np.uint8)

    def set_quality(self, quality: Quality) -> None:
        self.qualities.append(quality)


class Keeping(End):
    """A sink that keeps what it gets, after ``delay_s``, and fails from frame ``fails_at`` on with ``error``."""

    def __init__(self, delay_s: float = 0, fails_at: int | None = None, error: Exception | None = None) -> None:
        self.delay_s, self.fails_at, self.error = delay_s, fails_at, error or SinkError("gone", "plug it in")
        self.video: list[VideoFrame] = []
        self.sound: list[AudioFrame] = []

    async def send(self, frame: Frame) -> None:
        if isinstance(frame, AudioFrame):
            self.sound.append(frame)
            return
        await asyncio.sleep(self.delay_s)
        if self.fails_at is not None and len(self.video) >= self.fails_at:
            raise self.error
        self.video.append(frame)

    @property
    def numbers(self) -> list[int]:
        return [int(frame.image[0, 0, 0]) for frame in self.video]


def test_frames_arrive_in_order_with_their_time_and_what_hangs_on_them() -> None:
    capture, sink = Counting(20), Keeping()
    asyncio.run(Pipeline(capture, Echo(), [sink], fps=100).run())
    assert sink.numbers == sorted(sink.numbers)
    assert len(sink.numbers) >= 15
    assert [frame.attached["code"] for frame in sink.video] == sink.numbers
    assert all(0 < now_ns() - frame.captured_ns < 10e9 for frame in sink.video)
    assert [f.pts for f in sink.video] == sorted({f.pts for f in sink.video})
    assert capture.closed
    assert sink.closed


def test_estimating_and_drawing_have_a_thread_each_and_both_are_joined() -> None:
    performer = Echo()
    asyncio.run(Pipeline(Counting(5), performer, [Keeping()], fps=100).run())
    assert len(performer.threads) == 2
    assert not [t for t in threading.enumerate() if t.name.startswith("livehead-")]


def test_a_bad_frame_is_counted_and_skipped() -> None:
    sink = Keeping()
    pipeline = Pipeline(Counting(20), Echo(bad_estimate={3}, bad_draw={8, 9}), [sink], fps=100)
    asyncio.run(pipeline.run())
    assert not {3, 8, 9} & set(sink.numbers)
    assert max(sink.numbers) >= 18
    assert pipeline.stats.counts()["estimate.bad"] == 1
    assert pipeline.stats.counts()["draw.bad"] == 2


def test_a_slow_sink_loses_only_its_own_frames() -> None:
    slow, quick = Keeping(delay_s=0.1), Keeping()
    asyncio.run(Pipeline(Counting(40), Echo(), [slow, quick], fps=100).run())
    assert len(quick.video) >= 30
    assert 2 <= len(slow.video) <= 15


def test_a_failing_sink_is_closed_alone() -> None:
    failing, well = Keeping(fails_at=3), Keeping()
    asyncio.run(Pipeline(Counting(20), Echo(), [failing, well], fps=100).run())
    assert len(failing.video) == 3
    assert max(well.numbers) == 19


def test_a_sink_that_fails_without_saying_why_gets_some_patience() -> None:
    clumsy = Keeping(fails_at=2, error=RuntimeError("plugin bug"))
    well = Keeping()
    pipeline = Pipeline(Counting(20), Echo(), [clumsy, well], fps=100)
    asyncio.run(pipeline.run())
    assert pipeline.stats.counts()["Keeping.bad"] >= 10
    assert max(well.numbers) == 19


def test_when_the_last_sink_fails_the_run_ends_with_its_error() -> None:
    capture = Counting(100_000)
    with pytest.raises(SinkError, match="plug it in"):
        asyncio.run(asyncio.wait_for(Pipeline(capture, Echo(), [Keeping(fails_at=3)], fps=100).run(), 5))
    assert capture.closed


def test_a_capture_that_breaks_ends_the_run_with_its_own_error() -> None:
    sink = Keeping()
    with pytest.raises(CaptureError, match="unplugged"):
        asyncio.run(Pipeline(Counting(3, CaptureError("unplugged")), Echo(), [sink], fps=100).run())
    assert sink.closed


def test_a_sink_that_cannot_be_opened_is_told_before_anything_runs() -> None:
    class Absent(Keeping):
        async def __aenter__(self):  # type: ignore[no-untyped-def]
            raise SinkError("no driver", "install it")

    capture, first = Counting(3), Keeping()
    with pytest.raises(SinkError, match="install it"):
        asyncio.run(Pipeline(capture, Echo(), [first, Absent()], fps=100).run())
    assert capture.given == 0
    assert first.closed


async def test_stop_delivers_what_is_under_way_and_closes_everything() -> None:
    capture, sink = Counting(100_000), Keeping()
    pipeline = Pipeline(capture, Echo(), [sink], fps=100, microphone=Beeping())
    running = asyncio.create_task(pipeline.run())
    await asyncio.sleep(0.3)
    pipeline.stop()
    await asyncio.wait_for(running, 1)
    assert capture.closed
    assert sink.closed
    assert sink.video
    assert sink.sound
    assert not [t for t in threading.enumerate() if t.name.startswith("livehead-")]


async def test_without_a_capture_the_frame_clock_drives() -> None:
    sink = Keeping()
    pipeline = Pipeline(None, Echo(), [sink], fps=50)
    running = asyncio.create_task(pipeline.run())
    await asyncio.sleep(0.5)
    pipeline.stop()
    await running
    assert 10 <= len(sink.video) <= 30


def test_a_capture_quicker_than_asked_is_thinned_out() -> None:
    sink = Keeping()
    pipeline = Pipeline(Counting(60), Echo(), [sink], fps=25)
    asyncio.run(pipeline.run())
    assert len(sink.video) < 35
    assert pipeline.stats.counts()["capture.over_rate"] > 20


def test_a_missed_budget_reaches_the_performer() -> None:
    performer = Echo(cost_s=0.012)
    governor = Governor(Quality(512, 1, 100), budget_ms=5)
    asyncio.run(Pipeline(Counting(80), performer, [Keeping()], fps=100, governor=governor).run())
    assert performer.qualities
    assert performer.qualities[0].size < 512
