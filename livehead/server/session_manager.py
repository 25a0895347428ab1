"""All sessions of a server: at most so many, each its own task, ended when nobody is there any more."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from types import TracebackType

from livehead.clock import now_ns
from livehead.codecs.h264 import ENCODER_FACTORIES
from livehead.concurrency import Worker
from livehead.errors import ConfigError, LiveheadError
from livehead.server.access import constant_time_equal
from livehead.server.avatar_runtime import AvatarFactory, AvatarRuntime
from livehead.server.event_log import log_event
from livehead.server.memory import trim_heap
from livehead.server.session import Session, SessionDefaults

log = logging.getLogger(__name__)

_REAP_INTERVAL_S = 2.0
_CLOSE_TIMEOUT_S = 10.0


class SessionManager:
    """``async with`` ends all sessions. One stage is kept ready, so that whoever joins need not wait for it."""

    def __init__(self, avatar_factory: AvatarFactory, defaults: SessionDefaults) -> None:
        self.avatar_factory = avatar_factory
        self.limits = defaults.limits
        self.ice = defaults.ice
        """The servers that peers find their ways by."""
        self.opened_count = 0
        """Sessions so far."""
        self._defaults = defaults
        self._running: dict[Session, asyncio.Task[None]] = {}
        self._prepare_worker = Worker("stage")
        self._spare_runtime_task: asyncio.Task[AvatarRuntime] | None = None
        self._reaper_task: asyncio.Task[None] | None = None
        self._needs_trim = True  # of the start

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._running))

    def __len__(self) -> int:
        return len(self._running)

    async def __aenter__(self) -> SessionManager:
        """Hardware encoders are tried now, so that no call has to wait for it."""
        await self._prepare_worker.run(ENCODER_FACTORIES[self._defaults.encoder])
        self._spare_runtime_task = asyncio.create_task(self._create_runtime())
        self._reaper_task = asyncio.create_task(self._reap_idle())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all sessions and free what was kept ready."""
        for task in (self._reaper_task, self._spare_runtime_task):
            if task is not None and not task.done():
                task.cancel()
        for session in self._running:
            session.close("the server ends")
        tasks = list(self._running.values())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=_CLOSE_TIMEOUT_S)
            for task in late:
                task.cancel()
        rest = [task for task in (self._reaper_task, self._spare_runtime_task, *tasks) if task is not None]
        await asyncio.gather(*rest, return_exceptions=True)
        if (
            self._spare_runtime_task is not None
            and not self._spare_runtime_task.cancelled()
            and self._spare_runtime_task.exception() is None
        ):
            self._spare_runtime_task.result().close(None)
        self._prepare_worker.close()

    async def open_session(self) -> Session:
        """A new session. Raises: ConfigError when there are too many, LiveheadError when its stage cannot be made."""
        if len(self._running) >= self.limits.sessions:
            raise ConfigError("this server has as many sessions as it takes", "try again later")
        ready, self._spare_runtime_task = self._spare_runtime_task, None
        stage = await (ready or self._create_runtime())
        if len(self._running) >= self.limits.sessions:
            stage.close(None)
            raise ConfigError("this server has as many sessions as it takes", "try again later")
        self.opened_count += 1
        session = Session(stage, self.avatar_factory, self._defaults, self.opened_count)
        task = asyncio.create_task(session.run())
        self._running[session] = task
        task.add_done_callback(lambda _: self._on_session_ended(session))
        log_event("session opened", session=session.number, running=len(self._running))
        return session

    def find_by_key(self, key: str) -> Session | None:
        """The session that ``key`` opens."""
        return self._find_by_secret(key, lambda session: session.key)

    def find_by_viewer_key(self, key: str) -> Session | None:
        """The session that ``key`` lets watch."""
        return self._find_by_secret(key, lambda session: session.viewer_key)

    def _find_by_secret(self, key: str, get_secret: Callable[[Session], str]) -> Session | None:
        found = None
        for session in self._running:  # all of them, so that the time does not tell which
            if constant_time_equal(get_secret(session), key):
                found = session
        return found

    def _on_session_ended(self, session: Session) -> None:
        task = self._running.pop(session)
        self._needs_trim = True
        reason = session.close_reason
        if not task.cancelled() and (error := task.exception()) is not None:
            reason = f"failed: {type(error).__name__}"
            told = str(error) if isinstance(error, LiveheadError) else type(error).__name__
            log.error("a session failed: %s", told, exc_info=error)
        log_event("session closed", session=session.number, reason=reason, running=len(self._running))

    async def _create_runtime(self) -> AvatarRuntime:
        return await self._prepare_worker.run(
            lambda: self.avatar_factory.create_runtime(self.avatar_factory.default_settings(), None)
        )

    async def _reap_idle(self) -> None:
        """End sessions that nobody uses, and keep one stage ready while there is room for its session.

        When the last one has ended, its memory goes back to the system: a server is idle most of its time.
        """
        while True:
            await asyncio.sleep(_REAP_INTERVAL_S)
            now = now_ns()
            for session in list(self._running):
                if session.is_idle(now):
                    session.close("nobody uses it")
            room = len(self._running) < self.limits.sessions
            # not while somebody performs: making a stage would cost pictures
            if self._spare_runtime_task is None and room and not self._running:
                self._spare_runtime_task = asyncio.create_task(self._create_runtime())
            elif (
                self._needs_trim
                and not self._running
                and (self._spare_runtime_task is None or self._spare_runtime_task.done())
            ):
                self._needs_trim = False
                await self._prepare_worker.run(trim_heap)
