"""Records what a session sends on the server; the server names the file, and removes it with the session."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from types import TracebackType

from livehead.clock import NS, now_ns
from livehead.errors import SinkError
from livehead.frames import AudioFrame, Frame
from livehead.sinks.file import FileSink
from livehead.webrtc.broadcast import OPUS_RATE

MAX_RECORDING_S = 30 * 60
"""How long a recording may last, in seconds."""
MIN_FREE_BYTES = 1 << 29
"""The room that recordings leave on the server's disk, for everything else that needs some."""

CHECK_INTERVAL_NS = 2 * NS  # how often the room is looked at while a recording runs

log = logging.getLogger(__name__)


class SessionRecorder:
    """A ``Sink`` that takes every frame, and writes it to a file while ``recording``.

    ``on_end`` is called when a recording ends by itself: with an error, or with None when it was too long. ``sign`` is
    called on a thread with each file that is whole.
    """

    def __init__(
        self,
        folder: Path,
        fps: float,
        on_end: Callable[[SinkError | None], None],
        sign: Callable[[Path], None] = lambda path: None,
    ) -> None:
        self._folder = folder
        self._fps = fps
        self._on_end = on_end
        self._sign = sign
        self._lock = asyncio.Lock()
        self._stack = AsyncExitStack()
        self._file: FileSink | None = None
        self._started_ns = self._checked_ns = 0
        self._file_number = 0
        self.finished_path: Path | None = None
        """The file of the newest recording that is whole."""
        self.finished_seconds = 0.0
        """The length of that recording in seconds."""

    @property
    def recording(self) -> bool:
        """Tells whether frames are written to a file."""
        return self._file is not None

    async def __aenter__(self) -> SessionRecorder:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the file that is being written."""
        await self.stop()

    async def start(self) -> None:
        """Record from the next picture on. Raises: SinkError."""
        async with self._lock:
            if self._file is not None:
                return
            self._require_room()
            self._file_number += 1
            path = self._folder / f"{self._file_number}.mp4"
            file = FileSink(path, fps=self._fps, audio_rate=OPUS_RATE, preset="ultrafast", on_finished=self._sign)
            try:
                self._file = await self._stack.enter_async_context(file)
            except SinkError as error:
                raise self._without_path(error) from error
            self._started_ns = self._checked_ns = now_ns()

    async def stop(self) -> None:
        """Finish the file; the one before it is removed. Raises: SinkError."""
        async with self._lock:
            file, self._file = self._file, None
            if file is None:
                return
            before = self.finished_path
            try:
                await self._stack.aclose()
            except SinkError as error:
                raise self._without_path(error) from error
            if file.frame_count:
                self.finished_path, self.finished_seconds = file.path, (now_ns() - self._started_ns) / NS
                if before is not None:
                    before.unlink(missing_ok=True)

    async def send(self, frame: Frame) -> None:
        """Write ``frame`` if a recording runs. A full disk ends the recording, not the sink."""
        failure: SinkError | None = None
        async with self._lock:
            if self._file is None or (isinstance(frame, AudioFrame) and frame.rate != OPUS_RATE):
                return
            try:
                if now_ns() - self._checked_ns > CHECK_INTERVAL_NS:
                    self._checked_ns = now_ns()
                    self._require_room()
                await self._file.send(frame)
            except SinkError as error:
                failure = self._without_path(error)
        if failure is not None or now_ns() - self._started_ns > MAX_RECORDING_S * NS:
            with suppress(SinkError):
                await self.stop()
            self._on_end(failure)

    def _require_room(self) -> None:
        """Check that the disk has room for a recording. Raises: SinkError."""
        if shutil.disk_usage(self._folder).free < MIN_FREE_BYTES:
            raise SinkError("the server has too little room for a recording", "ask who runs it to make some")

    def _without_path(self, error: SinkError) -> SinkError:
        """Return an error for the page, which learns no path of the server; the log has it."""
        folder = str(self._folder)
        if folder not in str(error):
            return error
        log.warning("%s", error)
        return SinkError("the server cannot write the recording", "ask who runs it to look at the log")
