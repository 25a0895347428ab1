"""One network for many sessions: the same pictures, an error only for the request that made it, nobody left waiting."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from livehead.assembly.synthetic_performer import ASTRONAUT_PHOTO, bundled_portrait
from livehead.frames import Image
from livehead.interfaces import RenderRequest
from livehead.models.compact.build import build_compact
from livehead.renderers.batching import BatchingRenderer, NetworkBatcher
from livehead.renderers.compact import CompactRenderer

SESSIONS = 8


@dataclass(frozen=True)
class Shade:
    """An avatar of one brightness."""

    motion: int


class ShadingNetwork:
    """A renderer whose network is a moment's sleep; it notes the sizes of its batches and refuses motion -1."""

    avatar_type = Shade
    motion_sets = frozenset({"shade"})
    hardware = "none"
    device = torch.device("cpu")

    def __init__(self, *, pause_s: float = 0.0, alpha: bool = False) -> None:
        self.alpha = alpha
        self.batches: list[int] = []
        self.threads: list[int] = []
        self.pause_s = pause_s
        self.started, self.may_go_on = threading.Event(), threading.Event()
        self.may_go_on.set()

    def with_alpha(self, alpha: bool) -> ShadingNetwork:
        return ShadingNetwork(alpha=alpha)

    def prepare(self, source: int) -> Shade:
        return Shade(source)

    def batch_key(self, request: RenderRequest[Shade, int]) -> int:
        return request.size

    def run_network(self, requests: Sequence[RenderRequest[Shade, int]]) -> list[int]:
        assert len({request.size for request in requests}) == 1
        self.batches.append(len(requests))
        self.threads.append(threading.get_ident())
        self.started.set()
        assert self.may_go_on.wait(10)
        time.sleep(self.pause_s)
        if any(request.motion == -1 for request in requests):
            raise ValueError("no such motion")
        return [request.avatar.motion + request.motion for request in requests]

    def finish_image(self, request: RenderRequest[Shade, int], output: int) -> Image:
        return np.full((request.size, request.size, 4 if self.alpha else 3), output, np.uint8)

    def render(self, avatar: Shade, motion: int, size: int) -> Image:
        return self.render_many([RenderRequest(avatar, motion, size)])[0]

    def render_many(self, requests: Sequence[RenderRequest[Shade, int]]) -> list[Image]:
        outputs = self.run_network(requests)
        return [self.finish_image(request, output) for request, output in zip(requests, outputs, strict=True)]


def warm_batcher(network: ShadingNetwork, *sizes: int) -> NetworkBatcher:
    """A batcher that may draw batches of up to four pictures of ``sizes``."""
    batcher = NetworkBatcher(network, 4)
    for size in sizes:
        batcher.warm_up(RenderRequest(Shade(0), 0, size))
    network.batches.clear()
    network.threads.clear()
    return batcher


def draw_while_the_network_is_busy(
    network: ShadingNetwork, renderer: BatchingRenderer, motions: Sequence[int], size: int = 8
) -> list[Image | Exception]:
    """What each of ``motions`` comes to, all asked for while a first picture is being drawn."""
    network.may_go_on.clear()
    network.started.clear()

    def render(motion: int) -> Image | Exception:
        try:
            return renderer.render(Shade(10), motion, size)
        except ValueError as error:
            return error

    with ThreadPoolExecutor(len(motions) + 1) as sessions:
        first = sessions.submit(render, 0)
        assert network.started.wait(10)
        asked = []
        for motion in motions:
            asked.append(sessions.submit(render, motion))
            time.sleep(0.02)
        network.may_go_on.set()
        assert np.all(first.result(10) == 10)
        return [answer.result(10) for answer in asked]


def test_a_session_that_is_alone_draws_on_its_own_thread_one_by_one() -> None:
    network = ShadingNetwork()
    renderer = BatchingRenderer(warm_batcher(network, 8))
    pictures = [renderer.render(Shade(10), motion, 8) for motion in range(3)]
    assert [picture[0, 0, 0] for picture in pictures] == [10, 11, 12]
    assert network.batches == [1, 1, 1]
    assert set(network.threads) == {threading.get_ident()}


def test_what_waits_at_the_same_moment_is_drawn_together_and_each_gets_its_own_picture() -> None:
    network = ShadingNetwork()
    pictures = draw_while_the_network_is_busy(network, BatchingRenderer(warm_batcher(network, 8)), range(1, 7))
    assert [picture[0, 0, 0] for picture in pictures if not isinstance(picture, Exception)] == [11, 12, 13, 14, 15, 16]
    assert network.batches == [1, 4, 2], "the longest waiting first, at most four together"


def test_three_that_wait_are_drawn_as_two_and_one_because_only_warm_sizes_are_drawn() -> None:
    network = ShadingNetwork()
    draw_while_the_network_is_busy(network, BatchingRenderer(warm_batcher(network, 8)), (1, 2, 3))
    assert network.batches == [1, 2, 1]


def test_without_a_warm_up_nothing_is_drawn_together() -> None:
    network = ShadingNetwork()
    draw_while_the_network_is_busy(network, BatchingRenderer(NetworkBatcher(network)), (1, 2, 3, 4))
    assert network.batches == [1] * 5


def test_a_request_that_fails_fails_alone() -> None:
    network = ShadingNetwork()
    renderer = BatchingRenderer(warm_batcher(network, 8))
    first, bad, third, fourth = draw_while_the_network_is_busy(network, renderer, (1, -1, 3, 4))
    assert isinstance(bad, ValueError)
    assert [np.unique(picture).item() for picture in (first, third, fourth)] == [11, 13, 14]
    assert network.batches == [1, 4, 1, 1, 1, 1], "after an error each is drawn alone"
    assert np.all(renderer.render(Shade(1), 1, 8) == 2), "the next picture is drawn as ever"


def test_a_failing_request_among_several_of_one_thread_leaves_nobody_waiting() -> None:
    network = ShadingNetwork()
    renderer = BatchingRenderer(warm_batcher(network, 8))
    with pytest.raises(ValueError, match="no such motion"):
        renderer.render_many([RenderRequest(Shade(10), motion, 8) for motion in (1, -1, 3, 4)])
    assert np.all(renderer.render(Shade(1), 1, 8) == 2)


def test_requests_of_different_keys_are_never_drawn_together() -> None:
    network = ShadingNetwork()
    batcher = warm_batcher(network, 8, 16)
    renderer = BatchingRenderer(batcher)
    requests = [RenderRequest(Shade(0), number, 8 if number % 2 else 16) for number in range(6)]
    pictures = renderer.render_many(requests)
    assert [picture.shape[0] for picture in pictures] == [16, 8] * 3
    assert [picture[0, 0, 0] for picture in pictures] == list(range(6))


def test_sessions_with_and_without_alpha_share_one_network() -> None:
    network = ShadingNetwork()
    batcher = warm_batcher(network, 8)
    plain, transparent = (BatchingRenderer(batcher, alpha=alpha) for alpha in (False, True))
    assert plain.render(Shade(5), 1, 8).shape == (8, 8, 3)
    assert transparent.render(Shade(5), 1, 8).shape == (8, 8, 4)
    assert network.batches == [1, 1]


def test_many_threads_each_get_every_picture_they_asked_for() -> None:
    network = ShadingNetwork(pause_s=0.001)
    renderer = BatchingRenderer(warm_batcher(network, 8, 16))

    def play(session: int) -> bool:
        size = 8 if session % 2 else 16
        return all(np.all(renderer.render(Shade(session), number, size) == session + number) for number in range(50))

    with ThreadPoolExecutor(SESSIONS) as sessions:
        assert all(sessions.map(play, range(SESSIONS), timeout=60))
    assert sum(network.batches) == SESSIONS * 50
    assert max(network.batches) == 4


def test_what_ends_a_thread_leaves_the_network_to_the_others() -> None:
    class Interrupted(ShadingNetwork):
        def run_network(self, requests: Sequence[RenderRequest[Shade, int]]) -> list[int]:
            if requests[0].motion == 99:
                raise KeyboardInterrupt
            return super().run_network(requests)

    renderer = BatchingRenderer(NetworkBatcher(Interrupted()))
    with pytest.raises(KeyboardInterrupt):
        renderer.render(Shade(0), 99, 8)
    assert np.all(renderer.render(Shade(0), 7, 8) == 7)


def test_sessions_of_the_compact_network_get_the_pictures_that_they_would_get_alone() -> None:
    torch.manual_seed(0)
    alone = CompactRenderer(96, precision="fp32", network=build_compact())
    avatar = alone.prepare(bundled_portrait(ASTRONAUT_PHOTO))
    batcher = NetworkBatcher(alone)
    renderers = [BatchingRenderer(batcher, alpha=alpha) for alpha in (False, True)]
    renderers[0].warm_up_batches(avatar, 96)
    motions = [
        avatar.motion.with_points(avatar.motion.value + np.array([number / 100, 0], np.float32)) for number in range(4)
    ]
    expected = [alone.with_alpha(number % 2 == 1).render(avatar, motion, 96) for number, motion in enumerate(motions)]
    with ThreadPoolExecutor(4) as sessions:
        asked = [
            sessions.submit(renderers[number % 2].render, avatar, motion, 96) for number, motion in enumerate(motions)
        ]
        for answer, picture in zip(asked, expected, strict=True):
            assert answer.result(60).shape == picture.shape
            assert np.abs(answer.result().astype(int) - picture).max() <= 1
