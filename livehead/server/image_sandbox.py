"""Decodes strangers' photos in a process that can do no harm: it has little memory and time, and no files.

Run as a program it reads a photo from standard input and writes its pixels (of an animation, those of some of its
pictures), or what is wrong with it, to standard output. The server never decodes what was uploaded.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import numpy as np

import livehead
from livehead.errors import SourceError
from livehead.frames import Image
from livehead.perception.photo_frames import PhotoFrame

MAX_UPLOAD_BYTES = 10_000_000
MAX_PIXELS = 20_000_000
MAX_FRAMES, MAX_FRAME_SIDE = 6, 1280
"""Of an animation so many pictures are given, with sides of so many pixels: together no more than two large photos."""

_CPU_LIMIT_S = 10
_MEMORY_LIMIT_BYTES = 1 << 30  # of address space, beyond what the program has when it starts
_EXIT_REJECTED = 3  # exit status with which standard output says why the photo was refused
_MODULE = __name__


class SandboxedImageDecoder:
    """Decodes at most two photos at a time, each within ``timeout_s`` seconds; the others wait."""

    def __init__(self, timeout_s: float = 2 * _CPU_LIMIT_S) -> None:
        self._timeout_s = timeout_s
        self._slots = asyncio.Semaphore(2)

    async def decode(self, data: bytes, name: str = "The photo") -> Image:
        """The photo in the file ``data`` as uint8 [H, W, 3] RGB; ``name`` is for messages. Raises: SourceError."""
        async with self._slots:
            frames = await _decode_in_subprocess(data, name, self._timeout_s, max_frames=1)
        return frames[0].image

    async def decode_frames(self, data: bytes, name: str = "The photo") -> list[PhotoFrame]:
        """The photo in the file ``data``, or of an animation at most ``MAX_FRAMES`` pictures. Raises: SourceError."""
        async with self._slots:
            return await _decode_in_subprocess(data, name, self._timeout_s, max_frames=MAX_FRAMES)


async def _decode_in_subprocess(data: bytes, name: str, timeout_s: float, max_frames: int) -> list[PhotoFrame]:
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",  # or else a module that lies in the folder where the server was started would be run
        "-m",
        _MODULE,
        name,
        str(max_frames),
        stdin=pipe,
        stdout=pipe,
        stderr=asyncio.subprocess.DEVNULL,
        env=child_environment(),
    )
    try:
        output, _ = await asyncio.wait_for(child.communicate(data), timeout_s)
    except TimeoutError as error:
        raise SourceError(f"{name} takes too long to decode", "save it anew as JPEG or PNG") from error
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    head, _, body = output.partition(b"\n")
    if child.returncode == _EXIT_REJECTED:
        refusal = json.loads(head)
        raise SourceError(refusal["problem"], refusal["remedy"])
    if child.returncode != 0:
        raise SourceError(f"{name} cannot be decoded", "save it anew as JPEG or PNG, or use another photo")
    frames, place = [], 0
    for height, width, words in json.loads(head):
        pixels = np.frombuffer(body, np.uint8, height * width * 3, place).reshape(height, width, 3)
        frames.append(PhotoFrame(pixels, words))
        place += pixels.size
    return frames


def child_environment() -> dict[str, str]:
    """The environment of the decoding process: where the package is, but no token and no home of the server's."""
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "LD_LIBRARY_PATH") if name in os.environ}
    return kept | {
        "PYTHONPATH": str(Path(livehead.__file__).parents[1]),
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONUTF8": "1",
    }


def apply_resource_limits() -> None:
    """Give up files, processor time and memory that decoding does not need.

    On Windows, which has no such limits, the server's own timeout remains.
    """
    if sys.platform == "win32":
        return
    import resource

    used = 0
    if sys.platform == "linux":
        used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    limits = [(resource.RLIMIT_CPU, _CPU_LIMIT_S), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0)]
    if used:
        limits.append((resource.RLIMIT_AS, used + _MEMORY_LIMIT_BYTES))
    for kind, limit in limits:
        resource.setrlimit(kind, (limit, limit))
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))


def main() -> int:
    """Decode the photo on standard input; the exit status says whether it worked."""
    from livehead.perception.photo import decode_photo
    from livehead.perception.photo_formats import available_formats
    from livehead.perception.photo_frames import decode_photo_frames

    available_formats()  # loads what reads each format, while files may still be opened
    data, name, max_frames = sys.stdin.buffer.read(MAX_UPLOAD_BYTES + 1), sys.argv[1], int(sys.argv[2])
    apply_resource_limits()
    try:
        if max_frames == 1:
            frames = [PhotoFrame(decode_photo(data, name, MAX_PIXELS))]
        else:
            frames = decode_photo_frames(data, name, MAX_PIXELS, max_frames, MAX_FRAME_SIDE)
    except SourceError as error:
        sys.stdout.write(json.dumps({"problem": error.problem, "remedy": error.remedy}) + "\n")
        return _EXIT_REJECTED
    shapes = [(*frame.image.shape[:2], frame.place) for frame in frames]
    sys.stdout.buffer.write(json.dumps(shapes).encode() + b"\n")
    for frame in frames:
        sys.stdout.buffer.write(frame.image.tobytes())
    return 0


if __name__ == "__main__":
    sys.exit(main())
