"""The people in a photo or a video, written as OpenPose's JSON and as a picture or a video of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image as Pillow
from tqdm import tqdm

from livehead.capture.file import FileCapture
from livehead.concurrency import Worker
from livehead.errors import ConfigError
from livehead.frames import VideoFrame
from livehead.interfaces import EndOfStream
from livehead.motion.body import PersonKeypoints
from livehead.perception.av_files import count_noun
from livehead.perception.photo import read_photo, read_upright_size
from livehead.perception.pose_overlay import draw_people
from livehead.protocol.openpose_json import to_openpose_document, to_video_document
from livehead.sinks.file import FileSink
from livehead.storage import replace_file, write_atomically

if TYPE_CHECKING:
    from livehead.perception.people import PeopleFinder


@dataclass(frozen=True, slots=True)
class PoseOutputs:
    """Says where people are written to.

    ``json_files`` hold all frames, ``folder`` gets a JSON file a frame; ``pictures`` are made of a photo, ``video`` of
    a video.
    """

    json_files: list[Path]
    pictures: list[Path]
    video: Path | None
    folder: Path | None
    finder: Mapping[str, object] = field(default_factory=dict)
    """What a JSON file tells of that which found the people: the model, and how many people it finds at most."""


def export_photo(path: Path, finder: PeopleFinder, outputs: PoseOutputs) -> str:
    """Find the people in one photo; points are in its own pixels, upright, however large it is.

    Gives what was found, in words. Raises: SourceError, ConfigError when a file cannot be written.
    """
    image = read_photo(path)
    people = finder.find(image)
    width, height = read_upright_size(path)
    scale = (width / image.shape[1], height / image.shape[0])
    document = to_openpose_document([person.rescale(scale) for person in people], outputs.finder)
    names = [*outputs.json_files, *([outputs.folder / f"{path.stem}_keypoints.json"] if outputs.folder else [])]
    for name in names:
        _write_json(name, document)
    for name in outputs.pictures:
        try:
            with replace_file(name, suffix=".png") as partial:
                Pillow.fromarray(draw_people(image, people)).save(partial, format="PNG")
        except OSError as error:
            raise _write_error(name, error) from error
    return {0: "nobody found", 1: "one person found"}.get(len(people), f"{len(people)} people found")


def export_video_people(path: Path, finder: PeopleFinder, outputs: PoseOutputs) -> str:
    """Find the people in every picture of a video. Gives what was found, in words.

    Raises: CaptureError, SinkError, ConfigError when a file cannot be written.
    """
    frames = asyncio.run(_process_video(path, finder, outputs))
    for name in outputs.json_files:
        _write_json(name, to_video_document(frames, outputs.finder))
    most = max((len(people) for _, people in frames), default=0)
    with_people = sum(bool(people) for _, people in frames)
    return f"{count_noun(len(frames), 'frame')}, {with_people} with people, at most {most} at once,"


async def _process_video(
    path: Path, finder: PeopleFinder, outputs: PoseOutputs
) -> list[tuple[float, Sequence[PersonKeypoints]]]:
    """The time and the people of every picture; one is encoded while the next is looked at."""
    frames: list[tuple[float, Sequence[PersonKeypoints]]] = []
    sink = FileSink(outputs.video, whole=True) if outputs.video else None
    encoding: Awaitable[None] | None = None
    async with Worker("pose") as worker, FileCapture(path, live=False) as capture, sink or nullcontext():
        with tqdm(desc="looking", unit="frame", disable=None) as bar:
            while (frame := await _next_frame(capture)) is not None:
                people = await worker.run(finder.find, frame.image)
                if outputs.folder:
                    name = outputs.folder / f"{path.stem}_{len(frames):012d}_keypoints.json"
                    await worker.run(_write_json, name, to_openpose_document(people, outputs.finder))
                if sink is not None:
                    if encoding is not None:
                        await encoding
                    drawn = frame.with_image(draw_people(frame.image, people))
                    encoding = asyncio.create_task(sink.send(drawn))
                frames.append((frame.seconds, people))
                bar.update()
        if encoding is not None:
            await encoding
    return frames


async def _next_frame(capture: FileCapture) -> VideoFrame | None:
    try:
        return await capture.recv()
    except EndOfStream:
        return None


def _write_json(path: Path, document: object) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(document) + "\n")
    except OSError as error:
        raise _write_error(path, error) from error


def _write_error(path: Path, error: OSError) -> ConfigError:
    return ConfigError(f"cannot write {path} ({error.strerror})", "name a folder that exists and may be written to")
