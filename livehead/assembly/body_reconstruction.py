"""From a photo of a person to a coloured mesh by PIFuHD, and pictures of the mesh from all sides."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, cast

import cv2
import numpy as np
from tqdm import tqdm

from livehead.config import FaceChoice
from livehead.errors import ConfigError, ProtocolError
from livehead.figure import turntable
from livehead.figure.mesh import TriangleMesh
from livehead.figure.vertex_colours import normals_to_colours, sample_photo_colours
from livehead.frames import Image, VideoFrame
from livehead.motion.body import BODY25, BODY25_POINTS, PersonKeypoints
from livehead.perception.person_photo import BodyFinder, PersonPhoto, prepare_person_photo
from livehead.perception.photo import read_cutout
from livehead.protocol.openpose_json import parse_people
from livehead.sinks.file import FileSink
from livehead.stats import StatsCollector
from livehead.storage import write_atomically
from livehead.threads import set_network_threads
from livehead.weights.checkpoint_store import CheckpointStore

if TYPE_CHECKING:
    from livehead.models.pifuhd.network import PifuHdNetwork
    from livehead.models.pifuhd.reconstructor import BodyReconstructor

PIFUHD_CHECKPOINT = "pifuhd"
_BODY_NETWORK = "openpose-body25"


@dataclass(frozen=True, slots=True)
class TurntableOptions:
    """A video once around the mesh: ``views`` square pictures of ``side`` pixels, ``fps`` a second; and a sheet.

    ``sheet_view_side``: pixels along each side of a view on the sheet.
    """

    views: int = 60
    fps: int = 15
    side: int = 512
    sheet_view_side: int = 320


@dataclass(frozen=True, slots=True)
class ReconstructionRequest:
    """A photo of one person that becomes the mesh file ``out``.

    ``resolution``: cells of the grid along each axis. ``crop``: how much of the person, a name of ``CROP_RULES``.
    ``person_choice``: which of several people. ``colour``: of the ``photo`` or of the surface ``normals``. ``people``:
    the points of the person (BODY_25), if they are known from elsewhere. ``turntable``: None for no pictures of the
    mesh. ``notify`` gets a line now and then.
    """

    image: Path
    out: Path
    resolution: int = 512
    crop: str = "full"
    keep_background: bool = False
    person_choice: FaceChoice = "largest"
    colour: str = "photo"
    people: list[PersonKeypoints] | None = None
    precision: str = "auto"
    turntable: TurntableOptions | None = TurntableOptions()
    notify: Callable[[str], None] = lambda line: None


def reconstruct_person(request: ReconstructionRequest, stats: StatsCollector) -> tuple[TriangleMesh, int]:
    """Make the mesh and write all files; gives the mesh and how many points of space the network was asked for.

    ``stats`` gets the time of each stage. Raises: SourceError, WeightsError, ConfigError, SinkError.
    """
    store = CheckpointStore()
    with _record_stage(stats, "photo"), ExitStack() as stack:
        person = prepare_person_photo(
            read_cutout(request.image),
            _open_body_finder(request.people, store, stack),
            request.crop,
            keep_background=request.keep_background,
            person_choice=request.person_choice,
        )
    for hint in person.hints:
        request.notify(hint)
    with _record_stage(stats, "weights"):
        reconstructor = load_reconstructor(store, request.precision)
    request.notify(f"looking at the photo ({reconstructor.setting.description})")
    mesh, evaluated = _make_mesh(person, reconstructor, request.resolution, request.colour, stats)
    mesh.save(request.out)
    request.notify(f"{request.out}: {len(mesh.vertices)} vertices, {len(mesh.faces)} faces")
    if request.turntable is not None:
        with _record_stage(stats, "turntable"):
            asyncio.run(_write_turntable(mesh, request.out.with_suffix(".mp4"), request.turntable))
            _write_sheet(mesh, request.out.with_suffix(".png"), request.turntable.sheet_view_side)
    return mesh, evaluated


def load_reconstructor(store: CheckpointStore, precision: str) -> BodyReconstructor:
    """The imported networks, ready to run. Raises: WeightsError, ConfigError."""

    from livehead.models.engine import Precision, choose_execution_config
    from livehead.models.pifuhd.reconstructor import BodyReconstructor

    set_network_threads()
    setting = choose_execution_config(cast("Precision", precision), has_ranges=False)
    return BodyReconstructor(cast("PifuHdNetwork", store.load(PIFUHD_CHECKPOINT, ["person"])["person"]), setting)


def _make_mesh(
    person: PersonPhoto, reconstructor: BodyReconstructor, resolution: int, colour: str, stats: StatsCollector
) -> tuple[TriangleMesh, int]:
    """A closed mesh with colours of the ``photo`` or the ``normals``, and how many points of space were evaluated.

    Raises: SourceError where no body comes out.
    """
    from livehead.models.pifuhd.reconstructor import extract_body_mesh

    with _record_stage(stats, "look"):
        code = reconstructor.encode(person.image)
    with (
        _record_stage(stats, "body"),
        tqdm(desc="reconstructing the body", unit="point", unit_scale=True, disable=None) as bar,
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


def read_people(path: Path) -> list[PersonKeypoints]:
    """The people in a JSON file of OpenPose's, as BODY_25. Raises: ConfigError."""
    try:
        people = parse_people(path.read_text(encoding="utf-8"), BODY25)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path} ({error})", "check the path", subject=str(path)) from error
    except ProtocolError as error:
        raise ConfigError(f"{path}: {error.problem}", error.remedy, subject=str(path)) from error
    if any(person.pose.shape != (BODY25_POINTS, 3) for person in people):
        raise ConfigError(f"{path} is not of BODY_25", "let OpenPose write that model's points", subject=str(path))
    return people


def _open_body_finder(people: list[PersonKeypoints] | None, store: CheckpointStore, stack: ExitStack) -> BodyFinder:
    """A finder of all people by OpenPose's network, if it was imported, else of one by MediaPipe; or of ``people``."""
    from livehead.assembly.pose_models import MEDIAPIPE, open_people_finder
    from livehead.perception.people import PoseOptions

    if people is not None:
        return _FixedPeopleFinder(people)
    network = _BODY_NETWORK if _BODY_NETWORK in store.list_names() else MEDIAPIPE
    return open_people_finder(stack, network, PoseOptions())


@dataclass(frozen=True, slots=True)
class _FixedPeopleFinder:
    """A finder that knows the people from elsewhere."""

    people: list[PersonKeypoints]

    def find(self, image: Image) -> list[PersonKeypoints]:
        """The known people, whatever the picture."""
        return self.people


async def _write_turntable(mesh: TriangleMesh, path: Path, options: TurntableOptions) -> None:
    async with FileSink(path, fps=options.fps, whole=True) as sink:
        views = turntable.render_turntable(mesh, options.views, options.side)
        for number, view in enumerate(tqdm(views, desc="turning", total=options.views, unit="view", disable=None)):
            await sink.send(VideoFrame(view, number, Fraction(1, options.fps), number * 10**9 // options.fps))


def _write_sheet(mesh: TriangleMesh, path: Path, view_side: int) -> None:
    picture = turntable.render_view_sheet(mesh, view_side)
    try:
        write_atomically(path, cv2.imencode(".png", np.ascontiguousarray(picture[:, :, ::-1]))[1].tobytes())
    except OSError as error:
        raise ConfigError(f"cannot write {path} ({error.strerror})", "free some space", subject=str(path)) from error


@contextmanager
def _record_stage(stats: StatsCollector, stage: str) -> Iterator[None]:
    started = perf_counter()
    yield
    stats.record_timing(stage, (perf_counter() - started) * 1e3)
