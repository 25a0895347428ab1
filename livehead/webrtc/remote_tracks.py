"""A peer's camera and microphone as captures that outlive the peer's connection.

A connection may be lost and made anew, a camera pulled out and plugged in: the capture stays, and whichever track is
attached last is the one that is read. While there is none, the camera gives small grey pictures, in which a driver
sees nobody, so that the avatar idles instead of standing still.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol

import numpy as np
from aiortc.mediastreams import MediaStreamError

from livehead.audio.downmix import SpeechDownmixer
from livehead.clock import NS, TIME_BASE, FramePacer, PtsClock, RemoteClock, now_ns
from livehead.concurrency import Fifo, Latest, Worker
from livehead.frames import AudioFrame, Image, VideoFrame

_FRAME_TIMEOUT_S = 0.7  # a camera that has sent no picture for so long counts as off
_PLACEHOLDER_SIDE = 64
_MAX_TRACKED_SIDE = 1280  # pixels of a picture to be tracked: more would show a tracker nothing new
_AUDIO_QUEUE_LENGTH = 50  # packets of 20 ms


class RemoteTrack(Protocol):
    """A track that a peer sends, as aiortc gives it. ``recv`` raises MediaStreamError after the last frame."""

    async def recv(self) -> Any: ...


class _TrackReader(ABC):
    """Reads one track at a time, as fast as it comes, so that nothing piles up in front of a slow reader."""

    def __init__(self) -> None:
        self._read_task: asyncio.Task[None] | None = None

    def attach_track(self, track: RemoteTrack) -> None:
        """Read ``track`` from now on, and no other."""
        self.detach_track()
        self._read_task = asyncio.create_task(self._read_frames(track))

    def detach_track(self) -> None:
        """Stop reading."""
        if self._read_task is not None:
            self._read_task.cancel()
            self._read_task = None

    async def _read_frames(self, track: RemoteTrack) -> None:
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            self._on_frame(frame, now_ns())

    @abstractmethod
    def _on_frame(self, frame: Any, arrived_ns: int) -> None:
        """Keep one frame, as aiortc gives it, which arrived at ``arrived_ns``."""


class RemoteVideoCapture(_TrackReader):
    """A ``Capture`` of a peer's pictures, which gives grey ones ``fps`` times a second while no track gives any.

    With ``for_display`` pictures are for people and not for a tracker: they keep their full size, and the last one is
    repeated in place of grey ones. ``captured_ns`` of a frame is when its picture was decoded here, less ``age_ns()``,
    its age at that moment where that is known. Pictures are converted to RGB on a thread, and only when they are read.
    """

    def __init__(self, fps: float = 30.0, *, for_display: bool = False, age_ns: Callable[[], int] = lambda: 0) -> None:
        super().__init__()
        self._fps = fps
        self._for_display = for_display
        self._age_ns = age_ns
        self.first_frame_received = asyncio.Event()
        """Set when the first picture has come in."""
        self._newest_picture: Latest[tuple[Any, int]] = Latest()
        self._worker = Worker("webrtc-capture")
        self._timeline = PtsClock(TIME_BASE)
        self._placeholder: Image = np.full((_PLACEHOLDER_SIDE, _PLACEHOLDER_SIDE, 3), 64, np.uint8)
        self._pacer: FramePacer | None = None

    @property
    def received(self) -> int:
        """How many pictures came in from peers."""
        return self._newest_picture.received

    @property
    def dropped(self) -> int:
        """How many pictures a newer one replaced before they were read."""
        return self._newest_picture.dropped

    @property
    def is_live(self) -> bool:
        """Tells whether a track gives pictures at present."""
        return self._pacer is None and self.received > 0

    async def __aenter__(self) -> RemoteVideoCapture:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop reading and join the thread."""
        self.detach_track()
        self._worker.close()

    async def recv(self) -> VideoFrame:
        """The newest picture; never ends by itself."""
        picture, captured_ns = None, 0
        try:
            # not wait_for, which in Python 3.11 forgets that it was cancelled when a picture comes in that moment
            async with asyncio.timeout(self._frame_timeout_s()):
                picture, captured_ns = await self._newest_picture.get()
            self._pacer = None
        except TimeoutError:
            self._pacer = self._pacer or FramePacer(self._fps)
            captured_ns = await self._pacer.wait_for_slot()
        max_side = None if self._for_display else _MAX_TRACKED_SIDE
        image = self._placeholder if picture is None else await self._worker.run(_to_rgb, picture, max_side)
        if self._for_display:
            self._placeholder = image
        return VideoFrame(image, self._timeline.to_pts(captured_ns), TIME_BASE, captured_ns)

    def _frame_timeout_s(self) -> float:
        if self._pacer is None and self.received:
            return _FRAME_TIMEOUT_S
        return 0.25 / self._fps

    def _on_frame(self, frame: Any, arrived_ns: int) -> None:
        self.first_frame_received.set()
        self._newest_picture.put((frame, arrived_ns - self._age_ns()))


class RemoteAudioCapture(_TrackReader):
    """A ``Capture`` of a peer's sound as mono float32 [1, N]; several channels are mixed down.

    ``captured_ns`` of a frame is when such a packet usually is decoded, less its length. The sender's time stamps tell
    it, so that sound which arrives unevenly does not leave unevenly.
    """

    def __init__(self) -> None:
        super().__init__()
        self._clock = RemoteClock()
        self._downmixer = SpeechDownmixer()
        self._queue: Fifo[AudioFrame] = Fifo(_AUDIO_QUEUE_LENGTH)
        self._pts = 0

    async def __aenter__(self) -> RemoteAudioCapture:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop reading."""
        self.detach_track()

    def attach_track(self, track: RemoteTrack) -> None:
        """Read ``track`` from now on, whose time stamps begin anew."""
        self._clock = RemoteClock()
        super().attach_track(track)

    async def recv(self) -> AudioFrame:
        """The next stretch of sound; never ends by itself."""
        return await self._queue.get()

    def _on_frame(self, frame: Any, arrived_ns: int) -> None:
        channels = len(frame.layout.channels)
        interleaved = frame.to_ndarray().astype(np.float32).reshape(-1, channels) / 32768
        samples = self._downmixer(np.ascontiguousarray(interleaved.T), frame.sample_rate)
        length_ns = samples.size * NS // frame.sample_rate
        sound = np.ascontiguousarray(samples[None], np.float32)
        if frame.pts is not None:
            arrived_ns = self._clock.to_local_ns(int(frame.pts * frame.time_base * NS), arrived_ns)
        self._queue.put(AudioFrame(sound, frame.sample_rate, self._pts, arrived_ns - length_ns))
        self._pts += samples.size


def _to_rgb(picture: Any, max_side: int | None) -> Image:
    """``picture`` as uint8 [H, W, 3] RGB, scaled down until no side is longer than ``max_side``."""
    width, height = picture.width, picture.height
    if max_side is not None and max(width, height) > max_side:
        share = max_side / max(width, height)
        picture = picture.reformat(width=round(width * share), height=round(height * share))
    return np.ascontiguousarray(picture.to_ndarray(format="rgb24"), np.uint8)
