"""Reads the members of a zip whose end is missing, because the program that wrote it was killed.

A zip's directory comes last. What stands before each member, its local header, says the same, so that everything up to
the place where the writing stopped can be read. APPNOTE.TXT of PKWARE, section 4.3.7.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
_SIGNATURE = b"PK\x03\x04"
_STORED, _DEFLATED = 0, 8
_SIZES_FOLLOW = 1 << 3  # flag: the sizes stand behind the data, so that the header does not tell them


def read_whole_members(content: bytes, *, max_bytes: int) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the unpacked content of each member, up to the first that is incomplete.

    ``max_bytes`` bounds what all of them have together. Raises: ValueError beyond it.
    """
    position, unpacked = 0, 0
    while len(content) - position >= _LOCAL_HEADER.size:
        signature, _, flags, method, _, _, checksum, packed_size, size, name_length, extra_length = (
            _LOCAL_HEADER.unpack_from(content, position)
        )
        start = position + _LOCAL_HEADER.size
        data = start + name_length + extra_length
        if signature != _SIGNATURE or flags & _SIZES_FOLLOW or data + packed_size > len(content):
            return
        unpacked += size
        if unpacked > max_bytes:
            raise ValueError(f"it unpacks to more than {max_bytes} bytes")
        member = _unpack(content[data : data + packed_size], method, size)
        if member is None or len(member) != size or zlib.crc32(member) != checksum:
            return
        yield content[start : start + name_length].decode("utf-8", "replace"), member
        position = data + packed_size


def _unpack(packed: bytes, method: int, size: int) -> bytes | None:
    """Return at most ``size`` + 1 unpacked bytes; None for damaged ones, or packed in a way that is unknown here."""
    if method == _STORED:
        return packed
    if method != _DEFLATED:
        return None
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, size + 1)
    except zlib.error:
        return None
