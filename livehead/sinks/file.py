"""Records an MP4 (H.264 and AAC) that plays everywhere, with the sound in step with the picture.

While it grows the file is fragmented, so that what was written stays readable after a crash or on a full disk; closing
it turns it into an ordinary MP4.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from types import TracebackType

import av
import av.error

from livehead.codecs.muxer import MediaMuxer, MuxerOptions
from livehead.concurrency import Worker
from livehead.errors import SinkError
from livehead.frames import Frame

log = logging.getLogger(__name__)

_KEY_FRAME_INTERVAL = 30  # frames: a crash loses at most the last fragment, which a keyframe begins


class FileSink:
    """Writes pictures, and sound when ``audio_rate`` is given, to ``path`` (``.mp4``; an existing file is replaced).

    Each frame's time is its ``captured_ns``, counted from the first picture's: the frame rate is variable, and sound is
    cut or led by silence to match. It has ``audio_channels``, one of ``codecs.muxer.AUDIO_LAYOUTS``. The first picture
    sets the size (an odd side gains one repeated line); later ones are scaled to it. ``fps`` is only the nominal
    rate. ``crf``: x264's quality, lower is better; ``preset``: x264's.
    ``on_finished`` is called with the path of each complete file, off the event loop (see ``sinks/provenance.py``).
    Raises: SinkError, on entering when the file cannot be made, on sending when the disk is full.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        fps: float = 30.0,
        audio_rate: int | None = None,
        audio_channels: int = 1,
        crf: int = 18,
        preset: str = "veryfast",
        on_finished: Callable[[Path], None] = lambda path: None,
    ) -> None:
        self.path = Path(path)
        self._recording = _Mp4Recording(
            self.path,
            MuxerOptions(
                fps,
                audio_rate,
                {"crf": str(crf), "preset": preset},
                key_frame_every=_KEY_FRAME_INTERVAL,
                audio_channels=audio_channels,
            ),
        )
        self._on_finished = on_finished
        self._failed = False
        self._stack = AsyncExitStack()
        self._worker = Worker("file-sink")

    @property
    def frame_count(self) -> int:
        """Pictures written so far."""
        return self._recording.frame_count

    async def __aenter__(self) -> FileSink:
        require_mp4(self.path)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._worker)
            await self._worker.run(self._call_with_remedy, self._recording.open)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finalise the file. Raises: SinkError when that fails, unless ``send`` has already raised it."""
        async with self._stack:
            with suppress(*(SinkError,) * self._failed):
                await self._worker.run(self._call_with_remedy, self._recording.close)
                if self.frame_count and not self._failed:
                    await self._worker.run(self._on_finished, self.path)

    async def send(self, frame: Frame) -> None:
        """Encode and write one frame, off the event loop. Raises: SinkError."""
        await self._worker.run(self._call_with_remedy, self._recording.write_frame, frame)

    def _call_with_remedy(self, fn: Callable[..., None], *args: Frame) -> None:
        try:
            fn(*args)
        except (OSError, av.error.FFmpegError) as error:
            self._failed = True
            raise _to_sink_error(self.path, error) from error


def require_mp4(path: Path) -> None:
    """Check the name of a recording. Raises: SinkError unless it ends in .mp4."""
    if path.suffix.lower() != ".mp4":
        raise SinkError(f"cannot record to {path}", "give a name that ends in .mp4", subject=str(path))


class _Mp4Recording:
    """The file under recording with its muxer; all calls come from one thread."""

    def __init__(self, path: Path, options: MuxerOptions) -> None:
        self._path = path
        self._options = options
        self._output: _FaultTolerantFile | None = None
        self._muxer: MediaMuxer | None = None

    @property
    def frame_count(self) -> int:
        return self._muxer.frame_count if self._muxer is not None else 0

    def open(self) -> None:
        self._output = _FaultTolerantFile(self._path)
        # hybrid: fragments while recording, one ordinary index once closed
        options = {"movflags": "+hybrid_fragmented+frag_keyframe+delay_moov"}
        self._muxer = MediaMuxer(
            av.open(self._output, "w", format="mp4", options=options), self._options, str(self._path)
        )

    def write_frame(self, frame: Frame) -> None:
        if self._muxer is not None and self._output is not None:
            self._muxer.write_frame(frame)
            self._output.raise_write_error()

    def close(self) -> None:
        """Flush the encoders and write the index. Raises: OSError."""
        if self._muxer is None or self._output is None:
            return
        try:
            self._muxer.close()
        finally:
            self._output.close()
        self._output.raise_write_error()
        if not self._muxer.frame_count:
            self._path.unlink(missing_ok=True)
            log.warning("%s is not written: no picture came", self._path)


class _FaultTolerantFile:
    """A file that accepts and ignores all further writes after one that failed.

    FFmpeg crashes when it finalises an MP4 whose first write failed, and finalising a half-written one in place could
    spoil what is readable. So FFmpeg sees no error, and ``raise_write_error`` reports it.
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

    def raise_write_error(self) -> None:
        """Report a failed write. Raises: OSError."""
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        self._file.close()


def _to_sink_error(path: Path, error: OSError | av.error.FFmpegError) -> SinkError:
    """The error of the operating system or of FFmpeg as a ``SinkError`` with its remedy."""
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
