"""Video and sound files as captures: live at their own pace, or as fast as the reader asks.

Live, ``captured_ns`` is the moment on the monotonic clock at which the frame was due. Offline it is the presentation
time itself, counted from 0, so that the picture and the sound of one file share a clock.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from livehead.clock import NS, TIME_BASE, now_ns, sleep_until
from livehead.concurrency import Worker
from livehead.errors import CaptureError
from livehead.frames import AudioFrame, Image, VideoFrame
from livehead.interfaces import EndOfStream
from livehead.perception.audio_blocks import read_audio_blocks
from livehead.perception.av_files import decode_frames, no_video_error, open_media

log = logging.getLogger(__name__)

_RESYNC_NS = NS // 2  # a reader that was held up for longer (a suspended laptop) does not race to catch up
_TRUNCATION_S = 0.25  # a file that ends earlier than its header says, by more than this, was cut


@dataclass(frozen=True, slots=True)
class PlaybackClock:
    """The clock of a live capture; tests turn it by hand."""

    now_ns: Callable[[], int] = now_ns
    sleep_until: Callable[[int], Awaitable[None]] = sleep_until


class FileCapture:
    """The pictures of a video file, upright, RGB, with the times that the file gives them.

    ``live``: each frame is given when it is due; otherwise as fast as it is decoded.
    ``loop``: begin again at the end; times go on counting.
    Raises (on entering): CaptureError when there is no readable video stream.
    """

    def __init__(
        self, path: str | Path, *, live: bool = True, loop: bool = False, clock: PlaybackClock | None = None
    ) -> None:
        self.path = Path(path)
        self.bad_frames = 0
        """Damaged frames skipped so far."""
        self._loop = loop
        self._pacer = _RealtimePacer(clock or PlaybackClock()) if live else None
        self._frames: Iterator[VideoFrame] = iter(())
        self._duration_s = 0.0
        self._damage_reported = False
        self._stack = AsyncExitStack()
        self._worker = Worker("file-capture")

    async def __aenter__(self) -> FileCapture:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._worker)
            stack.push_async_callback(self._worker.run, self._close)
            self._frames = self._read_frames()
            # a file that cannot be read fails here, where its remedy can be shown, not at the first frame
            first = await self._worker.run(next, self._frames, None)
            if first is None:
                raise CaptureError(
                    f"{self.path} holds no readable picture", "give another video", subject=str(self.path)
                )
            self._frames = _prepend_frame(first, self._frames)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def recv(self) -> VideoFrame:
        """The next picture. Raises: EndOfStream after the last, at once when the file was cut there."""
        frame = await self._worker.run(next, self._frames, None)
        if frame is None:
            raise EndOfStream
        if self._pacer is None:
            return frame
        due_ns = await self._pacer.wait_until_due(frame.captured_ns)
        return VideoFrame(frame.image, frame.pts, frame.time_base, due_ns)

    def _close(self) -> None:
        self._frames = iter(())  # the generator owns the container and closes it

    def _read_frames(self) -> Iterator[VideoFrame]:
        """All frames of the file, over and over when it loops."""
        offset_s = 0.0
        while True:
            count = 0
            for seconds, image in self._decode_once():
                count += 1
                moment = offset_s + seconds
                yield VideoFrame(image, round(moment / TIME_BASE), TIME_BASE, round(moment * NS))
            offset_s += self._duration_s
            if not (self._loop and count):
                return

    def _decode_once(self) -> Iterator[tuple[float, Image]]:
        """Seconds from the first frame, and the picture; leaves the length in ``_end_s``."""
        with open_media(self.path) as container:
            if not container.streams.video:
                raise no_video_error(self.path)
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            step = 1.0 / float(stream.average_rate or 25)
            origin, last = None, -step
            for frame in decode_frames(container, stream):
                if frame is None:
                    self.bad_frames += 1
                    continue
                # a frame without a time, or with one that goes back, follows its predecessor at the nominal rate
                seconds = frame.time if frame.time is not None else (origin or 0.0) + last + step
                origin = seconds if origin is None else origin
                seconds -= origin
                if seconds <= last:
                    seconds = last + step
                step, last = (seconds - last) or step, seconds
                yield seconds, _to_upright_rgb(frame)
            self._duration_s = last + step
            self._report_damage(stream)

    def _report_damage(self, stream: Any) -> None:
        """Once, however often the file is played."""
        if self._damage_reported:
            return
        self._damage_reported = True
        promised_s = float(stream.duration * stream.time_base) if stream.duration else 0.0
        if promised_s - self._duration_s > _TRUNCATION_S:
            log.warning("%s is cut: it ends at %.1f s of %.1f s", self.path, self._duration_s, promised_s)
        elif self.bad_frames:
            log.warning("%s: %d damaged frames skipped", self.path, self.bad_frames)


def read_video_frames(path: str | Path) -> Iterator[VideoFrame]:
    """The pictures of a video file as ``FileCapture`` gives them offline, for a reader with a thread of its own.

    Raises: CaptureError.
    """
    empty = True
    for frame in FileCapture(path, live=False)._read_frames():
        empty = False
        yield frame
    if empty:
        raise CaptureError(f"{path} holds no readable picture", "give another video", subject=str(path))


class AudioFileCapture:
    """The sound of a file in blocks, at its own pace when ``live``.

    ``rate``: samples a second after resampling; ``block_ms``: length of a block. Mono.
    Raises (on entering): CaptureError when there is no readable sound.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        rate: int = 16_000,
        block_ms: float = 20.0,
        live: bool = True,
        loop: bool = False,
        clock: PlaybackClock | None = None,
    ) -> None:
        self.path = Path(path)
        self._rate = rate
        self._block_length = max(1, round(rate * block_ms / 1000))
        self._loop = loop
        self._pacer = _RealtimePacer(clock or PlaybackClock()) if live else None
        self._samples = np.zeros((1, 0), np.float32)
        self._position = 0

    async def __aenter__(self) -> AudioFileCapture:
        async with Worker("audio-file") as worker:
            self._samples = (await worker.run(read_audio, self.path, self._rate)).samples
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._samples = self._samples[:, :0]

    async def recv(self) -> AudioFrame:
        """The next block. Raises: EndOfStream."""
        total = self._samples.shape[1]
        start = self._position % total if self._loop and total else self._position
        if start >= total:
            raise EndOfStream
        samples = self._samples[:, start : start + self._block_length]
        pts, moment_ns = self._position, self._position * NS // self._rate
        self._position += samples.shape[1]
        if self._pacer is not None:
            # a block exists once its last sample is recorded, as from a microphone
            moment_ns = await self._pacer.wait_until_due(moment_ns, samples.shape[1] * NS // self._rate)
        return AudioFrame(samples, self._rate, pts, moment_ns)


def read_audio(path: str | Path, rate: int = 16_000) -> AudioFrame:
    """The whole sound of an audio or video file as mono float32 at ``rate`` Hz; sample 0 is the file's time 0.

    Sound that the file starts late (its first time stamp is after 0) is led by that much silence.
    Raises: CaptureError when there is none or it cannot be read.
    """
    return AudioFrame(np.concatenate(list(read_audio_blocks(path, rate)), axis=1), rate, 0, 0)


class _RealtimePacer:
    """Turns times since the start into moments of the monotonic clock and waits for them."""

    def __init__(self, clock: PlaybackClock) -> None:
        self._clock = clock
        self._start_ns: int | None = None

    async def wait_until_due(self, since_start_ns: int, length_ns: int = 0) -> int:
        """Return ``length_ns`` after ``since_start_ns`` is due, and give the moment at which it was due.

        The start is the first call, so that a picture and a sound that are first asked for together stay together.
        """
        now = self._clock.now_ns()
        if self._start_ns is None or now - (self._start_ns + since_start_ns + length_ns) > _RESYNC_NS:
            self._start_ns = now - since_start_ns
        due_ns = self._start_ns + since_start_ns
        await self._clock.sleep_until(due_ns + length_ns)
        return due_ns


def _to_upright_rgb(frame: Any) -> Image:
    """uint8 [H, W, 3] RGB with the file's rotation (a phone held upright) applied."""
    image: Image = frame.to_ndarray(format="rgb24")
    quarter_turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(image, quarter_turns)) if quarter_turns else image


def _prepend_frame(first: VideoFrame, rest: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
    yield first
    yield from rest
