"""What moves a session's avatar: the publisher's camera and a driver, or motion that another machine sends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType

from livehead.concurrency import Latest
from livehead.drivers.network import NetworkMotionSource
from livehead.interfaces import EndOfStream, Motion
from livehead.motion_source import DriverMotionSource
from livehead.motion_stages import TimedMotion
from livehead.performer_watch import PerformerWatch
from livehead.quality import QualityLevel


class SwitchableMotionSource:
    """A ``MotionSource``: the camera's driver, or in its place the network feed that is attached.

    ``tag`` is called on the event loop with each motion of a feed and gives what the consumer is to draw, as the
    camera's own estimator does for the camera's motion. The caller builds ``camera_source`` so that it estimates
    nothing while ``feed`` is set.
    """

    ends_with_microphone = False

    def __init__(self, camera_source: DriverMotionSource, tag: Callable[[Motion], Motion]) -> None:
        self.feed: NetworkMotionSource | None = None
        """The feed that is attached; read by the camera's source too."""
        self._camera_source = camera_source
        self._tag = tag
        self._changes: Latest[NetworkMotionSource | None] = Latest()

    @property
    def performer_watch(self) -> PerformerWatch:
        """Tells who is seen by the camera."""
        return self._camera_source.performer_watch

    def attach_feed(self, feed: NetworkMotionSource | None) -> None:
        """Take motion from ``feed`` from now on, or from the camera again (None). Called on the event loop."""
        self.feed = feed
        self._changes.put(feed)

    async def __aenter__(self) -> SwitchableMotionSource:
        await self._camera_source.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._camera_source.__aexit__(kind, error, trace)

    async def run(self, output: Latest[TimedMotion]) -> None:
        """Give the camera's motion or the feed's until ``stop`` is called. Raises: CaptureError."""
        async with asyncio.TaskGroup() as group:
            feeding = group.create_task(self._run_feeds(output))
            await self._camera_source.run(output)
            feeding.cancel()

    def stop(self) -> None:
        """End ``run`` as if the camera had ended."""
        self._camera_source.stop()

    def set_quality(self, quality: QualityLevel) -> None:
        """Pass the rates of ``quality`` on to the camera's driver and to the feed."""
        self._camera_source.set_quality(quality)
        if self.feed is not None:
            self.feed.set_quality(quality)

    async def _run_feeds(self, output: Latest[TimedMotion]) -> None:
        forwarding: asyncio.Task[None] | None = None
        async with asyncio.TaskGroup() as group:
            while True:
                feed = await self._changes.get()
                if forwarding is not None:
                    forwarding.cancel()
                forwarding = None if feed is None else group.create_task(self._forward(feed, output))

    async def _forward(self, feed: NetworkMotionSource, output: Latest[TimedMotion]) -> None:
        try:
            while True:
                timed = await feed.recv()
                output.put(replace(timed, motion=self._tag(timed.motion)))
        except EndOfStream:
            return
