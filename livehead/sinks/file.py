"""Recording: an MP4 that plays everywhere, with the sound in step with the picture.

H.264 and AAC. While it grows the file is fragmented, so that what was written stays readable after a crash or on a full
disk; closing it turns it into an ordinary MP4.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import av
import av.error
import cv2
import numpy as np

from livehead.clock import NS
from livehead.concurrency import Worker
from livehead.errors import SinkError
from livehead.frames import AudioFrame, Frame, Image, Samples, VideoFrame

log = logging.getLogger(__name__)

T = TypeVar("T")

_TIME_BASE = Fraction(1, 90_000)
_KEYFRAME_EVERY = 30  # frames: a crash loses at most the last fragment, which a keyframe begins
_BT709 = 1  # the code of H.273 for primaries, transfer and matrix
_LIMITED_RANGE = 1
_DRIFT_S = 0.02  # sound further than this off its time is a gap or an overlap; less is jitter of the time stamps
_SOUND_AHEAD_S = 10.0  # sound held while the first picture is awaited


class FileSink:
    """Writes pictures, and sound when ``audio_rate`` is given, to ``path`` (``.mp4``; an existing file is replaced).

    The time of everything is its ``captured_ns``, counted from the first picture's: the frame rate is variable, and
    sound is cut or led by silence to match. The first picture sets the size (an odd side gains one repeated line);
    later ones are scaled to it. ``fps`` is only the nominal rate. ``crf``: quality of x264, lower is better.
    Raises: SinkError, on entering when the file cannot be made, on sending when the disk is full.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        fps: float = 30.0,
        audio_rate: int | None = None,
        crf: int = 18,
        preset: str = "veryfast",
    ) -> None:
        self.path = Path(path)
        self._recording = _Recording(self.path, fps, audio_rate, {"crf": str(crf), "preset": preset})
        self._failed = False
        self._stack = AsyncExitStack()
        self._worker = Worker("file-sink")

    @property
    def frames(self) -> int:
        """Pictures written so far."""
        return self._recording.frames

    async def __aenter__(self) -> FileSink:
        if self.path.suffix.lower() != ".mp4":
            raise SinkError(f"cannot record to {self.path}", "give a name that ends in .mp4", subject=str(self.path))
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._worker)
            await self._worker.run(self._guarded, self._recording.open)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finalise the file. Raises: SinkError when that fails, unless ``send`` has already told of it."""
        async with self._stack:
            with suppress(*(SinkError,) * self._failed):
                await self._worker.run(self._guarded, self._recording.close)

    async def send(self, frame: Frame) -> None:
        """Encode and write one frame, off the event loop. Raises: SinkError."""
        if isinstance(frame, VideoFrame):
            await self._worker.run(self._guarded, self._recording.add_picture, frame)
        else:
            await self._worker.run(self._guarded, self._recording.add_sound, frame)

    def _guarded(self, fn: Callable[..., None], *args: Frame) -> None:
        try:
            fn(*args)
        except (OSError, av.error.FFmpegError) as error:
            self._failed = True
            raise _explained(self.path, error) from error


class _Recording:
    """The container and its streams; called from one thread."""

    def __init__(self, path: Path, fps: float, audio_rate: int | None, options: dict[str, str]) -> None:
        self.frames = 0
        self._path = path
        self._fps = Fraction(fps).limit_denominator(1001)
        self._audio_rate = audio_rate
        self._options = options
        self._container: Any = None
        self._output: _Output | None = None
        self._video: Any = None
        self._audio: Any = None
        self._size = (0, 0)
        self._origin_ns = 0
        self._last_pts = -1
        self._held: list[AudioFrame] = []
        self._written = 0  # samples of sound

    def open(self) -> None:
        self._output = _Output(self._path)
        # hybrid: fragments while recording, one ordinary index once closed
        self._container = av.open(
            self._output, "w", format="mp4", options={"movflags": "+hybrid_fragmented+frag_keyframe+delay_moov"}
        )

    def add_picture(self, frame: VideoFrame) -> None:
        if self._video is None:
            self._begin(frame)
        pts = round((frame.captured_ns - self._origin_ns) / NS / _TIME_BASE)
        if pts <= self._last_pts:
            return  # nothing newer to show
        picture = av.VideoFrame.from_numpy_buffer(_fitted(frame.image, self._size), format="rgb24")
        picture = picture.reformat(format="yuv420p", dst_colorspace=_BT709)
        picture.pts, picture.time_base = pts, _TIME_BASE
        self._last_pts = pts
        self._write(self._video.encode(picture))
        self.frames += 1
        self._flush_held()

    def add_sound(self, frame: AudioFrame) -> None:
        if self._audio_rate is None:
            return
        if frame.rate != self._audio_rate:
            raise SinkError(f"{self._path} was begun for {self._audio_rate} Hz, got sound of {frame.rate} Hz")
        self._held.append(frame)
        if self._video is None:
            newest = frame.captured_ns
            self._held = [f for f in self._held if f.captured_ns + f.duration_s * NS > newest - _SOUND_AHEAD_S * NS]
        else:
            self._flush_held()

    def close(self) -> None:
        """Write what the encoders still hold, and the index. Raises: OSError."""
        if self._container is None or self._output is None:
            return
        try:
            for stream in (self._video, self._audio):
                if stream is not None:
                    self._container.mux(stream.encode(None))
        finally:
            self._container.close()
            self._output.close()
        self._output.check()
        if self._video is None:
            self._path.unlink(missing_ok=True)
            log.warning("%s is not written: no picture came", self._path)

    def _write(self, packets: list[Any]) -> None:
        if self._output is not None:
            self._container.mux(packets)
            self._output.check()

    def _begin(self, frame: VideoFrame) -> None:
        width, height = frame.size
        self._size = (width + width % 2, height + height % 2)  # 4:2:0 colour has no odd sides
        self._origin_ns = frame.captured_ns
        self._video = video = self._container.add_stream("libx264", rate=self._fps, options=self._options)
        video.width, video.height = self._size
        video.pix_fmt = "yuv420p"
        coder = video.codec_context
        coder.time_base = _TIME_BASE
        coder.gop_size = _KEYFRAME_EVERY
        coder.max_b_frames = 0  # reordered frames of a variable rate give the file too short a length
        coder.colorspace = coder.color_primaries = coder.color_trc = _BT709
        coder.color_range = _LIMITED_RANGE
        if self._audio_rate is not None:
            self._audio = self._container.add_stream("aac", rate=self._audio_rate, layout="mono")
            self._audio.codec_context.bit_rate = 128_000

    def _flush_held(self) -> None:
        held, self._held = self._held, []
        for frame in held:
            samples = self._in_step(frame)
            if not samples.shape[1]:
                continue
            sound = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            sound.rate, sound.pts, sound.time_base = frame.rate, self._written, Fraction(1, frame.rate)
            self._written += samples.shape[1]
            self._write(self._audio.encode(sound))

    def _in_step(self, frame: AudioFrame) -> Samples:
        """The mono samples to append so that each is heard at its own time: silence for a gap, a cut for an overlap."""
        samples = np.ascontiguousarray(frame.samples.mean(axis=0, keepdims=True, dtype=np.float32))
        due = round((frame.captured_ns - self._origin_ns) * frame.rate / NS)
        off = due - self._written
        if abs(off) <= _DRIFT_S * frame.rate and self._written:
            return samples
        if off >= 0:
            return np.pad(samples, ((0, 0), (off, 0)))
        return np.ascontiguousarray(samples[:, -off:])


class _Output:
    """The file under the container. After a failed write it takes everything and keeps nothing.

    FFmpeg crashes when it finalises an MP4 whose first write failed, and finalising a half-written one in place could
    spoil what is readable; so it is never told, and ``check`` tells us.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=0)
        self._error: OSError | None = None
        self._position = 0

    def write(self, data: bytes) -> int:
        size = len(data)
        self._position += size
        rest = memoryview(data)
        try:
            while rest and self._error is None:
                rest = rest[self._file.write(rest) or 0 :]
        except OSError as error:
            self._error = error
        return size

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position}.get(whence)
        self._position = self._file.seek(offset, whence) if base is None else base + offset
        if self._error is None:
            self._file.seek(self._position)
        return self._position

    def tell(self) -> int:
        return self._position

    def check(self) -> None:
        """Raises: OSError when a write failed."""
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        self._file.close()


def _fitted(image: Image, size: tuple[int, int]) -> Image:
    """uint8 [H, W, 3] RGB of ``size``: an odd side repeats its last line, another size is scaled."""
    image = np.ascontiguousarray(image[..., :3])
    height, width = image.shape[:2]
    right, below = size[0] - width, size[1] - height
    if (right, below) == (0, 0):
        return image
    if right in (0, 1) and below in (0, 1):
        return np.pad(image, ((0, below), (0, right), (0, 0)), mode="edge")
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _explained(path: Path, error: OSError | av.error.FFmpegError) -> SinkError:
    """The remedy for what the operating system said."""
    subject = str(path)
    if not path.parent.is_dir():
        return SinkError(f"cannot write {path}: its folder is missing", f"mkdir -p {path.parent}", subject=subject)
    if isinstance(error, PermissionError):
        return SinkError(f"cannot write {path}: permission denied", "choose a folder of your own", subject=subject)
    if isinstance(error, IsADirectoryError):
        return SinkError(f"cannot write {path}: it is a folder", "give the name of a file", subject=subject)
    if isinstance(error, OSError):
        remedy = "free some space or choose another folder; what was written so far is readable"
        return SinkError(f"cannot write {path} ({error.strerror})", remedy, subject=subject)
    return SinkError(f"cannot encode {path} ({error})", "report this with the picture's size", subject=subject)
