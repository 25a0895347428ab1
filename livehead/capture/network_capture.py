"""The pictures and the sound of a network stream as captures; of one address both come by one connection."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from contextlib import AsyncExitStack
from types import TracebackType

from livehead.capture.network_stream import NetworkStream
from livehead.capture.stream_address import StreamAddress
from livehead.clock import NS, TIME_BASE, PtsClock, now_ns, sleep_until
from livehead.frames import AudioFrame, VideoFrame

_STALL_S = 0.5  # without a picture for so long, the last one is given again
_SHARED_STREAMS: weakref.WeakValueDictionary[str, NetworkStream] = weakref.WeakValueDictionary()


def share_stream(address: StreamAddress, on_notice: Callable[[str], None] | None = None) -> NetworkStream:
    """The stream of ``address`` that another capture of this process has and has not closed, or a new one."""
    stream = _SHARED_STREAMS.get(address.url)
    if stream is None or stream.is_over:
        stream = _SHARED_STREAMS[address.url] = NetworkStream(address, on_notice)
    return stream


class NetworkVideoCapture:
    """Gives the newest picture of ``stream``; RGB uint8 [H, W, 3], upright, at most 1920 pixels a side.

    While the stream is lost its last picture is repeated at ``fps``, with ``attached["stale"]`` true.
    Raises (on entering): CaptureError when the stream cannot be opened or has no pictures.
    """

    def __init__(self, stream: NetworkStream, *, fps: float = 30.0) -> None:
        self._stream = stream
        self._fps = fps
        self._last: VideoFrame | None = None
        self._pts = PtsClock(TIME_BASE)
        self._stack = AsyncExitStack()
        stream.request("video")

    @property
    def reopened(self) -> int:
        """How often the stream was connected again."""
        return self._stream.reconnections

    async def __aenter__(self) -> NetworkVideoCapture:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(asyncio.to_thread, self._stream.stop)
            await asyncio.to_thread(self._stream.start)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def recv(self) -> VideoFrame:
        """The newest picture that was not fetched before. Raises: EndOfStream at the end of a recording."""
        while True:
            wait_s = _STALL_S if self._stream.connected else 1 / self._fps
            try:
                async with asyncio.timeout(wait_s):
                    frame = await self._stream.video.get()
            except TimeoutError:
                if self._last is None:
                    continue
                moment_ns = now_ns()
                pts = self._pts.to_pts(moment_ns)
                return VideoFrame(self._last.image, pts, TIME_BASE, moment_ns, {"stale": True})
            self._last = frame
            return VideoFrame(frame.image, self._pts.to_pts(frame.captured_ns), TIME_BASE, frame.captured_ns)


class NetworkAudioCapture:
    """Gives the sound of ``stream`` in its own channels at 48 kHz; while the stream is lost it gives nothing.

    Raises (on entering): CaptureError when the stream cannot be opened or has no sound.
    """

    def __init__(self, stream: NetworkStream) -> None:
        self._stream = stream
        self._stack = AsyncExitStack()
        stream.request("audio")

    async def __aenter__(self) -> NetworkAudioCapture:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(asyncio.to_thread, self._stream.stop)
            await asyncio.to_thread(self._stream.start)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def recv(self) -> AudioFrame:
        """The next block, once its last sample is due. Raises: EndOfStream at the end of a recording."""
        frame = await self._stream.audio.get()
        await sleep_until(frame.captured_ns + round(frame.duration_s * NS))
        return frame
