"""A file for FFmpeg to write to, which goes on after a failed write as if nothing had happened."""

from __future__ import annotations

import os
from pathlib import Path


class FaultTolerantFile:
    """A file that accepts and ignores all further writes after one that failed.

    FFmpeg crashes when it finalises an MP4 whose first write failed, and finalising a half-written one in place could
    spoil what is readable. So FFmpeg sees no error, and ``raise_write_error`` reports it.
    """

    def __init__(self, path: Path) -> None:
        """Open ``path`` for writing, from its beginning. Raises: OSError."""
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
        """Close the file once its content is on the disk: a name must not stand on less after a power cut."""
        try:
            if self._error is None and self._file.seekable():
                os.fsync(self._file.fileno())
        finally:
            self._file.close()
