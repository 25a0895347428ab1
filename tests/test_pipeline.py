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
from livehead.interfaces import DriverInputs, EndOfStream
from livehead.motion.keypoints import Keypoints, mesh_keypoints
from livehead.pipeline import Pipeline
from livehead.quality import QualityController, QualityLevel

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
    """A microphone; it never ends unless ``blocks`` are given."""

    def __init__(self, blocks: int | None = None) -> None:
        self.blocks = blocks

    async def recv(self) -> Frame:
        await asyncio.sleep(PERIOD_S)
        if self.blocks is not None:
            self.blocks -= 1
            if self.blocks < 0:
                raise EndOfStream
        return AudioFrame(np.ones((1, 160), np.float32), 16_000, 0, now_ns())


class CountingEar:
    """Gives one sample whose value is the number of blocks that it was given."""

    heard = 0

    def put(self, frame: AudioFrame) -> None:
        self.heard += 1

    def read_newest(self, now_ns: int) -> AudioFrame | None:
        return AudioFrame(np.full((1, 1), self.heard, np.float32), 16_000, 0, now_ns) if self.heard else None


class Echo:
    """A performer whose picture is the number it saw; ``bad`` numbers fail in either stage."""

    def __init__(
        self, bad_estimate: set[int] = frozenset(), bad_draw: set[int] = frozenset(), cost_s: float = 0
    ) -> None:  # type: ignore[assignment]
        self.bad_estimate, self.bad_draw, self.cost_s = bad_estimate, bad_draw, cost_s
        self.qualities: list[QualityLevel] = []
        self.looked = 0
        self.threads: set[str] = set()

    def estimate(self, inputs: DriverInputs) -> Keypoints:
        number = int(inputs.frame.image[0, 0, 0]) if inputs.frame else 7
        self.looked += 1
        if number in self.bad_estimate:
            raise ValueError(f"bad frame {number}")
        self.threads.add(threading.current_thread().name)
        return mesh_keypoints(np.full((478, 3), number, np.float32), 1.0, inputs.now_ns)

    def draw(self, motion: Keypoints, moment_ns: int) -> Image:
        number = int(motion.value[0, 0, 0])
        if number in self.bad_draw:
            raise ArithmeticError(f"bad picture {number}")
        time.sleep(self.cost_s)
        self.threads.add(threading.current_thread().name)
        return np.full((4, 4, 3), number, np.uint8)

    def set_quality(self, quality: QualityLevel) -> None:
        self.qualities.append(quality)


class Listening(Echo):
    """Hears: its pictures tell how many blocks the ear had; its motion is 40 ms behind."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[bool] = []

    def estimate(self, inputs: DriverInputs) -> Keypoints:
        self.seen.append(inputs.frame is not None)
        heard = 0 if inputs.audio is None else round(float(inputs.audio.samples.sum())) % 256
        return mesh_keypoints(np.full((478, 3), heard, np.float32), 1.0, inputs.now_ns - 40_000_000)


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
    asyncio.run(Pipeline.from_animator(capture, Echo(), [sink], fps=100).run())
    assert sink.numbers == sorted(sink.numbers)
    assert len(sink.numbers) >= 15
    assert [frame.attached["code"] for frame in sink.video] == sink.numbers
    assert all(0 < now_ns() - frame.captured_ns < 10e9 for frame in sink.video)
    assert [f.pts for f in sink.video] == sorted({f.pts for f in sink.video})
    assert capture.closed
    assert sink.closed


def test_estimating_and_drawing_have_a_thread_each_and_both_are_joined() -> None:
    performer = Echo()
    asyncio.run(Pipeline.from_animator(Counting(5), performer, [Keeping()], fps=100).run())
    assert len(performer.threads) == 2
    assert not [t for t in threading.enumerate() if t.name.startswith("livehead-")]


def test_a_bad_frame_is_counted_and_skipped() -> None:
    sink = Keeping()
    pipeline = Pipeline.from_animator(Counting(20), Echo(bad_estimate={3}, bad_draw={8, 9}), [sink], fps=100)
    asyncio.run(pipeline.run())
    assert not {3, 8, 9} & set(sink.numbers)
    assert max(sink.numbers) >= 18
    assert pipeline.stats.read_counters()["estimate.bad"] == 1
    assert pipeline.stats.read_counters()["draw.bad"] == 2


def test_a_slow_sink_loses_only_its_own_frames() -> None:
    slow, quick = Keeping(delay_s=0.1), Keeping()
    asyncio.run(Pipeline.from_animator(Counting(40), Echo(), [slow, quick], fps=100).run())
    assert len(quick.video) >= 30
    assert 2 <= len(slow.video) <= 15


def test_a_failing_sink_is_closed_alone(caplog: pytest.LogCaptureFixture) -> None:
    failing, well = Keeping(delay_s=0.02, fails_at=3), Keeping()
    asyncio.run(Pipeline.from_animator(Counting(20), Echo(), [failing, well], fps=100).run())
    assert len(failing.video) == 3
    told = [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert told == ["an output is given up: gone: plug it in"], "frames under way fail with the same words"
    assert max(well.numbers) == 19


def test_a_sink_that_fails_without_saying_why_gets_some_patience() -> None:
    clumsy = Keeping(fails_at=2, error=RuntimeError("plugin bug"))
    well = Keeping()
    pipeline = Pipeline.from_animator(Counting(20), Echo(), [clumsy, well], fps=100)
    asyncio.run(pipeline.run())
    assert pipeline.stats.read_counters()["Keeping.bad"] >= 10
    assert max(well.numbers) == 19


def test_when_the_last_sink_fails_the_run_ends_with_its_error() -> None:
    capture = Counting(100_000)
    with pytest.raises(SinkError, match="plug it in"):
        asyncio.run(asyncio.wait_for(Pipeline.from_animator(capture, Echo(), [Keeping(fails_at=3)], fps=100).run(), 5))
    assert capture.closed


def test_a_capture_that_breaks_ends_the_run_with_its_own_error() -> None:
    sink = Keeping()
    with pytest.raises(CaptureError, match="unplugged"):
        asyncio.run(Pipeline.from_animator(Counting(3, CaptureError("unplugged")), Echo(), [sink], fps=100).run())
    assert sink.closed


def test_a_sink_that_cannot_be_opened_is_told_before_anything_runs() -> None:
    class Absent(Keeping):
        async def __aenter__(self):  # type: ignore[no-untyped-def]
            raise SinkError("no driver", "install it")

    capture, first = Counting(3), Keeping()
    with pytest.raises(SinkError, match="install it"):
        asyncio.run(Pipeline.from_animator(capture, Echo(), [first, Absent()], fps=100).run())
    assert capture.given == 0
    assert first.closed


async def test_stop_delivers_what_is_under_way_and_closes_everything() -> None:
    capture, sink = Counting(100_000), Keeping()
    pipeline = Pipeline.from_animator(capture, Echo(), [sink], fps=100, microphone=Beeping())
    running = asyncio.create_task(pipeline.run())
    await asyncio.sleep(0.3)
    pipeline.stop()
    await asyncio.wait_for(running, 1)
    assert capture.closed
    assert sink.closed
    assert sink.video
    assert sink.sound
    assert not [t for t in threading.enumerate() if t.name.startswith("livehead-")]


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 4])
async def test_a_run_that_is_stopped_as_it_begins_ends(steps: int) -> None:
    capture, sink = Counting(100_000), Keeping()
    pipeline = Pipeline.from_animator(
        capture, Echo(), [sink], fps=100, microphone=Beeping(), audio_buffer=CountingEar()
    )
    running = asyncio.create_task(pipeline.run())
    for _ in range(steps):
        await asyncio.sleep(0)
    pipeline.stop()
    await asyncio.wait_for(running, 5)
    assert sink.closed
    assert capture.given <= 1


async def test_without_a_capture_the_frame_clock_drives() -> None:
    sink = Keeping()
    pipeline = Pipeline.from_animator(None, Echo(), [sink], fps=50)
    running = asyncio.create_task(pipeline.run())
    await asyncio.sleep(0.5)
    pipeline.stop()
    await running
    assert 10 <= len(sink.video) <= 30


def test_a_capture_quicker_than_asked_is_thinned_out() -> None:
    sink = Keeping()
    pipeline = Pipeline.from_animator(Counting(60), Echo(), [sink], fps=25)
    asyncio.run(pipeline.run())
    assert len(sink.video) < 35
    assert pipeline.stats.read_counters()["capture.over_rate"] > 20


def test_a_missed_budget_reaches_the_performer() -> None:
    performer = Echo(cost_s=0.012)
    governor = QualityController(QualityLevel(512, 1, 100), budget_ms=5)
    asyncio.run(
        Pipeline.from_animator(Counting(80), performer, [Keeping()], fps=100, quality_controller=governor).run()
    )
    assert performer.qualities
    assert performer.qualities[0].size < 512


def test_a_motion_that_is_drawn_once_more_keeps_the_time_and_the_code_of_what_was_looked_at() -> None:
    performer, sink = Echo(), Keeping()
    governor = QualityController(QualityLevel(512, 2, 100), budget_ms=1000)
    asyncio.run(Pipeline.from_animator(Counting(60), performer, [sink], fps=100, quality_controller=governor).run())
    codes = [frame.attached["code"] for frame in sink.video]
    assert codes == sink.numbers, "that of the picture which the motion is of"
    assert 20 <= performer.looked <= 30
    assert len(sink.video) > 1.5 * performer.looked
    for one, other in zip(sink.video, sink.video[1:], strict=False):
        assert other.pts > one.pts
        assert (other.captured_ns > one.captured_ns) == (other.attached != one.attached)


@pytest.mark.parametrize("capture", [None, Counting(300)], ids=["frame clock", "camera"])
async def test_while_nobody_takes_the_pictures_none_is_made(capture: Counting | None) -> None:
    performer, there = Echo(), asyncio.Event()
    pipeline = Pipeline.from_animator(capture, performer, [Keeping()], fps=100, has_consumers=there.is_set)
    running = asyncio.create_task(pipeline.run())
    await asyncio.sleep(0.3)
    assert performer.looked == 0
    there.set()
    await asyncio.wait_for(pipeline.first_frame_sent.wait(), 5)
    pipeline.stop()
    await running


async def run_for(pipeline: Pipeline, seconds: float) -> None:
    running = asyncio.create_task(pipeline.run())
    await asyncio.sleep(seconds)
    pipeline.stop()
    await running


async def test_a_driver_that_hears_gets_the_newest_sound_and_its_motion_tells_the_time() -> None:
    sink = Keeping()
    pipeline = Pipeline.from_animator(
        None, Listening(), [sink], fps=50, microphone=Beeping(), audio_buffer=CountingEar()
    )
    await run_for(pipeline, 0.6)
    assert sink.numbers == sorted(sink.numbers)
    assert sink.numbers[-1] > 20, "the newest sound, not that of the tick before"
    assert pipeline.stats.summarize_stages()["capture_to_sink"]["median"] >= 40
    assert sink.sound


async def test_a_driver_that_hears_goes_on_when_the_camera_gives_nothing() -> None:
    class Stalling(Counting):
        async def recv(self) -> Frame:
            if self.given == 10:
                await asyncio.sleep(100)
            return await super().recv()

    performer = Listening()
    pipeline = Pipeline.from_animator(
        Stalling(20), performer, [Keeping()], fps=100, microphone=Beeping(), audio_buffer=CountingEar()
    )
    await run_for(pipeline, 0.8)
    assert sum(performer.seen) >= 8
    assert not any(performer.seen[-10:])
    assert performer.seen[: sum(performer.seen)] == [True] * sum(performer.seen), (
        "no ticks between the camera's pictures"
    )


def test_the_end_of_the_camera_ends_a_run_whose_microphone_never_does() -> None:
    pipeline = Pipeline.from_animator(
        Counting(5), Listening(), [Keeping()], fps=100, microphone=Beeping(), audio_buffer=CountingEar()
    )
    asyncio.run(asyncio.wait_for(pipeline.run(), 3))


def test_the_end_of_what_is_heard_ends_a_run_without_camera() -> None:
    sink = Keeping()
    pipeline = Pipeline.from_animator(
        None, Listening(), [sink], fps=50, microphone=Beeping(20), audio_buffer=CountingEar()
    )
    asyncio.run(asyncio.wait_for(pipeline.run(), 3))
    assert len(sink.sound) == 20
    assert sink.numbers[-1] == 20


async def test_sound_out_gets_sound_alone_and_the_run_goes_on_without_it() -> None:
    class Broken(Keeping):
        async def send(self, frame: Frame) -> None:
            await super().send(frame)
            if len(self.sound) == 5:
                raise SinkError("gone", "plug it in")

    speaker, sink = Broken(), Keeping()
    pipeline = Pipeline.from_animator(None, Echo(), [sink], fps=50, microphone=Beeping(), sound_out=speaker)
    await run_for(pipeline, 0.5)
    assert not speaker.video
    assert 5 <= len(speaker.sound) <= 6
    assert len(sink.sound) > 20
    assert len(sink.video) > 10
    assert pipeline.stats.read_counters()["sent"] == len(sink.video)
    assert speaker.closed


class NeverOpening(Keeping):
    """A sink whose server accepts the connection and never answers."""

    def __init__(self) -> None:
        super().__init__()
        self.given_up = False

    async def __aenter__(self) -> "NeverOpening":
        try:
            await asyncio.sleep(60)
        finally:
            self.given_up = True
        return self


def test_a_sink_that_does_not_open_is_given_up_when_the_run_is_stopped() -> None:
    first, sink = Keeping(), NeverOpening()

    async def run_and_stop() -> None:
        pipeline = Pipeline.from_animator(Counting(5), Echo(), [first, sink], fps=100)
        asyncio.get_running_loop().call_later(0.05, pipeline.stop)
        async with asyncio.timeout(1):
            await pipeline.run()

    asyncio.run(run_and_stop())
    assert sink.given_up
    assert first.closed
