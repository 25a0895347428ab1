"""``livehead reconstruct``: a photo of a person becomes a mesh, by PIFuHD."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from livehead.cli_options import print_status
from livehead.config import parse_face_choice
from livehead.perception.person_photo import CROP_RULES

if TYPE_CHECKING:
    from livehead.assembly.body_reconstruction import ReconstructionRequest
    from livehead.figure.mesh import TriangleMesh
    from livehead.reporting.report import Json, JsonReport
    from livehead.stats import StatsCollector


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    image = "photo of one person from head to feet, with the person's consent"
    add("--image", type=Path, required=True, metavar="PHOTO", help=image)
    add("--out", type=Path, required=True, metavar="PERSON.glb", help="where the mesh is written: .glb, .obj or .ply")
    add("--resolution", type=int, choices=(256, 512), default=512, help="cells of the grid along each axis")
    add("--crop", choices=tuple(CROP_RULES), default="full", help="how much of the person is reconstructed")
    background = "whether what stands around the person is removed first"
    add("--background", choices=("remove", "keep"), default="remove", help=background)
    add("--colour", choices=("photo", "normals"), default="photo", help="where the colours of the mesh come from")
    person = "which of several people is taken: largest, left, right or a number from the left"
    add("--person", default="largest", metavar="WHICH", help=person)
    keypoints = "the person's body points, as OpenPose writes them (BODY_25); without it they are found here"
    add("--keypoints", type=Path, metavar="JSON", help=keypoints)
    precision = "number format in which the networks that look at the photo compute"
    add("--precision", choices=("auto", "fp32", "bf16", "fp16"), default="auto", help=precision)
    add("--no-turntable", dest="turntable", action="store_false", help="write no PERSON.mp4 and PERSON.png beside it")
    add("--json", type=Path, metavar="FILE", help="write the figures of the run as JSON")


def main(args: argparse.Namespace) -> int:
    """Reconstruct the person. Raises: SourceError, WeightsError that says how to get them, ConfigError, SinkError."""
    request = _check_request(args)
    from livehead.assembly.body_reconstruction import reconstruct_person
    from livehead.stats import StatsCollector

    report = _open_report(args) if args.json else None
    stats = StatsCollector()
    mesh, evaluated = reconstruct_person(request, stats)
    if report is not None:
        _write_report(report, args.json, stats, mesh, evaluated)
    return 0


def _check_request(args: argparse.Namespace) -> ReconstructionRequest:
    """Look at the files and the weights before anything is spent on the photo."""
    from livehead.assembly.body_reconstruction import (
        PIFUHD_CHECKPOINT,
        ReconstructionRequest,
        TurntableOptions,
        read_people,
    )
    from livehead.assembly.input_checks import check_output_file
    from livehead.assembly.output_checks import check_outputs
    from livehead.figure.mesh import check_mesh_path
    from livehead.perception.photo import check_photo
    from livehead.weights.checkpoint_store import CheckpointStore

    check_mesh_path(args.out)
    inputs = (args.image, args.keypoints)
    beside = [args.out.with_suffix(suffix) for suffix in (".mp4", ".png")] if args.turntable else []
    outputs = (args.out, *beside, *([args.json] if args.json else []))
    for path in outputs:
        check_output_file(path)
    check_outputs(outputs, inputs)
    check_photo(args.image)
    people = read_people(args.keypoints) if args.keypoints else None
    CheckpointStore().read_record(PIFUHD_CHECKPOINT)
    return ReconstructionRequest(
        args.image,
        args.out,
        resolution=args.resolution,
        crop=args.crop,
        keep_background=args.background == "keep",
        person_choice=parse_face_choice(args.person, "--person"),
        colour=args.colour,
        people=people,
        precision=args.precision,
        turntable=TurntableOptions() if args.turntable else None,
        notify=print_status,
    )


def _open_report(args: argparse.Namespace) -> JsonReport:
    from livehead.models.engine import choose_execution_config
    from livehead.reporting.report import JsonReport

    settings = {"image": str(args.image), "resolution": args.resolution, "crop": args.crop, "colour": args.colour}
    precision = choose_execution_config(args.precision, has_ranges=False).precision
    return JsonReport("reconstruct", settings, precision)


def _write_report(report: JsonReport, path: Path, stats: StatsCollector, mesh: TriangleMesh, evaluated: int) -> None:
    """Write the stages in ms, the points evaluated, the mesh's size, and memory. Raises: ConfigError."""
    from livehead.reporting.report import write_json
    from livehead.stats import peak_memory_mb

    stages: dict[str, Json] = dict(stats.summarize_stages())
    results: dict[str, Json] = {
        "stages": stages,
        "points": evaluated,
        "vertices": len(mesh.vertices),
        "faces": len(mesh.faces),
        "volume": mesh.volume(),
        "peak_mb": peak_memory_mb(),
    }
    write_json(report.finish(results), path)
