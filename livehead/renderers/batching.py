"""One network for many sessions: requests that wait at the same moment go through it together.

There is no thread of its own. A session that finds nobody drawing draws for all who wait, itself included, so that a
session that is alone calls the network directly and pays for no change of thread.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

import torch

from livehead.frames import Image
from livehead.interfaces import Renderer, RenderRequest

CPU_MAX_BATCH = 4
"""Requests that are drawn together on a processor. Measured with ``compact`` at 512 pixels on one core (AMD EPYC), a
frame of a batch takes this share of the time of a frame alone: int8 0.84 of 2, 0.75 of 4, 0.72 of 8; bf16 0.86, 0.72
and 0.79. Eight gain next to nothing more and make everybody wait for twice as long."""

GPU_MAX_BATCH = 8
"""The same on a GPU, where a small network leaves most of the chip idle and a batch takes hardly longer than a frame;
not measured here."""

AnyRequest: TypeAlias = RenderRequest[Any, Any]


@runtime_checkable
class NetworkRenderer(Renderer[Any, Any, Any], Protocol):
    """A renderer whose work divides into a network, which draws many at once, and what follows for each picture."""

    alpha: bool
    """Whether the pictures are RGBA; the network does the same work for both."""

    @property
    def device(self) -> torch.device:
        """Where the network runs."""
        ...

    def batch_key(self, request: AnyRequest) -> Hashable:
        """Requests of equal keys can go through the network together."""
        ...

    def run_network(self, requests: Sequence[AnyRequest]) -> list[Any]:
        """What the network makes of ``requests``, which have one key, in their order."""
        ...

    def finish_image(self, request: AnyRequest, output: Any) -> Image:
        """The picture from what the network made of ``request``; callable from any thread."""
        ...

    def with_alpha(self, alpha: bool) -> NetworkRenderer:
        """The same renderer around the same network, with pictures that have ``alpha`` or not."""
        ...


@dataclass(slots=True, eq=False)
class _PendingDraw:
    """A request that waits for the network, and then what came of it."""

    request: AnyRequest
    key: Hashable
    output: Any = None
    error: BaseException | None = None
    is_done: bool = False


class NetworkBatcher:
    """Gathers the requests of all threads for the network of ``renderer``; at most ``max_batch`` are drawn at once.

    A batch has a size for which ``warm_up`` was called, else it is a single request: no call ever waits until a network
    is compiled for a new shape.
    """

    def __init__(self, renderer: NetworkRenderer, max_batch: int | None = None) -> None:
        self.renderer = renderer
        self.max_batch = max_batch or (GPU_MAX_BATCH if renderer.device.type == "cuda" else CPU_MAX_BATCH)
        self._changed = threading.Condition()
        self._waiting: deque[_PendingDraw] = deque()
        self._is_drawing = False
        self._warm_sizes: dict[Hashable, set[int]] = {}

    def run(self, requests: Sequence[AnyRequest]) -> list[Any]:
        """What the network makes of ``requests``. Raises: what it raises for one of them when drawn alone."""
        draws = [_PendingDraw(request, self.renderer.batch_key(request)) for request in requests]
        with self._changed:
            self._waiting.extend(draws)
        for draw in draws:
            self._finish(draw)
        for draw in draws:
            if draw.error is not None:
                raise draw.error
        return [draw.output for draw in draws]

    def warm_up(self, request: AnyRequest) -> None:
        """Draw ``request`` in batches of two, four and so on, so that such batches may be drawn from now on."""
        key = self.renderer.batch_key(request)
        with self._changed:
            self._changed.wait_for(lambda: not self._is_drawing)
            self._is_drawing = True
        try:
            size = 2
            while size <= self.max_batch:
                if size not in self._warm_sizes.get(key, ()):
                    self.renderer.run_network([request] * size)
                    self._warm_sizes.setdefault(key, set()).add(size)
                size *= 2
        finally:
            self._stop_drawing([])

    def _finish(self, draw: _PendingDraw) -> None:
        """Wait until ``draw`` is done; meanwhile draw for all who wait whenever nobody else does."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: draw.is_done or not self._is_drawing)
                if draw.is_done:
                    return
                self._is_drawing = True
                batch = self._take_batch()
            try:
                self._draw_batch(batch)
            finally:
                self._stop_drawing([other for other in batch if not other.is_done and other is not draw])

    def _take_batch(self) -> list[_PendingDraw]:
        """The request that waits longest and those that can be drawn with it, as many as a warm size holds."""
        oldest = self._waiting[0]
        alike = [draw for draw in self._waiting if draw.key == oldest.key][: self.max_batch]
        warm_sizes = self._warm_sizes.get(oldest.key, set())
        batch = alike[: max((size for size in warm_sizes if size <= len(alike)), default=1)]
        for draw in batch:
            self._waiting.remove(draw)
        return batch

    def _draw_batch(self, batch: Sequence[_PendingDraw]) -> None:
        """Draw all at once, or after an error each alone, so that a bad request spoils no picture but its own."""
        try:
            for draw, output in zip(batch, self.renderer.run_network([draw.request for draw in batch]), strict=True):
                draw.output, draw.is_done = output, True
        except Exception as error:  # noqa: BLE001  boundary: the session that asked gets the error
            if len(batch) == 1:
                batch[0].error, batch[0].is_done = error, True
                return
            for draw in batch:
                self._draw_batch([draw])

    def _stop_drawing(self, left_over: Sequence[_PendingDraw]) -> None:
        with self._changed:
            self._waiting.extendleft(reversed(left_over))
            self._is_drawing = False
            self._changed.notify_all()


class BatchingRenderer:
    """A ``Renderer`` for one session or many, on any threads, whose network is shared through ``batcher``."""

    def __init__(self, batcher: NetworkBatcher, *, alpha: bool = False) -> None:
        self._batcher = batcher
        self._renderer = batcher.renderer.with_alpha(alpha)

    @property
    def avatar_type(self) -> type[Any]:
        """The class of the avatars that the shared renderer prepares."""
        return self._renderer.avatar_type

    @property
    def motion_sets(self) -> frozenset[str]:
        """Names of the sets of points that the shared renderer takes."""
        return self._renderer.motion_sets

    @property
    def hardware(self) -> str:
        """Where the shared network runs, and in which precision."""
        return self._renderer.hardware

    def prepare(self, source: Any) -> Any:
        """The avatar that the shared renderer makes of ``source``. Raises: SourceError."""
        return self._renderer.prepare(source)

    def render(self, avatar: Any, motion: Any, size: int) -> Image:
        """The avatar in that motion, drawn together with what other threads ask for at the same moment."""
        return self.render_many([RenderRequest(avatar, motion, size)])[0]

    def render_many(self, requests: Sequence[AnyRequest]) -> list[Image]:
        """As ``render`` of each; what follows the network is done on the calling thread, beside other threads."""
        outputs = self._batcher.run(requests)
        return [self._renderer.finish_image(request, output) for request, output in zip(requests, outputs, strict=True)]

    def warm_up_batches(self, avatar: Any, size: int) -> None:
        """Make batches of ``size`` possible: what they compile, which may take seconds, is ready afterwards."""
        self._batcher.warm_up(RenderRequest(avatar, avatar.motion, size))
