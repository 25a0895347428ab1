"""From motions and sound to a file: pictures are drawn one after the other, so that length costs no memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from livehead.assembly.dagan import CHECKPOINTS
from livehead.clock import NS
from livehead.concurrency import Worker
from livehead.frames import AudioFrame, Image, VideoFrame
from livehead.interfaces import Motion
from livehead.perception.audio_blocks import read_audio_blocks
from livehead.perception.portrait import Portrait
from livehead.clock import TIME_BASE
from livehead.sinks.file import FileSink
from livehead.sinks.provenance import ManifestSigner

SOUND_RATE = 48_000
LONGEST_SIDE = 1280  # of a video that takes its size from the photo
BATCH_SIZE = 4
"""Pictures that a small network draws at once: a quarter less work for each than one by one."""

MotionT = TypeVar("MotionT", bound=Motion)


async def export_video(
    draw: Callable[[Sequence[MotionT]], list[Image]],
    motions: Iterable[MotionT],
    sound: Iterator[AudioFrame] | None,
    out: Path,
    total: int | None = None,
    batch_size: int = 1,
) -> int:
    """Draw and encode: pictures are drawn while those before are encoded and the next motions are estimated. Gives the
    number of pictures.

    ``motions`` are taken ``together`` at a time, and so given to ``draw``; those left at the end one by one, so that
    nothing is compiled for them. ``total`` is how many there will be, if known. ``sound`` (see ``sound_frames``) is
    written to its end. Raises: SinkError; what ``motions`` and ``sound`` raise.
    """
    coming, count = iter(motions), 0

    def draw_batch(some: Sequence[MotionT]) -> list[Image]:
        if len(some) == batch_size:
            return draw(some)
        return [picture for each in some for picture in draw([each])]

    def take_batch() -> list[MotionT]:
        return list(islice(coming, batch_size))

    async with (
        FileSink(
            out, audio_rate=None if sound is None else SOUND_RATE, on_finished=ManifestSigner().sign_if_possible
        ) as sink,
        Worker("estimate") as estimating,
        Worker("draw") as drawing,
        Worker("sound") as listening,
    ):
        track = _InterleavedWriter(sink, sound, listening)
        some = await estimating.run(take_batch)
        encoding: asyncio.Task[None] | None = None
        try:
            with tqdm(total=total, desc="animating", unit="frame", disable=None) as bar:
                while some:
                    pictures, coming_next = await asyncio.gather(
                        drawing.run(draw_batch, some), estimating.run(take_batch)
                    )
                    if encoding is not None:
                        await encoding
                    encoding = asyncio.create_task(track.write_pictures(some, pictures))
                    some, count = coming_next, count + len(some)
                    bar.update(len(pictures))
        finally:
            if encoding is not None:  # whatever failed: nothing writes to a file that is being closed
                await asyncio.wait((encoding,))
        if encoding is not None:
            await encoding
        await track.write_remaining_sound()
    return count


class _InterleavedWriter:
    """What is written: pictures, and before each the ``sound`` that is heard by then."""

    def __init__(self, sink: FileSink, sound: Iterator[AudioFrame] | None, worker: Worker) -> None:
        self._sink = sink
        self._sound = sound
        self._worker = worker
        self._pending_block: AudioFrame | None = None

    async def write_pictures(self, motions: Sequence[Motion], pictures: Sequence[Image]) -> None:
        """One picture for each motion, at its time."""
        for motion, image in zip(motions, pictures, strict=True):
            await self._write_sound_until(motion.captured_ns)
            pts = round(motion.captured_ns * 1e-9 / TIME_BASE)
            await self._sink.send(VideoFrame(image, pts, TIME_BASE, motion.captured_ns))

    async def write_remaining_sound(self) -> None:
        """The sound that is left."""
        await self._write_sound_until(None)

    async def _write_sound_until(self, until_ns: int | None) -> None:
        while self._sound is not None:
            if self._pending_block is None:
                self._pending_block = await self._worker.run(next, self._sound, None)
            if self._pending_block is None or (until_ns is not None and self._pending_block.captured_ns > until_ns):
                return
            await self._sink.send(self._pending_block)
            self._pending_block = None


def unbatched(draw: Callable[[MotionT], Image]) -> Callable[[Sequence[MotionT]], list[Image]]:
    """``draw`` for ``film``, where drawing several at once gains nothing."""
    return lambda motions: [draw(motion) for motion in motions]


def read_sound_frames(path: Path, end_ns: int | None = None) -> Iterator[AudioFrame]:
    """The sound of ``path`` for ``film``, up to ``end_ns``, stamped with its own times. Raises: CaptureError."""
    given = 0
    last = None if end_ns is None else round(end_ns * 1e-9 * SOUND_RATE)
    for samples in read_audio_blocks(path, SOUND_RATE):
        kept = samples if last is None else samples[:, : max(last - given, 0)]
        if not kept.shape[1]:
            return
        yield AudioFrame(kept, SOUND_RATE, given, given * NS // SOUND_RATE)
        given += kept.shape[1]


def choose_batch_size(model: str) -> int:
    """``together`` for ``film``: several of a small network's, one of those that fill the cores alone."""
    return 1 if model in CHECKPOINTS else BATCH_SIZE


def photo_size(portrait: Portrait) -> tuple[int, int]:
    """The photo's own size, even, within ``LONGEST_SIDE``."""
    height, width = portrait.photo.shape[:2]
    scale = min(1.0, LONGEST_SIDE / max(width, height))
    return max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)
