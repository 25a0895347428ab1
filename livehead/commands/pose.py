"""``livehead pose``: the people in a photo or a film, as OpenPose's JSON and as a picture of them."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Awaitable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path

from PIL import Image as Pillow
from tqdm import tqdm

from livehead.assembly.pose_models import POSE_MODELS, open_people_finder, resolve_model
from livehead.capture.file import FileCapture
from livehead.cli_options import print_status
from livehead.concurrency import Worker
from livehead.errors import ConfigError
from livehead.frames import Image, VideoFrame
from livehead.interfaces import EndOfStream
from livehead.models.openpose.network_input import DEFAULT_HEIGHT
from livehead.motion.body import PersonKeypoints
from livehead.perception.people import PeopleFinder, PoseOptions
from livehead.perception.photo import is_photo, read_photo, read_upright_size
from livehead.perception.pose_overlay import draw_people
from livehead.protocol.openpose_json import to_openpose_document, to_video_document
from livehead.sinks.file import FileSink
from livehead.storage import write_atomically
from livehead.weights.checkpoint_store import CheckpointStore

_PICTURE_SUFFIXES, _VIDEO_SUFFIXES, _TEXT_SUFFIXES = (".png",), (".mp4",), (".json",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--in", dest="source", type=Path, required=True, metavar="FILE", help="a photo or a video")
    outs = "FILE.json, FILE.png (of a photo), FILE.mp4 (of a video), or a folder for OpenPose's JSON, a file a frame"
    add("--out", type=Path, nargs="+", required=True, metavar="OUT", help=f"{outs}; or several of them")
    add("--model", default="auto", metavar="NAME", help=f"auto (the best there is) or one of: {', '.join(POSE_MODELS)}")
    add("--hands", action="store_true", help="hands too (imported weights openpose-hand21)")
    add(
        "--hand-scales", action="store_true", help="look at each hand at six sizes and keep the best; six times as slow"
    )
    add("--face", action="store_true", help="faces too (imported weights openpose-face70)")
    add("--net-height", type=int, default=DEFAULT_HEIGHT, metavar="N", help="of the network's input; less is quicker")
    add("--scales", type=int, default=1, metavar="N", help="sizes to look at, 1 to 4; more is slower and surer")
    add("--all", dest="all_found", action="store_true", help="doubtful people too")
    ways = "how people are put together: as OpenPose's GPU builds (score) or its CPU builds (limb)"
    add("--assembly", choices=("score", "limb"), default="score", help=ways)
    add("--precision", choices=("auto", "fp32", "bf16", "int8"), default="auto", help="of the networks")


def main(args: argparse.Namespace) -> int:
    """Raises: SourceError, CaptureError, SinkError, WeightsError, ConfigError."""
    photo = is_photo(args.source)
    outs = _OutputPaths.from_paths(args.out, photo=photo)
    look = PoseOptions(args.net_height, args.scales, is_video=not photo)
    with ExitStack() as stack:
        finder = open_people_finder(
            stack,
            args.model,
            look,
            hands=args.hands,
            hand_scales=args.hand_scales,
            face=args.face,
            precision=args.precision,
            grouping=args.assembly,
            all_found=args.all_found,
        )
        found = (
            _process_photo(args.source, finder, outs)
            if photo
            else asyncio.run(_process_video(args.source, finder, outs))
        )
    print_status(
        f"{found} by {resolve_model(args.model, CheckpointStore())}, {finder.skeleton.name}: {', '.join(map(str, args.out))}"
    )
    return 0


@dataclass(frozen=True, slots=True)
class _OutputPaths:
    """Where to: ``text`` files, ``picture`` files of a photo, ``film`` of a video, ``folder`` of a text a frame."""

    json_files: list[Path]
    pictures: list[Path]
    video: Path | None
    folder: Path | None

    @classmethod
    def from_paths(cls, paths: Sequence[Path], *, photo: bool) -> _OutputPaths:
        """Raises: ConfigError for a name that tells nothing, or what cannot be made of the input."""
        kinds: dict[str, list[Path]] = {
            suffix: [] for suffix in (*_TEXT_SUFFIXES, *_PICTURE_SUFFIXES, *_VIDEO_SUFFIXES, "")
        }
        for path in paths:
            suffix = "" if path.is_dir() else path.suffix.lower()
            if suffix not in kinds:
                raise ConfigError(f"cannot write people to {path}", "give a name that ends in .json, .png or .mp4")
            kinds[suffix].append(path)
        wrong, instead = (".mp4", ".png") if photo else (".png", ".mp4")
        if kinds[wrong]:
            what = "a photo" if photo else "a video"
            raise ConfigError(f"{kinds[wrong][0]} cannot be made of {what}", f"give a name that ends in {instead}")
        if len(kinds[".mp4"]) > 1 or len(kinds[""]) > 1:
            raise ConfigError("one .mp4 and one folder are enough", "name each only once")
        folder, film = next(iter(kinds[""]), None), next(iter(kinds[".mp4"]), None)
        return cls(kinds[".json"], kinds[".png"], film, folder)


def _process_photo(path: Path, finder: PeopleFinder, outputs: _OutputPaths) -> str:
    """One photo; points are told in its own pixels, upright, however large it is."""
    image = read_photo(path)
    people = finder.find(image)
    width, height = read_upright_size(path)
    scale = (width / image.shape[1], height / image.shape[0])
    document = to_openpose_document([person.rescale(scale) for person in people])
    names = [*outputs.json_files, *([outputs.folder / f"{path.stem}_keypoints.json"] if outputs.folder else [])]
    for name in names:
        _write_text(name, json.dumps(document))
    for name in outputs.pictures:
        _save_png(draw_people(image, people), name)
    return _describe_count(len(people))


async def _process_video(path: Path, finder: PeopleFinder, outputs: _OutputPaths) -> str:
    """Every picture; one is encoded while the next is looked at."""
    frames: list[tuple[float, Sequence[PersonKeypoints]]] = []
    sink = FileSink(outputs.video) if outputs.video else None
    encoding: Awaitable[None] | None = None
    async with Worker("pose") as worker, FileCapture(path, live=False) as capture, sink or nullcontext():
        with tqdm(desc="looking", unit="frame", disable=None) as bar:
            while (frame := await _next_frame(capture)) is not None:
                people = await worker.run(finder.find, frame.image)
                if outputs.folder:
                    name = outputs.folder / f"{path.stem}_{len(frames):012d}_keypoints.json"
                    await worker.run(_write_text, name, json.dumps(to_openpose_document(people)))
                if sink is not None:
                    if encoding is not None:
                        await encoding
                    drawn = frame.with_image(draw_people(frame.image, people))
                    encoding = asyncio.create_task(sink.send(drawn))
                frames.append((frame.seconds, people))
                bar.update()
        if encoding is not None:
            await encoding
    for name in outputs.json_files:
        _write_text(name, json.dumps(to_video_document(frames)))
    most = max((len(people) for _, people in frames), default=0)
    return f"{len(frames)} frames, {sum(bool(people) for _, people in frames)} with people, at most {most} at once,"


async def _next_frame(capture: FileCapture) -> VideoFrame | None:
    try:
        return await capture.recv()
    except EndOfStream:
        return None


def _describe_count(people: int) -> str:
    return {0: "nobody found", 1: "one person found"}.get(people, f"{people} people found")


def _write_text(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text + "\n")
    except OSError as error:
        raise _write_error(path, error) from error


def _save_png(image: Image, path: Path) -> None:
    try:
        Pillow.fromarray(image).save(path, format="PNG")
    except OSError as error:
        raise _write_error(path, error) from error


def _write_error(path: Path, error: OSError) -> ConfigError:
    return ConfigError(f"cannot write {path} ({error.strerror})", "name a folder that exists and may be written to")
