"""The queues and threads of the pipeline: a slot for the newest item, a bounded queue for sound, a worker thread.

Media never waits for a slow reader: ``Latest`` and ``Fifo`` drop the oldest items and count what they dropped.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, ParamSpec, TypeVar

from livehead.interfaces import EndOfStream

T = TypeVar("T")
P = ParamSpec("P")


class _DroppingQueue(Generic[T]):
    """A queue that any thread puts into and one coroutine reads.

    It holds ``capacity`` items and drops the oldest beyond that.
    """

    def __init__(self, capacity: int) -> None:
        self._items: deque[T] = deque()
        self._capacity = capacity
        self._lock = threading.Lock()
        self._closed = False
        self._error: Exception | None = None
        self._waiter: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        self.received = 0
        self.dropped = 0

    def put(self, item: T) -> None:
        """Add ``item`` and wake the reader; callable from any thread. After ``close`` it is ignored."""
        with self._lock:
            if self._closed:
                return
            self.received += 1
            self._items.append(item)
            if len(self._items) > self._capacity:
                self._items.popleft()
                self.dropped += 1
            self._wake_reader()

    def close(self, error: Exception | None = None) -> None:
        """End the queue: the reader gets the items that are left, then ``error`` or EndOfStream."""
        with self._lock:
            if not self._closed:
                self._closed, self._error = True, error
            self._wake_reader()

    async def get(self) -> T:
        """Return the oldest item held. Raises: EndOfStream, or what ``close`` was given, once closed and empty."""
        while True:
            with self._lock:
                if self._items:
                    return self._items.popleft()
                if self._closed:
                    raise self._error if self._error is not None else EndOfStream
                event = asyncio.Event()
                self._waiter = asyncio.get_running_loop(), event
            await event.wait()

    def _wake_reader(self) -> None:
        if self._waiter is None:
            return
        (loop, event), self._waiter = self._waiter, None
        if not loop.is_closed():
            loop.call_soon_threadsafe(event.set)


class Latest(_DroppingQueue[T]):
    """A slot for one item: a newer item replaces an unread one, which counts as ``dropped``."""

    def __init__(self) -> None:
        super().__init__(capacity=1)


class Fifo(_DroppingQueue[T]):
    """A queue of at most ``capacity`` items in order, for sound; when full, the oldest is dropped and counted."""


class Worker:
    """One thread that runs blocking calls in order; leaving its ``async with`` block joins the thread.

    A cancelled ``run`` waits for the call in flight before the cancellation goes on, so that nothing which the call
    uses (a device, a buffer) is freed under it.
    """

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"livehead-{name}")

    async def __aenter__(self) -> Worker:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def run(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``fn(*args)`` on the thread and return its result. Raises: what ``fn`` raises."""
        return (await self.submit_and_wait(fn, *args, **kwargs)).result()

    async def run_or_error(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | Exception:
        """Run ``fn(*args)`` on the thread and return its result or the exception that it raised."""
        try:
            return await self.run(fn, *args, **kwargs)
        except Exception as error:  # noqa: BLE001  boundary: one bad frame must not end the live pipeline
            return error

    async def submit_and_wait(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Wait until ``fn(*args)`` has run on the thread or was cancelled, and return the finished call."""
        call = self._executor.submit(fn, *args, **kwargs)
        done = asyncio.Event()
        loop = asyncio.get_running_loop()

        def finished(_: Future[T]) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(done.set)

        call.add_done_callback(finished)
        cancelled: asyncio.CancelledError | None = None
        while not done.is_set():
            try:
                await done.wait()
            except asyncio.CancelledError as error:
                cancelled = error
                if call.cancel():
                    break
        if cancelled is not None:
            raise cancelled
        return call

    def close(self) -> None:
        """Wait for the call in flight, drop the calls that have not begun, and join the thread."""
        self._executor.shutdown(wait=True, cancel_futures=True)
