"""Writes a film as PNG pictures with their transparency: one numbered file a picture, or a single one."""

from __future__ import annotations

import errno
import logging
import re
import shutil
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from livehead.clock import NS
from livehead.codecs.alpha import hide_transparent_colours
from livehead.codecs.film_formats import (
    PICTURE_SUFFIX,
    is_picture_sequence,
    match_picture_names,
    picture_pattern,
)
from livehead.concurrency import Worker
from livehead.errors import LostRecordingError
from livehead.frames import Frame, Image, VideoFrame
from livehead.sinks.file import explain_open_error
from livehead.storage import write_atomically
from livehead.unfinished_files import UNFINISHED, require_writable

log = logging.getLogger(__name__)

_COMPRESSION = 3  # of zlib's 9: more takes several times as long for a few per cent


class PictureSequenceSink:
    """Writes pictures to ``path``: a numbered name (``frames/%05d.png``), a folder, or ``OUT.png`` for the first one.

    A missing folder is made. ``fps``: pictures come live, so that a gap in their times is filled by repeating the one
    before it, and the sequence plays at that rate; None writes each once. Sound is left out. Pictures of an earlier
    sequence of the same names stay until the new one is complete, or forever if that fails; ``overwrite`` False refuses
    to replace them. ``whole``: also where there are none, the new ones appear only once all are written.
    Raises: SinkError, on entering; LostRecordingError, on sending when the disk is full.
    """

    def __init__(
        self, path: str | Path, *, fps: float | None = None, overwrite: bool = True, whole: bool = False
    ) -> None:
        self.path = Path(path)
        self.frame_count = 0
        """Pictures written so far."""
        self._fps = fps
        self._overwrite = overwrite
        self._whole = whole
        self._pattern = picture_pattern(self.path)
        self._folder = self._pattern.parent
        """Where pictures are written now."""
        self._single = not is_picture_sequence(self.path)
        self._origin_ns: int | None = None
        self._last = b""
        self._failed = False
        self._stack = AsyncExitStack()
        self._worker = Worker("picture-sink")

    async def __aenter__(self) -> PictureSequenceSink:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._worker)
            await self._worker.run(self._open)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the pictures their names. Raises: LostRecordingError when that fails."""
        async with self._stack:
            await self._worker.run(self._close, kind is None)

    async def send(self, frame: Frame) -> None:
        """Write one picture, off the event loop; sound is ignored. Raises: LostRecordingError."""
        if isinstance(frame, VideoFrame) and not (self._single and self.frame_count):
            await self._worker.run(self._write_frame, frame)

    def _open(self) -> None:
        try:
            earlier = list_pictures(self.path)
            if earlier and not self._overwrite:
                raise FileExistsError(errno.EEXIST, "it exists already", str(self.path))
            for file in earlier:
                require_writable(file)
            if not self._single:
                self._pattern.parent.mkdir(exist_ok=True)
            if not self._single and (earlier or self._whole):
                self._folder = _make_folder_beside(self._pattern.parent)
        except OSError as error:
            raise explain_open_error(self.path, error) from error

    def _write_frame(self, frame: VideoFrame) -> None:
        if self._origin_ns is None:
            self._origin_ns = frame.captured_ns
        encoded = _encode_png(frame.image)
        try:
            if self._fps is not None and not self._single:
                due = round((frame.captured_ns - self._origin_ns) / NS * self._fps)
                while self.frame_count and self.frame_count < due:
                    self._write_picture(self._last)
                if due < self.frame_count:
                    return  # nothing newer to show
            self._write_picture(encoded)
        except OSError as error:
            self._failed = True
            raise self._explain(error) from error
        self._last = encoded

    def _write_picture(self, encoded: bytes) -> None:
        number = self.frame_count + 1
        name = self._pattern.name if self._single else self._pattern.name % number
        if self._single:
            write_atomically(self._pattern, encoded)
        else:
            partial = self._folder / f".{UNFINISHED}{PICTURE_SUFFIX}"
            partial.write_bytes(encoded)
            partial.replace(self._folder / name)
        self.frame_count = number

    def _close(self, complete: bool) -> None:
        beside = self._folder != self._pattern.parent
        if not self.frame_count:
            if beside:
                shutil.rmtree(self._folder, ignore_errors=True)
            log.warning("%s is not written: no picture came", self.path)
            return
        earlier = list_pictures(self.path) if beside else []
        try:
            if beside and (not earlier or (complete and not self._failed)):
                self._move_into_place(earlier)
        except OSError as error:
            raise self._explain(error) from error
        if not self._single and not complete and not self._failed:
            as_before = "; the earlier pictures are as they were" if earlier else ""
            place = self._folder if beside else self.path
            log.warning("the film is not complete: %d pictures are in %s%s", self.frame_count, place, as_before)

    def _move_into_place(self, earlier: list[Path]) -> None:
        target = self._pattern.parent
        for number in range(1, self.frame_count + 1):
            name = self._pattern.name % number
            (self._folder / name).replace(target / name)
        kept = {self._pattern.name % number for number in range(1, self.frame_count + 1)}
        for file in earlier:
            if file.name not in kept:
                file.unlink(missing_ok=True)
        self._folder.rmdir()
        self._folder = target

    def _explain(self, error: OSError) -> LostRecordingError:
        remedy = f"free some space or choose another folder; {self.frame_count} pictures are in {self._folder}"
        return LostRecordingError(f"cannot write {self.path} ({error.strerror})", remedy, subject=str(self.path))


def list_pictures(path: Path) -> list[Path]:
    """Return the pictures that a ``PictureSequenceSink`` of ``path`` would replace, sorted."""
    if not is_picture_sequence(path):
        return [path] if path.is_file() else []
    pattern = picture_pattern(path)
    if not pattern.parent.is_dir():
        return []
    names: re.Pattern[str] = match_picture_names(pattern)
    return sorted(file for file in pattern.parent.iterdir() if names.fullmatch(file.name))


def _make_folder_beside(folder: Path) -> Path:
    """Make an empty folder in ``folder``, for pictures that are not complete yet, and return it."""
    number = 1
    while True:
        made = folder / (UNFINISHED if number == 1 else f"{UNFINISHED}-{number}")
        try:
            made.mkdir()
        except FileExistsError:
            number += 1
        else:
            return made


def _encode_png(image: Image) -> bytes:
    """uint8 [H, W, 3] RGB or [H, W, 4] RGBA as the content of a PNG file."""
    opaque = image.shape[2] == 3
    bgr = (
        cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        if opaque
        else cv2.cvtColor(hide_transparent_colours(image), cv2.COLOR_RGBA2BGRA)
    )
    done, content = cv2.imencode(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, _COMPRESSION])
    assert done
    return bytes(np.asarray(content, np.uint8).data)
