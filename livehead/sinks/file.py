"""Records a film with the sound in step with the picture: an MP4 (H.264 and AAC) that plays everywhere, WebM or MOV.

While it grows the file is fragmented, so that what was written stays readable after a crash or on a full disk; closing
it turns it into an ordinary one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType

import av
import av.error

from livehead.codecs.film_formats import FilmFormat, find_film_format
from livehead.codecs.muxer import MediaMuxer, MuxerOptions
from livehead.concurrency import Worker
from livehead.errors import LostRecordingError, SinkError
from livehead.frames import Frame
from livehead.sinks.fault_tolerant_file import FaultTolerantFile
from livehead.unfinished_files import UnfinishedFile

log = logging.getLogger(__name__)

DEFAULT_CRF = 18
"""The quality of films where none is asked for: hardly to be told from the original."""
_KEY_FRAME_INTERVAL = 30  # frames: a crash loses at most the last fragment, which a keyframe begins


class FileSink:
    """Writes pictures, and sound when ``audio_rate`` is given, to ``path`` (``.mp4``, ``.webm`` or ``.mov``).

    Each frame's time is its ``captured_ns``, counted from the first picture's: the frame rate is variable, and sound is
    cut or led by silence to match. It has ``audio_channels``, one of ``codecs.muxer.AUDIO_LAYOUTS``. The first picture
    sets the size (an odd side gains one repeated line); later ones are scaled to it. If it has an alpha, WebM and MOV
    keep that. ``fps`` is only the nominal rate. ``crf``: x264's quality, lower is better; ``preset``: x264's.

    An earlier file at ``path`` stays as it is until the new one is complete, and forever if that fails; ``overwrite``
    False refuses to replace it. ``whole``: a new file appears at ``path`` only once it is complete. What was written
    of a film that fails is kept (see ``unfinished_files``), and a line in the log says where.
    ``on_finished`` is called with the path of each file, off the event loop (see ``sinks/provenance.py``).
    Raises: SinkError, on entering when the file cannot be made; LostRecordingError, on sending when the disk is full.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        fps: float = 30.0,
        audio_rate: int | None = None,
        audio_channels: int = 1,
        crf: int = DEFAULT_CRF,
        preset: str = "veryfast",
        overwrite: bool = True,
        whole: bool = False,
        on_finished: Callable[[Path], None] = lambda path: None,
    ) -> None:
        self.path = Path(path)
        self._film_options = (fps, audio_rate, audio_channels, crf, preset)
        self._place = UnfinishedFile(self.path, overwrite=overwrite, whole=whole)
        self._recording: _FilmRecording | None = None
        self._on_finished = on_finished
        self._failed = False
        self._stack = AsyncExitStack()
        self._worker = Worker("file-sink")

    @property
    def frame_count(self) -> int:
        """Pictures written so far."""
        return self._recording.frame_count if self._recording is not None else 0

    async def __aenter__(self) -> FileSink:
        film_format = find_film_format(self.path)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._worker)
            await self._worker.run(self._open, film_format)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the file. Raises: LostRecordingError when that fails, unless ``send`` has already raised it."""
        async with self._stack:
            await self._worker.run(self._close, kind is None)

    async def send(self, frame: Frame) -> None:
        """Encode and write one frame, off the event loop. Raises: LostRecordingError."""
        await self._worker.run(self._write_frame, frame)

    def _open(self, film_format: FilmFormat) -> None:
        fps, audio_rate, channels, crf, preset = self._film_options
        options = MuxerOptions(
            fps,
            audio_rate,
            film_format.encode_opaque(crf, preset),
            key_frame_every=_KEY_FRAME_INTERVAL,
            audio_channels=min(channels, film_format.max_channels),
            video_with_alpha=film_format.encode_alpha(crf, preset),
            sound_codec=film_format.sound_codec,
        )
        try:
            self._recording = _FilmRecording(self._place.create(), film_format, options)
        except (OSError, av.error.FFmpegError) as error:
            raise explain_open_error(self.path, error) from error

    def _write_frame(self, frame: Frame) -> None:
        if self._recording is None:
            return
        try:
            self._recording.write_frame(frame)
        except (OSError, av.error.FFmpegError) as error:
            self._failed = True
            raise explain_write_error(self._place, error) from error

    def _close(self, complete: bool) -> None:
        if self._recording is None:
            return
        failure: LostRecordingError | None = None
        try:
            self._recording.close()
            if complete and not self._failed and self.frame_count:
                self._place.finish()
        except (OSError, av.error.FFmpegError) as error:
            failure = explain_write_error(self._place, error)
        if not self.frame_count:
            self._place.discard()
            log.warning("%s is not written: no picture came", self.path)
        elif self._failed or failure is not None:
            self._place.keep()  # the error has said where
        elif not complete:
            keep_unfinished(self._place, f"{self.frame_count} pictures")
        if self.frame_count and not self._failed and failure is None:
            self._on_finished(self._place.path)
        if failure is not None and not self._failed:
            raise failure


class _FilmRecording:
    """The file under recording with its muxer; all calls come from one thread."""

    def __init__(self, path: Path, film_format: FilmFormat, options: MuxerOptions) -> None:
        self._output = FaultTolerantFile(path)
        container = av.open(self._output, "w", format=film_format.container, options=film_format.container_options)
        self._muxer = MediaMuxer(container, options, str(path))

    @property
    def frame_count(self) -> int:
        return self._muxer.frame_count

    def write_frame(self, frame: Frame) -> None:
        self._muxer.write_frame(frame)
        self._output.raise_write_error()

    def close(self) -> None:
        """Flush the encoders and write the index. Raises: OSError, FFmpegError."""
        try:
            self._muxer.close()
        finally:
            self._output.close()
        self._output.raise_write_error()


def keep_unfinished(place: UnfinishedFile, amount: str) -> None:
    """Keep what was written of a film that ended early, and say in the log where it is. Raises: OSError."""
    kept = place.keep()
    earlier = "" if kept == place.target else f"; {place.target} is as it was before"
    log.warning("the film is not complete: %s are in %s%s", amount, kept, earlier)


def explain_open_error(path: Path, error: OSError | av.error.FFmpegError) -> SinkError:
    """Return what the operating system or FFmpeg said of a file that cannot be made, with its remedy."""
    subject = str(path)
    if isinstance(error, FileExistsError):
        remedy = "give --overwrite to replace it, or another name"
        return SinkError(f"{path} exists already", remedy, subject=subject)
    if not path.parent.is_dir():
        return SinkError(f"cannot write {path}: its folder is missing", f"mkdir -p {path.parent}", subject=subject)
    if isinstance(error, PermissionError):
        return SinkError(f"cannot write {path}: permission denied", "choose a folder of your own", subject=subject)
    if isinstance(error, IsADirectoryError):
        return SinkError(f"cannot write {path}: it is a folder", "give the name of a file", subject=subject)
    return SinkError(f"cannot write {path} ({error.strerror})", "choose another folder", subject=subject)


def explain_write_error(place: UnfinishedFile, error: OSError | av.error.FFmpegError) -> LostRecordingError:
    """Return what the operating system or FFmpeg said of a frame that was not written, with its remedy."""
    path, subject = place.target, str(place.target)
    if isinstance(error, OSError):
        remedy = "free some space or choose another folder"
        if place.path.exists() and place.path.stat().st_size:
            remedy += f"; what was written so far is in {place.kept_path}"
        return LostRecordingError(f"cannot write {path} ({error.strerror})", remedy, subject=subject)
    return LostRecordingError(f"cannot encode {path} ({error})", "report this with the picture's size", subject=subject)
