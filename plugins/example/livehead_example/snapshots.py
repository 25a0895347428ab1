"""A sink that writes one picture a second into a folder."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import TracebackType

from PIL import Image as Pillow

from livehead.config import StreamSettings
from livehead.errors import ConfigError, SinkError
from livehead.frames import Frame, Image, VideoFrame
from livehead.registry import SinkFactory


class SnapshotSink:
    """Writes ``shot-0000.png`` and so on into ``folder``, one for each second of the stream."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.written_count = 0
        """Pictures written so far."""
        self._next_s = 0.0

    async def __aenter__(self) -> SnapshotSink:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SinkError(f"cannot make {self.folder} ({error.strerror})", "name another folder") from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is open."""

    async def send(self, frame: Frame) -> None:
        """Write the first picture of each second. Raises: SinkError when the disk is full."""
        if not isinstance(frame, VideoFrame) or frame.seconds < self._next_s:
            return
        self._next_s = frame.seconds + 1
        await asyncio.to_thread(self._write_image, frame.image)
        self.written_count += 1

    def _write_image(self, image: Image) -> None:
        path = self.folder / f"shot-{self.written_count:04d}.png"
        try:
            Pillow.fromarray(image).save(path)
        except OSError as error:
            raise SinkError(f"cannot write {path} ({error.strerror})", "free some space or name a folder") from error


def create_snapshots(argument: str, stream: StreamSettings) -> SnapshotSink:
    """Create the sink for ``--sink snapshots:FOLDER``; the default folder is ``snapshots``."""
    return SnapshotSink(Path(argument or "snapshots"))


def check_snapshots(argument: str) -> None:
    """Check the folder before anything is opened. Raises: ConfigError when it is a file."""
    if argument and Path(argument).is_file():
        raise ConfigError(f"{argument} is a file", "name a folder", subject=argument)


SNAPSHOTS = SinkFactory(create_snapshots, check_snapshots)
