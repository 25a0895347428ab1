"""Video and sound files as captures: played in real time, or as fast as the reader asks.

Live, ``captured_ns`` is the moment on the monotonic clock at which the frame was due. Offline it is the presentation
time itself, counted from 0, so that the picture and the sound of one file share a clock.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AsyncExitStack
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any

import av.error
import numpy as np

from livehead.capture.frame_times import FrameTimeReader
from livehead.clock import NS, TIME_BASE, PlaybackClock, RealtimePacer
from livehead.concurrency import Worker
from livehead.errors import CaptureError
from livehead.frames import AudioFrame, Image, Samples, VideoFrame
from livehead.interfaces import EndOfStream
from livehead.perception.audio_blocks import read_audio_blocks, read_channel_blocks
from livehead.perception.av_files import count_noun, decode_frames, no_video_error, open_media

log = logging.getLogger(__name__)

_INDEXED_FORMATS = {"mp4", "matroska"}  # in others, such as AVI, the frames after a key frame lack their times
_TRUNCATION_S = 0.25  # a file that ends earlier than its header says, by more than this, was cut


class FileCapture:
    """Gives the pictures of a video file, upright RGB uint8 [H, W, 3], with the times that the file gives them.

    ``live``: each picture is given when it is due; otherwise as fast as it is decoded.
    ``loop``: the file begins again at its end; times go on counting.
    Raises (on entering): CaptureError when there is no readable video stream.
    """

    def __init__(
        self, path: str | Path, *, live: bool = True, loop: bool = False, clock: PlaybackClock | None = None
    ) -> None:
        self.path = Path(path)
        self._decoder = _FileDecoder(self.path)
        self._loop = loop
        self._pacer = RealtimePacer(clock) if live else None
        self._frames: Iterator[VideoFrame] = iter(())
        self._stack = AsyncExitStack()
        self._worker = Worker("file-capture")

    @property
    def bad_frames(self) -> int:
        """Damaged frames skipped so far."""
        return self._decoder.bad_frames

    async def __aenter__(self) -> FileCapture:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._worker)
            stack.push_async_callback(self._worker.run, self._close)
            self._frames = self._decoder.read_frames(loop=self._loop)
            # a file that cannot be read fails here, where its remedy can be shown, not at the first frame
            first = await self._worker.run(next, self._frames, None)
            if first is None:
                raise _no_picture_error(self.path)
            self._frames = chain([first], self._frames)
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
        self._decoder.report_damage()


def read_video_frames(path: str | Path, start_s: float = 0.0, end_s: float | None = None) -> Iterator[VideoFrame]:
    """Decode the pictures of a video file as ``FileCapture`` gives them offline, on the caller's own thread.

    Only those from ``start_s`` up to ``end_s`` seconds are given, with times that count from ``start_s``.
    Raises: CaptureError when the file has no readable picture, or none in that part.
    """
    empty = True
    for frame in _FileDecoder(Path(path), start_s, end_s).read_frames():
        empty = False
        yield frame
    if empty and start_s:
        raise CaptureError(f"{path} has no picture after {start_s:g} s", "give an earlier --start", subject=str(path))
    if empty:
        raise _no_picture_error(Path(path))


def _no_picture_error(path: Path) -> CaptureError:
    return CaptureError(f"{path} holds no readable picture", "give another video", subject=str(path))


class _FileDecoder:
    """Decodes the pictures of a file, counts damaged frames, and reports damage once, however often it is played."""

    def __init__(self, path: Path, start_s: float = 0.0, end_s: float | None = None) -> None:
        self.path = path
        self.bad_frames = 0
        self._start_s, self._end_s = start_s, end_s
        self._duration_s = 0.0
        self._damage_reported = False

    def read_frames(self, *, loop: bool = False) -> Iterator[VideoFrame]:
        """All frames of the file, over and over with ``loop``."""
        offset_s = 0.0
        while True:
            count = 0
            for seconds, image in self._decode_once():
                count += 1
                moment = offset_s + seconds
                yield VideoFrame(image, round(moment / TIME_BASE), TIME_BASE, round(moment * NS))
            offset_s += self._duration_s
            if not (loop and count):
                return

    def _decode_once(self) -> Iterator[tuple[float, Image]]:
        """Seconds from ``_start_s`` after the first frame, and the picture; sets ``_duration_s`` at the end."""
        with open_media(self.path) as container:
            if not container.streams.video:
                raise no_video_error(self.path)
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            step = 1.0 / float(stream.average_rate or 25)
            origin, last, times = self._seek_start(container, stream), -step, FrameTimeReader()
            for frame in decode_frames(container, stream):
                if frame is None:
                    self.bad_frames += 1
                    continue
                # a frame without a time, or with one that goes back, follows its predecessor at the nominal rate
                time = times.read_seconds(frame)
                seconds = time if time is not None else (origin or 0.0) + last + step
                origin = seconds if origin is None else origin
                seconds -= origin
                if seconds <= last:
                    seconds = last + step
                step, last = (seconds - last) or step, seconds
                if self._end_s is not None and seconds >= self._end_s:
                    return
                if seconds >= self._start_s:
                    yield seconds - self._start_s, _to_upright_rgb(frame)
            self._duration_s = last + step
            promised_s = float(stream.duration * stream.time_base) if stream.duration else 0.0
            if promised_s - self._duration_s > _TRUNCATION_S and not self._damage_reported:
                self._damage_reported = True
                log.warning("%s is cut: it ends at %.1f s of %.1f s", self.path, self._duration_s, promised_s)
            self.report_damage()

    def _seek_start(self, container: Any, stream: Any) -> float | None:
        """Go to the key frame before ``_start_s``; gives the time of the file's first frame, None if that comes next.

        A file in which one cannot go there to the frame is read from its beginning.
        """
        if not self._start_s or not self._can_seek():
            return None
        return _seek_key_frame(container, stream, self._start_s)

    def _can_seek(self) -> bool:
        """Try whether a frame with a time, not after ``_start_s``, comes once one has gone there."""
        with open_media(self.path) as container:
            stream = container.streams.video[0]
            origin = _seek_key_frame(container, stream, self._start_s)
            first = next((frame for frame in decode_frames(container, stream) if frame is not None), None)
            if origin is None or first is None or first.time is None:
                return False
            return bool(first.time - origin <= self._start_s)

    def report_damage(self) -> None:
        """Tell how many damaged frames were skipped, unless there were none or damage was told before."""
        if self.bad_frames and not self._damage_reported:
            self._damage_reported = True
            log.warning("%s: %s skipped", self.path, count_noun(self.bad_frames, "damaged frame"))


def _seek_key_frame(container: Any, stream: Any, seconds: float) -> float | None:
    """Go to the key frame before ``seconds``; gives the time of the stream's first frame, None if that did not work."""
    if stream.start_time is None or not set(container.format.name.split(",")) & _INDEXED_FORMATS:
        return None
    origin = float(stream.start_time * stream.time_base)
    try:
        container.seek(round((origin + seconds) / stream.time_base), stream=stream)
    except (av.error.FFmpegError, OSError):
        return None
    return origin


class AudioFileCapture:
    """Gives the sound of a file in blocks, in real time when ``live``, otherwise as fast as it is read.

    ``rate``: samples a second after resampling; ``block_ms``: length of a block. Blocks have the file's channels (see
    ``read_channel_blocks``); whoever wants a single one mixes them down. ``loop``: the file begins again at its end.
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
        self._pacer = RealtimePacer(clock) if live else None
        self._blocks: Iterator[Samples] = iter(())
        self._position = 0
        self._worker = Worker("audio-file")
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> AudioFileCapture:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._worker)
            stack.push_async_callback(self._worker.run, self._close)
            blocks = self._read_blocks()
            # sound that cannot be read fails here, where its remedy can be shown, not at the first block
            first = await self._worker.run(next, blocks, None)
            self._blocks = blocks if first is None else chain([first], blocks)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def recv(self) -> AudioFrame:
        """The next block. Raises: EndOfStream after the last."""
        samples = await self._worker.run(next, self._blocks, None)
        if samples is None:
            raise EndOfStream
        pts, moment_ns = self._position, self._position * NS // self._rate
        self._position += samples.shape[1]
        if self._pacer is not None:
            # a block exists once its last sample is recorded, as from a microphone
            moment_ns = await self._pacer.wait_until_due(moment_ns, samples.shape[1] * NS // self._rate)
        return AudioFrame(samples, self._rate, pts, moment_ns)

    def _read_blocks(self) -> Iterator[Samples]:
        """The file's sound in blocks of one length; the last of each turn may be shorter."""
        first_turn = has_sound = True
        while has_sound and (first_turn or self._loop):
            has_sound = False
            pending = np.zeros((0, 0), np.float32)
            for samples in read_channel_blocks(self.path, self._rate, tell_damage=first_turn):
                pending = np.concatenate([pending, samples], axis=1) if pending.size else samples
                has_sound = True
                while pending.shape[1] >= self._block_length:
                    yield pending[:, : self._block_length]
                    pending = pending[:, self._block_length :]
            if pending.size:
                yield pending
            first_turn = False

    def _close(self) -> None:
        self._blocks = iter(())  # the generator owns the container and closes it


def read_audio(path: str | Path, rate: int = 16_000) -> AudioFrame:
    """Read the whole sound of an audio or video file as mono float32 at ``rate`` Hz; sample 0 is the file's time 0.

    Sound that begins late in the file (its first time stamp is after 0) is led by that much silence.
    Raises: CaptureError when the file has no sound or it cannot be read.
    """
    return AudioFrame(np.concatenate(list(read_audio_blocks(path, rate)), axis=1), rate, 0, 0)


def _to_upright_rgb(frame: Any) -> Image:
    """uint8 [H, W, 3] RGB with the file's rotation (a phone held upright) applied."""
    image: Image = frame.to_ndarray(format="rgb24")
    quarter_turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(image, quarter_turns)) if quarter_turns else image
