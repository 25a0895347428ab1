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
    """A renderer whose work divides into a network, which draws many at once, and a finish for each picture."""

    alpha: bool
    """Whether the pictures are RGBA; the network does the same work for both."""

    @property
    def device(self) -> torch.device:
        """The torch device that the network runs on."""
        ...

    def batch_key(self, request: AnyRequest) -> Hashable:
        """Return a key of ``request``; requests of equal keys can go through the network together."""
        ...

    def run_network(self, requests: Sequence[AnyRequest]) -> list[Any]:
        """Return the network's outputs for ``requests``, which have one key, in their order."""
        ...

    def finish_image(self, request: AnyRequest, output: Any) -> Image:
        """Make the picture from the network's output for ``request``; callable from any thread."""
        ...

    def with_alpha(self, alpha: bool) -> NetworkRenderer:
        """Return the same renderer around the same network, with pictures that have ``alpha`` or not."""
        ...


_REQUEST_ERRORS = (RuntimeError, ValueError, TypeError, LookupError, AttributeError)
"""What torch, numpy and OpenVINO raise for a request of the wrong shape, type or content."""


@dataclass(slots=True, eq=False)
class _PendingDraw:
    """A request that waits for the network, and then the network's output for it."""

    request: AnyRequest
    key: Hashable
    output: Any = None
    is_done: bool = False
    is_alone: bool = False
    """Whether it is drawn without others, because a batch with it has failed."""
    is_abandoned: bool = False
    """Whether the thread that asked for it waits no more."""


class NetworkBatcher:
    """Gathers the requests of all threads for the network of ``renderer``; at most ``max_batch`` are drawn at once.

    A batch has a size for which ``warm_up`` was called, else it is a single request, so that no call ever waits until a
    network is compiled for a new shape.
    """

    def __init__(self, renderer: NetworkRenderer, max_batch: int | None = None) -> None:
        self.renderer = renderer
        self.max_batch = max_batch or (GPU_MAX_BATCH if renderer.device.type == "cuda" else CPU_MAX_BATCH)
        self._changed = threading.Condition()
        self._waiting: deque[_PendingDraw] = deque()
        self._is_drawing = False
        self._warm_sizes: dict[Hashable, set[int]] = {}

    def run(self, requests: Sequence[AnyRequest]) -> list[Any]:
        """Return the network's outputs for ``requests``. Raises: the network's error for the first bad one of them."""
        draws = [_PendingDraw(request, self.renderer.batch_key(request)) for request in requests]
        with self._changed:
            self._waiting.extend(draws)
        try:
            for draw in draws:
                self._finish(draw)
        finally:
            self._abandon([draw for draw in draws if not draw.is_done])
        return [draw.output for draw in draws]

    def warm_up(self, request: AnyRequest) -> None:
        """Draw ``request`` in batches of two, four and so on, so that such batches may be drawn from now on.

        Other threads go on drawing meanwhile, one by one, as what a batch compiles may take seconds. On a GPU they wait
        for each batch: nothing else may run there while its graph is recorded.
        """
        key = self.renderer.batch_key(request)
        size = 2
        while size <= self.max_batch:
            if size not in self._warm_sizes.get(key, ()):
                self._run_beside_others([request] * size)
                with self._changed:
                    self._warm_sizes[key] = self._warm_sizes.get(key, set()) | {size}
            size *= 2

    def _run_beside_others(self, requests: Sequence[AnyRequest]) -> None:
        if self.renderer.device.type != "cuda":
            self.renderer.run_network(requests)
            return
        with self._changed:
            self._changed.wait_for(lambda: not self._is_drawing)
            self._is_drawing = True
        try:
            self.renderer.run_network(requests)
        finally:
            self._stop_drawing([])

    def _finish(self, draw: _PendingDraw) -> None:
        """Wait until ``draw`` is done; the thread whose draw has waited longest draws for all that fit beside it.

        After an error each of them is drawn alone by its own thread, so that a bad request spoils only its own picture.
        """
        while True:
            with self._changed:
                self._changed.wait_for(lambda: draw.is_done or (not self._is_drawing and self._waiting[0] is draw))
                if draw.is_done:
                    return
                self._is_drawing = True
                batch = self._take_batch()
            try:
                outputs = self.renderer.run_network([each.request for each in batch])
                for each, output in zip(batch, outputs, strict=True):
                    each.output, each.is_done = output, True
            except _REQUEST_ERRORS:
                if len(batch) == 1:
                    raise
                for each in batch:
                    each.is_alone = True
            finally:
                self._stop_drawing([each for each in batch if not each.is_done])

    def _take_batch(self) -> list[_PendingDraw]:
        """Take the draw that has waited longest and those that can be drawn with it, as many as a warm size holds."""
        oldest = self._waiting[0]
        alike = [each for each in self._waiting if each.key == oldest.key and not each.is_alone][: self.max_batch]
        warm_sizes = self._warm_sizes.get(oldest.key, set())
        size = max((size for size in warm_sizes if size <= len(alike)), default=1)
        batch = [oldest] if oldest.is_alone else alike[:size]
        for each in batch:
            self._waiting.remove(each)
        return batch

    def _stop_drawing(self, left_over: Sequence[_PendingDraw]) -> None:
        """Let the next thread draw; the draws in ``left_over`` wait in front."""
        with self._changed:
            self._waiting.extendleft(each for each in reversed(left_over) if not each.is_abandoned)
            self._is_drawing = False
            self._changed.notify_all()

    def _abandon(self, draws: Sequence[_PendingDraw]) -> None:
        """Remove ``draws``, for which nobody waits any more, from the queue."""
        with self._changed:
            for draw in draws:
                draw.is_abandoned = True
                if draw in self._waiting:
                    self._waiting.remove(draw)
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
        """The names of the sets of points that the shared renderer takes."""
        return self._renderer.motion_sets

    @property
    def hardware(self) -> str:
        """The hardware and the precision of the shared network, in words."""
        return self._renderer.hardware

    def prepare(self, source: Any) -> Any:
        """Prepare the shared renderer's avatar of ``source``. Raises: SourceError."""
        return self._renderer.prepare(source)

    def render(self, avatar: Any, motion: Any, size: int) -> Image:
        """Draw the avatar in that motion, together with the requests of other threads at the same moment."""
        return self.render_many([RenderRequest(avatar, motion, size)])[0]

    def render_many(self, requests: Sequence[AnyRequest]) -> list[Image]:
        """Draw all ``requests``; the calling thread finishes its pictures itself, beside other threads."""
        outputs = self._batcher.run(requests)
        return [self._renderer.finish_image(request, output) for request, output in zip(requests, outputs, strict=True)]

    def warm_up_batches(self, avatar: Any, size: int) -> None:
        """Make batches of ``size`` possible: compile for them, which may take seconds."""
        self._batcher.warm_up(RenderRequest(avatar, avatar.motion, size))
