"""``livehead pose``: the people in a photo or a video, as OpenPose's JSON and as a picture of them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from livehead.assembly.input_checks import check_output_file
from livehead.assembly.output_checks import check_outputs
from livehead.assembly.pose_export import PoseOutputs, export_photo, export_video_people
from livehead.assembly.pose_models import (
    POSE_MODELS,
    check_people_finder,
    describe_person_limit,
    max_people,
    open_people_finder,
    resolve_model,
)
from livehead.cli_options import print_status
from livehead.errors import ConfigError
from livehead.models.openpose.network_input import DEFAULT_HEIGHT
from livehead.perception.av_files import require_video_stream
from livehead.perception.photo import check_photo, is_photo
from livehead.weights.checkpoint_store import CheckpointStore

_SUFFIXES = (".json", ".png", ".mp4")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--in", dest="source", type=Path, required=True, metavar="FILE", help="a photo or a video")
    out = (
        "where the people are written: FILE.json, FILE.png (of a photo), FILE.mp4 (of a video) or a folder, which gets "
    )
    add("--out", type=Path, nargs="+", required=True, metavar="OUT", help=out + "OpenPose's JSON, a file a frame")
    models = (
        "auto takes the best network that was imported and finds all people, else mediapipe, which finds one person "
    )
    models += f"only; or one of {', '.join(POSE_MODELS)}"
    add("--model", default="auto", metavar="NAME", help=models)
    add("--hands", action="store_true", help="find hands too (needs the imported weights openpose-hand21)")
    scales = "look at each hand at six sizes and keep the best, which takes six times as long"
    add("--hand-scales", action="store_true", help=scales)
    add("--face", action="store_true", help="find faces too (needs the imported weights openpose-face70)")
    height = "height of the network's input in pixels, a multiple of 16; a smaller one is quicker and less exact"
    add("--net-height", type=int, default=DEFAULT_HEIGHT, metavar="N", help=height)
    scales = "at how many sizes the picture is looked at, 1 to 4; more are slower and surer"
    add("--scales", type=int, default=1, metavar="N", help=scales)
    add("--all", dest="all_found", action="store_true", help="also give people that are doubtful")
    ways = "how limbs are put together to people: as OpenPose's GPU builds (score) or its CPU builds (limb) do"
    add("--assembly", choices=("score", "limb"), default="score", help=ways)
    precision = "number format in which the networks compute"
    add("--precision", choices=("auto", "fp32", "bf16", "int8"), default="auto", help=precision)


def main(args: argparse.Namespace) -> int:
    """Find the people and write them. Raises: SourceError, CaptureError, SinkError, WeightsError, ConfigError."""
    photo = is_photo(args.source)
    outputs = _check_outputs(args.out, photo=photo, source=args.source)
    _check_source(args.source, photo=photo)
    check_people_finder(args.model, hands=args.hands, face=args.face, scales=args.scales, net_height=args.net_height)
    from livehead.perception.people import PoseOptions

    store = CheckpointStore()
    model = resolve_model(args.model, store)
    outputs = replace(outputs, finder={"model": model, "max_people": max_people(model)})
    with ExitStack() as stack:
        finder = open_people_finder(
            stack,
            args.model,
            PoseOptions(args.net_height, args.scales, is_video=not photo),
            hands=args.hands,
            hand_scales=args.hand_scales,
            face=args.face,
            precision=args.precision,
            grouping=args.assembly,
            all_found=args.all_found,
        )
        found = (export_photo if photo else export_video_people)(args.source, finder, outputs)
    print_status(f"{found} by {model}, {finder.skeleton.name}: {', '.join(map(str, args.out))}")
    limit = describe_person_limit(model, store)
    if limit:
        print_status(limit)
    return 0


def _check_source(path: Path, *, photo: bool) -> None:
    """Check the input. Raises: SourceError, CaptureError for a file that cannot be opened."""
    if photo:
        check_photo(path)
    else:
        require_video_stream(path)


def _check_outputs(paths: Sequence[Path], *, photo: bool, source: Path) -> PoseOutputs:
    """The outputs by their kinds.

    Raises: ConfigError for a name that tells no kind, or that the input cannot become; SinkError.
    """
    kinds: dict[str, list[Path]] = {suffix: [] for suffix in (*_SUFFIXES, "")}
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
    for path in (*kinds[".png"], *kinds[".mp4"], *kinds[".json"]):
        check_output_file(path, inputs=(source,))
    check_outputs(paths, (source,))
    return PoseOutputs(kinds[".json"], kinds[".png"], next(iter(kinds[".mp4"]), None), next(iter(kinds[""]), None))
