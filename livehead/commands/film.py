"""From motions and sound to a file: pictures are drawn one after the other, so that length costs no memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from livehead.clock import NS
from livehead.concurrency import Worker
from livehead.frames import AudioFrame, Image, VideoFrame
from livehead.interfaces import Motion
from livehead.perception.portrait import Portrait
from livehead.perception.sound import sound_blocks
from livehead.pipeline import TIME_BASE
from livehead.sinks.file import FileSink
from livehead.sinks.provenance import Signer

SOUND_RATE = 48_000
LONGEST_SIDE = 1280  # of a video that takes its size from the photo


MotionT = TypeVar("MotionT", bound=Motion)


async def film(
    draw: Callable[[MotionT], Image],
    motions: Iterable[MotionT],
    sound: Iterator[AudioFrame] | None,
    out: Path,
    total: int | None = None,
) -> int:
    """Draw and encode: a picture is drawn while the one before is encoded and the next motion is estimated. Gives the
    number of pictures.

    ``motions`` are taken one at a time, ``total`` is how many there will be, if known. ``sound`` (see ``sound_frames``)
    is written to its end. Raises: SinkError; what ``motions`` and ``sound`` raise.
    """
    coming, count = iter(motions), 0
    async with (
        FileSink(out, audio_rate=None if sound is None else SOUND_RATE, seal=Signer().seal) as sink,
        Worker("estimate") as estimating,
        Worker("draw") as drawing,
    ):
        block = await estimating.run(next, sound, None) if sound is not None else None
        motion = await estimating.run(next, coming, None)
        encoding: Awaitable[None] | None = None
        with tqdm(total=total, desc="animating", unit="frame", disable=None) as bar:
            while motion is not None:
                image, following = await asyncio.gather(drawing.run(draw, motion), estimating.run(next, coming, None))
                if encoding is not None:
                    await encoding
                while sound is not None and block is not None and block.captured_ns <= motion.captured_ns:
                    await sink.send(block)
                    block = await estimating.run(next, sound, None)
                pts = round(motion.captured_ns * 1e-9 / TIME_BASE)
                encoding = asyncio.create_task(sink.send(VideoFrame(image, pts, TIME_BASE, motion.captured_ns)))
                motion, count = following, count + 1
                bar.update()
        if encoding is not None:
            await encoding
        while sound is not None and block is not None:
            await sink.send(block)
            block = await estimating.run(next, sound, None)
    return count


def sound_frames(path: Path, end_ns: int | None = None) -> Iterator[AudioFrame]:
    """The sound of ``path`` for ``film``, up to ``end_ns``, stamped with its own times. Raises: CaptureError."""
    given = 0
    last = None if end_ns is None else round(end_ns * 1e-9 * SOUND_RATE)
    for samples in sound_blocks(path, SOUND_RATE):
        kept = samples if last is None else samples[:, : max(last - given, 0)]
        if not kept.shape[1]:
            return
        yield AudioFrame(kept, SOUND_RATE, given, given * NS // SOUND_RATE)
        given += kept.shape[1]


def photo_size(portrait: Portrait) -> tuple[int, int]:
    """The photo's own size, even, within ``LONGEST_SIDE``."""
    height, width = portrait.photo.shape[:2]
    scale = min(1.0, LONGEST_SIDE / max(width, height))
    return max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)
