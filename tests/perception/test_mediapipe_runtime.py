"""A graph of MediaPipe's: silent until it has found something, reset and closed with its tracker."""

from __future__ import annotations

import os
from types import SimpleNamespace

import numpy as np
import pytest

from livehead.frames import Image
from livehead.perception.mediapipe_runtime import MediaPipeGraph, MediaPipeTracker

CHATTER = b"W0000 00:00:1.0 1 somewhere.cc:1] chatter\n"
EMPTY, FULL = np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), 255, np.uint8)


class TalkativeSolution:
    """Stands for one of MediaPipe's classes: it finds what is white, and talks at every picture."""

    def __init__(self, *, find: str) -> None:
        self.find = find
        self.resets = self.closings = 0

    def process(self, image: Image) -> SimpleNamespace:
        os.write(2, CHATTER)
        return SimpleNamespace(found=self.find if image.all() else None)

    def reset(self) -> None:
        os.write(2, CHATTER)
        self.resets += 1

    def close(self) -> None:
        os.write(2, CHATTER)
        self.closings += 1


def test_a_graph_is_silent_until_it_has_found_something(capfd: pytest.CaptureFixture[str]) -> None:
    graph = MediaPipeGraph(TalkativeSolution, "found", find="face")
    assert [graph.run(EMPTY), graph.run(FULL)] == [None, "face"]
    assert capfd.readouterr().err == ""
    graph.run(EMPTY)
    assert capfd.readouterr().err == CHATTER.decode(), "nothing is hidden that may matter"
    graph.reset()
    graph.run(EMPTY)
    graph.close()
    assert capfd.readouterr().err == "", "what had nothing to do until the end talks then"


def test_a_picture_need_not_be_contiguous() -> None:
    graph = MediaPipeGraph(TalkativeSolution, "found", find="face")
    assert graph.run(np.full((8, 8, 6), 255, np.uint8)[..., ::2]) == "face"


def test_a_tracker_closes_its_graphs_once() -> None:
    solutions = [TalkativeSolution(find="face") for _ in range(2)]
    graphs = [MediaPipeGraph(lambda solution=solution: solution, "found") for solution in solutions]
    with MediaPipeTracker(*graphs) as tracker:
        tracker.close()
    assert [solution.closings for solution in solutions] == [1, 1]
