"""``livehead reconstruct``: a photo of a person to a mesh, by PIFuHD."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, cast

import cv2
import numpy as np
from tqdm import tqdm

from livehead.cli_options import print_status
from livehead.errors import ConfigError, ProtocolError
from livehead.figure import turntable
from livehead.figure.mesh import TriangleMesh, check_mesh_path
from livehead.figure.vertex_colours import normals_to_colours, sample_photo_colours
from livehead.frames import Image, VideoFrame
from livehead.perception.person_photo import CROP_RULES, BodyFinder, PersonPhoto, prepare_person_photo
from livehead.perception.photo import read_cutout
from livehead.sinks.file import FileSink
from livehead.stats import StatsCollector, cpu_info, peak_memory_mb
from livehead.storage import write_atomically
from livehead.weights.checkpoint_store import CheckpointStore

if TYPE_CHECKING:
    from livehead.models.pifuhd.network import PifuHdNetwork
    from livehead.models.pifuhd.reconstructor import BodyReconstructor
    from livehead.motion.body import PersonKeypoints

_CHECKPOINT, _BODY_NETWORK = "pifuhd", "openpose-body25"
_TURNTABLE_VIEWS, _TURNTABLE_FPS, _TURNTABLE_SIDE = 60, 15, 512  # of the turntable: once around in four seconds
_SHEET_VIEW_SIDE = 320  # pixels a view


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--image", type=Path, required=True, metavar="PHOTO", help="one person from head to feet, with consent")
    add("--out", type=Path, required=True, metavar="PERSON.glb", help="the mesh: .glb, .obj or .ply")
    add("--resolution", type=int, choices=(256, 512), default=512, help="cells of the grid along each axis")
    add("--crop", choices=tuple(CROP_RULES), default="full", help="how much of the person")
    add("--background", choices=("remove", "keep"), default="remove", help="what stands around the person")
    add("--colour", choices=("photo", "normals"), default="photo", help="of the mesh")
    add("--keypoints", type=Path, metavar="JSON", help="the person's points, as OpenPose writes them (BODY_25)")
    add("--precision", choices=("auto", "fp32", "bf16", "fp16"), default="auto", help="of the networks for the picture")
    add("--no-turntable", dest="turntable", action="store_false", help="write no PERSON.mp4 and PERSON.png")
    add("--json", type=Path, metavar="FILE", help="write figures of the run")


def main(args: argparse.Namespace) -> int:
    """Raises: SourceError, WeightsError with how to get them, ConfigError."""
    check_mesh_path(args.out)
    library = CheckpointStore()
    library.read_record(_CHECKPOINT)  # before anything is spent on the photo
    report = _RunReport(args) if args.json else None
    stats = StatsCollector()
    with _record_stage(stats, "photo"), ExitStack() as stack:
        person = prepare_person_photo(
            read_cutout(args.image),
            _open_body_finder(args.keypoints, library, stack),
            args.crop,
            keep_background=args.background == "keep",
        )
    for hint in person.hints:
        print_status(hint)
    with _record_stage(stats, "weights"):
        reconstructor = load_reconstructor(library, args.precision)
    mesh, evaluated = reconstruct(person, reconstructor, args.resolution, args.colour, stats)
    mesh.save(args.out)
    print_status(f"{args.out}: {len(mesh.vertices)} vertices, {len(mesh.faces)} faces")
    if args.turntable:
        with _record_stage(stats, "turntable"):
            asyncio.run(_write_turntable(mesh, args.out.with_suffix(".mp4")))
            _write_sheet(mesh, args.out.with_suffix(".png"))
    if report is not None:
        report.write(stats, mesh, evaluated)
    return 0


def load_reconstructor(library: CheckpointStore, precision: str) -> BodyReconstructor:
    """The imported networks, ready to run. Raises: WeightsError, ConfigError."""
    import torch

    from livehead.models.engine import Precision, choose_execution_config
    from livehead.models.pifuhd.reconstructor import BodyReconstructor

    torch.set_num_threads(cpu_info()[1])
    setting = choose_execution_config(cast("Precision", precision), has_ranges=False)
    return BodyReconstructor(cast("PifuHdNetwork", library.load(_CHECKPOINT, ["person"])["person"]), setting)


def reconstruct(
    person: PersonPhoto, reconstructor: BodyReconstructor, resolution: int, colour: str, stats: StatsCollector
) -> tuple[TriangleMesh, int]:
    """A closed mesh with colours of the ``photo`` or the ``normals``, and how many points were asked for.

    Raises: SourceError where no body comes out.
    """
    from livehead.models.pifuhd.reconstructor import extract_body_mesh

    with _record_stage(stats, "look"):
        print_status(f"looking at the photo ({reconstructor.setting.description})")
        code = reconstructor.encode(person.image)
    with (
        _record_stage(stats, "body"),
        tqdm(desc="feeling for the body", unit="point", unit_scale=True, disable=None) as bar,
    ):

        def update_progress(done: int, expected: int) -> None:
            bar.total = expected
            bar.update(done - bar.n)

        mesh, evaluated = extract_body_mesh(reconstructor.occupancy_field(code), resolution, update_progress)
    with _record_stage(stats, "colours"):
        if colour == "photo":
            colours = sample_photo_colours(mesh.vertices, person.image, person.mask)
        else:
            colours = normals_to_colours(reconstructor.surface_normals(code, mesh.vertices))
    return TriangleMesh(mesh.vertices, mesh.faces, colours), evaluated


def _open_body_finder(keypoints: Path | None, library: CheckpointStore, stack: ExitStack) -> BodyFinder:
    """Of all people by OpenPose's network, if it was imported; of one by MediaPipe; or what a file tells."""
    from livehead.assembly.pose_models import MEDIAPIPE, open_people_finder
    from livehead.perception.people import PoseOptions

    if keypoints is not None:
        return _FixedPeopleFinder(_read_people(keypoints))
    return open_people_finder(
        stack, _BODY_NETWORK if _BODY_NETWORK in library.list_names() else MEDIAPIPE, PoseOptions()
    )


@dataclass(frozen=True, slots=True)
class _FixedPeopleFinder:
    """A finder that knows the people from elsewhere."""

    people: list[PersonKeypoints]

    def find(self, image: Image) -> list[PersonKeypoints]:
        """Those, whatever the picture."""
        return self.people


def _read_people(path: Path) -> list[PersonKeypoints]:
    """Of a JSON file of OpenPose's. Raises: ConfigError."""
    from livehead.motion.body import BODY25, BODY25_POINTS
    from livehead.protocol.openpose_json import parse_people

    try:
        people = parse_people(path.read_text(encoding="utf-8"), BODY25)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path} ({error})", "check the path", subject=str(path)) from error
    except ProtocolError as error:
        raise ConfigError(f"{path}: {error.problem}", error.remedy, subject=str(path)) from error
    if any(person.pose.shape != (BODY25_POINTS, 3) for person in people):
        raise ConfigError(f"{path} is not of BODY_25", "let OpenPose write that model's points", subject=str(path))
    return people


async def _write_turntable(mesh: TriangleMesh, path: Path) -> None:
    """Once around."""
    async with FileSink(path, fps=_TURNTABLE_FPS) as sink:
        views = turntable.render_turntable(mesh, _TURNTABLE_VIEWS, _TURNTABLE_SIDE)
        for number, view in enumerate(tqdm(views, desc="turning", total=_TURNTABLE_VIEWS, unit="view", disable=None)):
            await sink.send(VideoFrame(view, number, Fraction(1, _TURNTABLE_FPS), number * 10**9 // _TURNTABLE_FPS))


def _write_sheet(mesh: TriangleMesh, path: Path) -> None:
    picture = turntable.render_view_sheet(mesh, _SHEET_VIEW_SIDE)
    try:
        write_atomically(path, cv2.imencode(".png", np.ascontiguousarray(picture[:, :, ::-1]))[1].tobytes())
    except OSError as error:
        raise ConfigError(f"cannot write {path} ({error.strerror})", "free some space", subject=str(path)) from error


class _RunReport:
    """What ``--json`` tells of a run: opened before it, written after it."""

    def __init__(self, args: argparse.Namespace) -> None:
        from livehead.models.engine import choose_execution_config
        from livehead.reporting.report import JsonReport

        settings = {"image": str(args.image), "resolution": args.resolution, "crop": args.crop, "colour": args.colour}
        self._path: Path = args.json
        self._report = JsonReport(
            "reconstruct", settings, choose_execution_config(args.precision, has_ranges=False).precision
        )

    def write(self, stats: StatsCollector, mesh: TriangleMesh, evaluated: int) -> None:
        """Stages in ms, points asked for, the mesh's size, and memory. Raises: ConfigError."""
        from livehead.reporting.report import Json, write_json

        stages: dict[str, Json] = dict(stats.summarize_stages())
        results: dict[str, Json] = {
            "stages": stages,
            "points": evaluated,
            "vertices": len(mesh.vertices),
            "faces": len(mesh.faces),
            "volume": mesh.volume(),
            "peak_mb": peak_memory_mb(),
        }
        write_json(self._report.finish(results), self._path)


@contextmanager
def _record_stage(stats: StatsCollector, stage: str) -> Iterator[None]:
    started = perf_counter()
    yield
    stats.record_timing(stage, (perf_counter() - started) * 1e3)
