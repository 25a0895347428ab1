"""All sessions of a server: at most so many, each its own task, ended when nobody is there any more."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from types import TracebackType

from livehead.clock import now_ns
from livehead.concurrency import Worker
from livehead.errors import ConfigError, LiveheadError
from livehead.server.access import same
from livehead.server.journal import tell
from livehead.server.memory import give_back
from livehead.server.session import Session, Terms
from livehead.server.stage import Stage, Troupe
from livehead.sinks.h264 import MAKERS

log = logging.getLogger(__name__)

_SWEEP_S = 2.0
_CLOSING_S = 10.0


class Sessions:
    """``async with`` ends all sessions. One stage is kept ready, so that whoever joins need not wait for it."""

    def __init__(self, troupe: Troupe, terms: Terms) -> None:
        self.troupe = troupe
        self.limits = terms.limits
        self.ice = terms.ice
        """The servers that peers find their ways by."""
        self.opened = 0
        """Sessions so far."""
        self._terms = terms
        self._running: dict[Session, asyncio.Task[None]] = {}
        self._making = Worker("stage")
        self._ready: asyncio.Task[Stage] | None = None
        self._sweeping: asyncio.Task[None] | None = None
        self._left_memory = True  # of the start

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._running))

    def __len__(self) -> int:
        return len(self._running)

    async def __aenter__(self) -> Sessions:
        """Hardware encoders are tried now, so that no call has to wait for it."""
        await self._making.run(MAKERS[self._terms.encoder])
        self._ready = asyncio.create_task(self._make())
        self._sweeping = asyncio.create_task(self._sweep())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all sessions and free what was kept ready."""
        for task in (self._sweeping, self._ready):
            if task is not None and not task.done():
                task.cancel()
        for session in self._running:
            session.close("the server ends")
        tasks = list(self._running.values())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=_CLOSING_S)
            for task in late:
                task.cancel()
        rest = [task for task in (self._sweeping, self._ready, *tasks) if task is not None]
        await asyncio.gather(*rest, return_exceptions=True)
        if self._ready is not None and not self._ready.cancelled() and self._ready.exception() is None:
            self._ready.result().close(None)
        self._making.close()

    async def open(self) -> Session:
        """A new session. Raises: ConfigError when there are too many, LiveheadError when its stage cannot be made."""
        if len(self._running) >= self.limits.sessions:
            raise ConfigError("this server has as many sessions as it takes", "try again later")
        ready, self._ready = self._ready, None
        stage = await (ready or self._make())
        if len(self._running) >= self.limits.sessions:
            stage.close(None)
            raise ConfigError("this server has as many sessions as it takes", "try again later")
        self.opened += 1
        session = Session(stage, self.troupe, self._terms, self.opened)
        task = asyncio.create_task(session.run())
        self._running[session] = task
        task.add_done_callback(lambda _: self._ended(session))
        tell("session opened", session=session.number, running=len(self._running))
        return session

    def by_key(self, key: str) -> Session | None:
        """The session that ``key`` opens."""
        return self._find(key, lambda session: session.key)

    def by_viewer_key(self, key: str) -> Session | None:
        """The session that ``key`` lets watch."""
        return self._find(key, lambda session: session.viewer_key)

    def _find(self, key: str, of: Callable[[Session], str]) -> Session | None:
        found = None
        for session in self._running:  # all of them, so that the time does not tell which
            if same(of(session), key):
                found = session
        return found

    def _ended(self, session: Session) -> None:
        task = self._running.pop(session)
        self._left_memory = True
        reason = session.reason
        if not task.cancelled() and (error := task.exception()) is not None:
            reason = f"failed: {type(error).__name__}"
            told = str(error) if isinstance(error, LiveheadError) else type(error).__name__
            log.error("a session failed: %s", told, exc_info=error)
        tell("session closed", session=session.number, reason=reason, running=len(self._running))

    async def _make(self) -> Stage:
        return await self._making.run(lambda: self.troupe.stage(self.troupe.first_choice(), None))

    async def _sweep(self) -> None:
        """End sessions that nobody uses, and keep one stage ready while there is room for its session.

        When the last one has ended, its memory goes back to the system: a server is idle most of its time.
        """
        while True:
            await asyncio.sleep(_SWEEP_S)
            now = now_ns()
            for session in list(self._running):
                if session.idle(now):
                    session.close("nobody uses it")
            room = len(self._running) < self.limits.sessions
            # not while somebody performs: making a stage would cost pictures
            if self._ready is None and room and not self._running:
                self._ready = asyncio.create_task(self._make())
            elif self._left_memory and not self._running and (self._ready is None or self._ready.done()):
                self._left_memory = False
                await self._making.run(give_back)
