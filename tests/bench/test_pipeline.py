"""The whole bench on a real pipeline whose performer passes the camera's picture through, with a delay."""

import sys
import time
from dataclasses import dataclass

import cv2
import numpy as np
import pytest

from livehead.bench.harness.virtual_camera_probe import BACKEND_NAME
from livehead.bench.pipeline import PipelineRun, bench_pipeline, late_share
from livehead.capture.synthetic import PreparedFrame, SyntheticCapture
from livehead.clock import now_ns
from livehead.pipeline import Pipeline
from livehead.sinks.virtual_camera import VirtualCameraSink
from livehead.stats import StatsCollector

pytest.importorskip("pyvirtualcam", reason="pyvirtualcam is an optional extra (GPL-2.0)")

JUMPS, SHOTS, SIZE = 4, 3, (320, 180)


@dataclass(frozen=True)
class Passed:
    """A motion that is the picture itself."""

    image: np.ndarray
    captured_ns: int
    set: str = "picture"


class PassThrough:
    """A performer that shows the camera's picture itself, some milliseconds later."""

    def __init__(self):
        self._random = np.random.default_rng(0)

    def estimate(self, inputs):
        return Passed(inputs.frame.image, inputs.now_ns)

    def draw(self, motion, moment_ns):
        time.sleep(self._random.uniform(0.002, 0.012))
        return motion.image

    def set_quality(self, quality):
        raise AssertionError("there is no governor here")


class TimeCoded:
    """A sink that reads, beside the pixels, the pose that travels with the frame."""

    def __init__(self, sink):
        self._sink = sink
        self.sent = []

    async def __aenter__(self):
        await self._sink.__aenter__()
        return self

    async def __aexit__(self, *error):
        await self._sink.__aexit__(*error)

    async def send(self, frame):
        await self._sink.send(frame)
        self.sent.append((now_ns(), frame.attached["pose"]))


def shots():
    """A disc on noise, left or right of the middle."""
    random = np.random.default_rng(1)
    made = []
    for pose, x in enumerate((120, 200)):
        for _ in range(SHOTS):
            picture = random.integers(60, 90, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
            cv2.circle(picture, (x, 90), 40, (210, 180, 160), -1)
            made.append(PreparedFrame(picture, {"pose": pose}))
    return made


async def test_the_detector_sees_each_jump_in_the_frame_that_its_time_code_names():
    runs = []

    async def play(jumps, receiver):
        receiver.register()
        capture = SyntheticCapture(shots(), fps=30, schedule=jumps)
        sink = TimeCoded(VirtualCameraSink(size=SIZE, fps=30, backend=BACKEND_NAME))
        pipeline = Pipeline.from_animator(capture, PassThrough(), [sink], fps=30)
        await pipeline.run()
        runs.append((jumps, capture.start_ns, sink.sent))
        return PipelineRun(capture.start_ns, capture.skipped, pipeline.stats)

    figures = await bench_pipeline(play, shots=SHOTS, jumps=JUMPS, start_s=1.5)

    ((jumps, start_ns, sent),) = runs
    coded = []
    for number, at_ns in enumerate(jumps.jump_times_ns):
        new = (number + 1) % 2
        coded.append(next(t for t, pose in sent if t > start_ns + at_ns and pose == new) - start_ns - at_ns)
    # the same frame to within the moments between the backend and the end of ``send``, far less than a period
    assert figures.latency_ms == pytest.approx([ns / 1e6 for ns in coded], abs=15)
    results = figures.results
    assert results["missed"] == 0
    assert results["motion_to_photon"]["n"] == JUMPS
    assert {"estimate", "draw", "send", "capture_to_sink"} <= results["stages"].keys()
    assert sum(results["shares"].values()) == pytest.approx(1, abs=0.01)
    assert results["fps"] > 20
    assert results["cpu_s_per_frame"] > 0
    assert results["peak_mb"] > 50
    assert results["start_s"] == 1.5
    if sys.platform == "linux":
        assert 50 < results["resident_mb"]["last_third"] < results["peak_mb"] * 1.05


def test_frames_later_than_a_period_after_their_slot_are_late():
    stats = StatsCollector()
    for milliseconds in [20.0] * 18 + [50.0, 90.0]:
        stats.record_timing("capture_to_sink", milliseconds)
    assert late_share(stats, fps=30) == pytest.approx(1 / 20)
