"""Motions and sound become a video file; pictures are drawn one after the other, so that length costs no memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Generic, TypeVar

from tqdm import tqdm

from livehead.assembly.dagan import CHECKPOINTS
from livehead.audio.rates import SOUND_RATE
from livehead.clock import NS, TIME_BASE
from livehead.concurrency import Worker
from livehead.frames import AudioFrame, Image, VideoFrame
from livehead.interfaces import Motion
from livehead.perception.audio_blocks import read_channel_blocks
from livehead.perception.portrait import Portrait
from livehead.sinks.file import FileSink
from livehead.sinks.provenance import ManifestSigner

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
    """Draw ``motions`` and write them with ``sound`` to ``out``; gives the number of pictures.

    Pictures are drawn while those before are encoded and the next motions are estimated. ``motions`` are taken
    ``batch_size`` at a time, and so given to ``draw``; those left at the end one by one, so that nothing is compiled
    for them. ``total`` is how many there will be, if known. ``sound`` (see ``read_sound_frames``) is written to its
    end. Raises: SinkError; what ``motions`` and ``sound`` raise.
    """
    first = None if sound is None else next(sound, None)
    sound = None if sound is None or first is None else chain([first], sound)
    rate, channels = (None, 1) if first is None else (SOUND_RATE, first.samples.shape[0])
    async with (
        FileSink(out, audio_rate=rate, audio_channels=channels, on_finished=ManifestSigner().sign_if_possible) as sink,
        Worker("sound") as listening,
    ):
        writer = _InterleavedWriter(sink, sound, listening)
        with tqdm(total=total, desc="animating", unit="frame", disable=None) as bar:
            await _write_batches(_BatchedPictures(draw, motions, batch_size), writer, bar.update)
        await writer.write_remaining_sound()
        return sink.frame_count


class _BatchedPictures(Generic[MotionT]):
    """Motions taken a batch at a time, and the pictures drawn of them."""

    def __init__(
        self, draw: Callable[[Sequence[MotionT]], list[Image]], motions: Iterable[MotionT], batch_size: int
    ) -> None:
        self._draw = draw
        self._motions = iter(motions)
        self._batch_size = batch_size

    def take(self) -> list[MotionT]:
        """The next batch; empty at the end."""
        return list(islice(self._motions, self._batch_size))

    def draw(self, motions: Sequence[MotionT]) -> list[Image]:
        """The pictures of a batch, drawn at once; those of an incomplete one each by itself."""
        if len(motions) == self._batch_size:
            return self._draw(motions)
        return [picture for each in motions for picture in self._draw([each])]


async def _write_batches(
    batches: _BatchedPictures[MotionT], writer: _InterleavedWriter, on_drawn: Callable[[int], object]
) -> None:
    """Estimate, draw and encode three batches at once; ``on_drawn`` gets the number of pictures of each."""
    async with Worker("estimate") as estimating, Worker("draw") as drawing:
        batch = await estimating.run(batches.take)
        encoding: asyncio.Task[None] | None = None
        try:
            while batch:
                pictures, next_batch = await asyncio.gather(
                    drawing.run(batches.draw, batch), estimating.run(batches.take)
                )
                if encoding is not None:
                    await encoding
                encoding = asyncio.create_task(writer.write_pictures(batch, pictures))
                batch = next_batch
                on_drawn(len(pictures))
        finally:
            if encoding is not None:  # whatever failed: nothing writes to a file that is being closed
                await asyncio.wait((encoding,))
        if encoding is not None:
            await encoding


class _InterleavedWriter:
    """Writes pictures, and before each of them the ``sound`` that is heard by then."""

    def __init__(self, sink: FileSink, sound: Iterator[AudioFrame] | None, worker: Worker) -> None:
        self._sink = sink
        self._sound = sound
        self._worker = worker
        self._pending_block: AudioFrame | None = None

    async def write_pictures(self, motions: Sequence[Motion], pictures: Sequence[Image]) -> None:
        """Write one picture for each motion, at its time."""
        for motion, image in zip(motions, pictures, strict=True):
            await self._write_sound_until(motion.captured_ns)
            pts = round(motion.captured_ns * 1e-9 / TIME_BASE)
            await self._sink.send(VideoFrame(image, pts, TIME_BASE, motion.captured_ns))

    async def write_remaining_sound(self) -> None:
        """Write the sound that is left."""
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
    """``draw`` as ``export_video`` takes it, for what gains nothing by drawing several pictures at once."""
    return lambda motions: [draw(motion) for motion in motions]


def read_sound_frames(path: Path, end_ns: int | None = None, *, tell_damage: bool = True) -> Iterator[AudioFrame]:
    """The sound of ``path`` up to ``end_ns`` in its own channels, stamped with its own times. Raises: CaptureError.

    ``tell_damage``: log at the end how much of it was damaged.
    """
    given = 0
    last = None if end_ns is None else round(end_ns * 1e-9 * SOUND_RATE)
    for samples in read_channel_blocks(path, SOUND_RATE, tell_damage=tell_damage):
        kept = samples if last is None else samples[:, : max(last - given, 0)]
        if not kept.shape[1]:
            return
        yield AudioFrame(kept, SOUND_RATE, given, given * NS // SOUND_RATE)
        given += kept.shape[1]


def choose_batch_size(model: str) -> int:
    """How many pictures ``model`` draws at once: several if its network is small, one if that fills the cores alone."""
    return 1 if model in CHECKPOINTS else BATCH_SIZE


def photo_size(portrait: Portrait) -> tuple[int, int]:
    """The photo's own size, even, within ``LONGEST_SIDE``."""
    height, width = portrait.photo.shape[:2]
    scale = min(1.0, LONGEST_SIDE / max(width, height))
    return max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)
