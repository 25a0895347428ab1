"""Motions and sound become a video file; pictures are drawn one after the other, so that length costs no memory."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Generic, TypeVar

from livehead.assembly.dagan import CHECKPOINTS
from livehead.assembly.progress import ProgressMeter
from livehead.assembly.time_range import TimeRange, clip_blocks
from livehead.audio.rates import SOUND_RATE
from livehead.clock import NS, TIME_BASE
from livehead.codecs.film_formats import is_picture_output, is_picture_sequence
from livehead.concurrency import Worker
from livehead.frames import AudioFrame, Image, VideoFrame
from livehead.interfaces import Motion, Sink
from livehead.perception.audio_blocks import read_channel_blocks
from livehead.perception.portrait import Portrait
from livehead.sinks.file import DEFAULT_CRF, FileSink
from livehead.sinks.film import open_film
from livehead.sinks.picture_sequence import PictureSequenceSink
from livehead.sinks.provenance import ManifestSigner

log = logging.getLogger(__name__)

MAX_PICTURE_AREA, MAX_PICTURE_SIDE = 1920 * 1080, 4096
"""The most pixels, and the longest side, of a video that takes its size from the photo."""
BATCH_SIZE = 4
"""Pictures that a small network draws at once: a quarter less work for each than one by one."""

_SINGLE_PICTURE_NS = NS // 25  # how long a film with a single picture shows it

MotionT = TypeVar("MotionT", bound=Motion)


@dataclass(frozen=True, slots=True)
class ExportSettings:
    """The file ``out`` that a video is written to, and how.

    ``total`` is how many pictures there will be, if known. ``batch_size``: how many are drawn at once. ``crf`` is the
    encoder's quality, lower is better, the sink's own if None. ``sound_ends_with_pictures``: longer sound is cut off.
    """

    out: Path
    total: int | None = None
    batch_size: int = 1
    crf: int | None = None
    sound_ends_with_pictures: bool = False


@dataclass(frozen=True, slots=True)
class ExportFigures:
    """How many pictures were written, how long they last, and when (``time.monotonic``) the first one was written."""

    frames: int
    duration_s: float
    first_written: float


async def export_video(
    draw: Callable[[Sequence[MotionT]], list[Image]],
    motions: Iterable[MotionT],
    sound: Iterator[AudioFrame] | None,
    settings: ExportSettings,
) -> ExportFigures:
    """Draw ``motions`` and write them with ``sound`` (see ``read_sound_frames``) to a file.

    Pictures are drawn while those before are encoded and the next motions are estimated. ``motions`` are taken a batch
    at a time, and so given to ``draw``; those left at the end one by one, so that nothing is compiled for them. A run
    that is interrupted leaves a complete file of what there was by then, unless there was a film of that name before.
    Raises: SinkError; what ``motions`` and ``sound`` raise.
    """
    out = settings.out
    first = None if sound is None else next(sound, None)
    sound = None if sound is None or first is None else chain([first], sound)
    replaces_film = out.exists()
    if is_picture_output(out) and not is_picture_sequence(out):
        motions = islice(motions, 1)
    interrupted: asyncio.CancelledError | None = None
    async with _open_sink(settings, first) as sink, Worker("sound") as listening:
        writer = _InterleavedWriter(sink, sound, listening)
        try:
            with ProgressMeter(settings.total, "animating") as meter:
                batches = _BatchedPictures(draw, motions, settings.batch_size)
                await _write_batches(batches, writer, meter.advance)
            await writer.write_remaining_sound(only_to_last_picture=settings.sound_ends_with_pictures)
        except asyncio.CancelledError as error:
            if replaces_film:
                raise
            interrupted = error
    if interrupted is not None:
        if sink.frame_count:
            log.warning("stopped early: %s holds the first %.1f s", out, writer.end_ns * 1e-9)
        raise interrupted
    return ExportFigures(sink.frame_count, writer.end_ns * 1e-9, writer.first_written)


def _open_sink(settings: ExportSettings, first_sound: AudioFrame | None) -> FileSink | PictureSequenceSink:
    rate, channels = (None, 1) if first_sound is None else (SOUND_RATE, first_sound.samples.shape[0])
    sign = ManifestSigner().sign_if_possible
    crf = DEFAULT_CRF if settings.crf is None else settings.crf
    return open_film(settings.out, audio_rate=rate, audio_channels=channels, crf=crf, on_finished=sign)


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

    def __init__(self, sink: Sink, sound: Iterator[AudioFrame] | None, worker: Worker) -> None:
        self._sink = sink
        self._sound = sound
        self._worker = worker
        self._pending_block: AudioFrame | None = None
        self.end_ns = 0
        """When the last picture that was written ends, as far as the one before it tells."""
        self._last_ns = 0
        self.first_written = math.inf
        """The moment (``time.monotonic``) at which the first picture was written."""

    async def write_pictures(self, motions: Sequence[Motion], pictures: Sequence[Image]) -> None:
        """Write one picture for each motion, at its time."""
        for motion, image in zip(motions, pictures, strict=True):
            await self._write_sound_until(motion.captured_ns)
            pts = round(motion.captured_ns * 1e-9 / TIME_BASE)
            await self._sink.send(VideoFrame(image, pts, TIME_BASE, motion.captured_ns))
            self.first_written = min(self.first_written, time.monotonic())
            step_ns, self._last_ns = motion.captured_ns - self._last_ns, motion.captured_ns
            self.end_ns = motion.captured_ns + (step_ns or _SINGLE_PICTURE_NS)

    async def write_remaining_sound(self, *, only_to_last_picture: bool = False) -> None:
        """Write the sound that is left."""
        await self._write_sound_until(self.end_ns if only_to_last_picture else None)

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


def read_sound_frames(
    path: Path, time_range: TimeRange | None = None, *, tell_damage: bool = True
) -> Iterator[AudioFrame]:
    """The sound of a part of ``path`` in its own channels, with times that count from the part's start.

    ``tell_damage``: log at the end how much of it was damaged. Raises: CaptureError.
    """
    given = 0
    blocks = read_channel_blocks(path, SOUND_RATE, tell_damage=tell_damage)
    for samples in clip_blocks(blocks, SOUND_RATE, time_range or TimeRange()):
        yield AudioFrame(samples, SOUND_RATE, given, given * NS // SOUND_RATE)
        given += samples.shape[1]


def choose_batch_size(model: str) -> int:
    """How many pictures ``model`` draws at once: several if its network is small, one if that fills the cores alone."""
    return 1 if model in CHECKPOINTS else BATCH_SIZE


def photo_size(portrait: Portrait) -> tuple[int, int]:
    """The photo's own size, even, and reduced where it is large."""
    height, width = portrait.photo.shape[:2]
    return limit_size(width, height)


def limit_size(width: int, height: int) -> tuple[int, int]:
    """A size of the same shape with even sides, of at most ``MAX_PICTURE_AREA`` pixels."""
    scale = min(1.0, math.sqrt(MAX_PICTURE_AREA / (width * height)), MAX_PICTURE_SIDE / max(width, height))
    return max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)
