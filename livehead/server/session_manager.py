"""All sessions of a server: each is a task of its own, and ends when nobody has been connected for a while."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import TracebackType

from livehead.assembly.avatar_runtime import AvatarFactory, AvatarRuntime, AvatarSettings
from livehead.clock import now_ns
from livehead.codecs.h264 import ENCODER_FACTORIES
from livehead.concurrency import Worker
from livehead.errors import LiveheadError, SessionError
from livehead.server.access import constant_time_equal
from livehead.server.event_log import log_event
from livehead.server.memory import freeze_objects, trim_heap
from livehead.server.prometheus import ServerMetrics
from livehead.server.session import Session
from livehead.server.session_defaults import SessionDefaults

log = logging.getLogger(__name__)

_REAP_INTERVAL_S = 2.0
_CLOSE_TIMEOUT_S = 10.0


class SessionManager:
    """Runs the sessions of a server; leaving its ``async with`` block ends them all.

    One avatar is kept ready, so that a performer who joins does not wait until it is built.
    """

    def __init__(
        self, avatar_factory: AvatarFactory, defaults: SessionDefaults, *, reap_interval_s: float = _REAP_INTERVAL_S
    ) -> None:
        """``reap_interval_s``: how often sessions that nobody uses are looked for."""
        self.avatar_factory = avatar_factory
        self.limits = defaults.limits
        self.ice = defaults.ice
        """The STUN and TURN servers that peers use."""
        self.opened_count = 0
        """How many sessions there have been so far."""
        self.metrics = ServerMetrics()
        self._defaults = defaults
        self._reap_interval_s = reap_interval_s
        self._running: dict[Session, asyncio.Task[None]] = {}
        self._prepare_worker = Worker("prepare-avatar")
        self._spare_runtime_task: asyncio.Task[AvatarRuntime] | None = None
        self._reaper_task: asyncio.Task[None] | None = None
        self._needs_trim = True  # starting takes memory that is not needed afterwards

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._running))

    def __len__(self) -> int:
        return len(self._running)

    async def __aenter__(self) -> SessionManager:
        """Try the hardware encoders, so that no call has to wait for that, and build the first avatar."""
        await self._prepare_worker.run(ENCODER_FACTORIES[self._defaults.encoder])
        self._spare_runtime_task = self._prepare_spare()
        self._reaper_task = asyncio.create_task(self._reap_idle())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all sessions and free the avatar that was kept ready."""
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
        if rest:
            await asyncio.wait(rest)
        if (
            self._spare_runtime_task is not None
            and not self._spare_runtime_task.cancelled()
            and self._spare_runtime_task.exception() is None
        ):
            self._spare_runtime_task.result().close(None)
        self._prepare_worker.close()

    async def open_session(self, driver: str | None = None) -> Session:
        """Start a session, in the place of one that nobody has if there is no other.

        ``driver`` moves its avatar, by default the one that the server was started with.

        Raises: SessionError when there are too many, LiveheadError when no avatar can be built.
        """
        await self._make_room()
        runtime = await self._take_runtime(driver)
        try:
            await self._make_room()  # another may have opened one meanwhile
        except SessionError:
            runtime.close(None)
            raise
        if not self._running:
            freeze_objects()
        self.opened_count += 1
        stats = self.metrics.open_session_stats()
        session = Session(runtime, self.avatar_factory, self._defaults, self.opened_count, stats)
        task = asyncio.create_task(session.run())
        self._running[session] = task
        task.add_done_callback(lambda _: self._on_session_ended(session))
        log_event("session opened", session=session.number, running=len(self._running))
        return session

    async def _make_room(self) -> None:
        """End the session that nobody has been connected to for longest if there is no place left.

        Raises: SessionError when all of them are in use.
        """
        while len(self._running) >= self.limits.sessions:
            now = now_ns()
            unused = [session for session in self._running if session.closing or session.may_give_way(now)]
            if not unused:
                raise SessionError("this server has as many sessions as it takes", "try again later", status=503)
            longest = max(unused, key=lambda session: (session.closing, session.unconnected_ns(now)))
            longest.close("its place was needed")
            _, late = await asyncio.wait([self._running[longest]], timeout=_CLOSE_TIMEOUT_S)
            if late:
                raise SessionError("this server has as many sessions as it takes", "try again later", status=503)

    def find_by_key(self, key: str) -> Session | None:
        """The session whose settings ``key`` opens, or None."""
        return self._find_by_secret(key, lambda session: session.key)

    def find_by_viewer_key(self, key: str) -> Session | None:
        """The session that ``key`` lets a viewer watch, or None."""
        return self._find_by_secret(key, lambda session: session.viewer_key)

    def _find_by_secret(self, key: str, get_secret: Callable[[Session], str]) -> Session | None:
        found = None
        for session in self._running:  # all of them, so that the time does not tell which
            if constant_time_equal(get_secret(session), key):
                found = session
        return found

    def _on_session_ended(self, session: Session) -> None:
        task = self._running.pop(session)
        self.metrics.add_ended_session(session)
        self._needs_trim = True
        reason = session.close_reason
        if not task.cancelled() and (error := task.exception()) is not None:
            reason = f"failed: {type(error).__name__}"
            problem = str(error) if isinstance(error, LiveheadError) else type(error).__name__
            log.error("a session failed: %s", problem, exc_info=error)
        log_event("session closed", session=session.number, reason=reason, running=len(self._running))

    async def _take_runtime(self, driver: str | None) -> AvatarRuntime:
        """The avatar that is kept ready, or a new one if there is none or it has another driver."""
        settings = self.avatar_factory.default_settings()
        if driver is not None and driver != settings.driver:
            return await self._create_runtime(replace(settings, driver=driver))
        ready, self._spare_runtime_task = self._spare_runtime_task, None
        return await (ready or self._create_runtime(settings))

    def _prepare_spare(self) -> asyncio.Task[AvatarRuntime]:
        return asyncio.create_task(self._create_runtime(self.avatar_factory.default_settings()))

    async def _create_runtime(self, settings: AvatarSettings) -> AvatarRuntime:
        return await self._prepare_worker.run(self.avatar_factory.create_runtime, settings, None)

    async def _reap_idle(self) -> None:
        """End sessions that nobody uses, and keep one avatar ready while there is room for its session.

        When the last one has ended, its memory goes back to the system: a server is idle most of its time.
        """
        while True:
            await asyncio.sleep(self._reap_interval_s)
            now = now_ns()
            for session in list(self._running):
                if session.is_idle(now):
                    session.close("nobody uses it")
            room = len(self._running) < self.limits.sessions
            # not while somebody performs: building an avatar would cost pictures
            if self._spare_runtime_task is None and room and not self._running:
                self._spare_runtime_task = asyncio.create_task(
                    self._create_runtime(self.avatar_factory.default_settings())
                )
            elif (
                self._needs_trim
                and not self._running
                and (self._spare_runtime_task is None or self._spare_runtime_task.done())
            ):
                self._needs_trim = False
                await self._prepare_worker.run(trim_heap)
