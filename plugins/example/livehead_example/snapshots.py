"""A sink that writes one picture a second into a folder."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import TracebackType

from PIL import Image as Pillow

from livehead.config import StreamSettings
from livehead.errors import SinkError
from livehead.frames import Frame, Image, VideoFrame


class Snapshots:
    """Writes ``shot-0000.png`` and so on, one for each second of the stream; counts them in ``written``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.written = 0
        self._next_s = 0.0

    async def __aenter__(self) -> Snapshots:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SinkError(f"cannot make {self.folder} ({error.strerror})", "name another folder") from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    async def send(self, frame: Frame) -> None:
        """Write the frame if its second has none yet. Raises: SinkError when the disk is full."""
        if not isinstance(frame, VideoFrame) or frame.seconds < self._next_s:
            return
        self._next_s = frame.seconds + 1
        await asyncio.to_thread(self._write, frame.image)
        self.written += 1

    def _write(self, image: Image) -> None:
        path = self.folder / f"shot-{self.written:04d}.png"
        try:
            Pillow.fromarray(image).save(path)
        except OSError as error:
            raise SinkError(f"cannot write {path} ({error.strerror})", "free some space or name a folder") from error


def from_spec(argument: str, stream: StreamSettings) -> Snapshots:
    """``snapshots:FOLDER``; without a folder, ``snapshots`` in the current one."""
    return Snapshots(Path(argument or "snapshots"))
