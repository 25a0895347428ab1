"""CoNR's renderer, made from the imported checkpoint; and which avatars and models are whole figures, not faces."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from livehead.errors import ConfigError, SourceError
from livehead.interfaces import Renderer
from livehead.perception.character_sheet import is_character_sheet
from livehead.threads import set_network_threads
from livehead.weights.catalog import find_checkpoint_spec
from livehead.weights.checkpoint_store import CheckpointStore

if TYPE_CHECKING:
    from livehead.models.conr.network import ConrNetwork
    from livehead.models.engine import Precision
    from livehead.models.quantize import ActivationRanges
    from livehead.renderers.conr import ConrRenderer

CONR_MODEL = CONR_CHECKPOINT = "conr"

_ANIMATE_REMEDY = "draw it with: livehead animate --avatar SHEET --driving POSES --out OUT.mp4"
_CALIBRATION_TURNS = ((0.0,), (0.0, 2.6))
_MIN_PSNR_DB = 40.0  # from there on nobody sees a difference, in a video neither
_NETWORK_NAMES = ("udpparsernet", "target_pose_encoder", "shader", "rgbadecodernet")


def is_figure_avatar(avatar: Path, model: str) -> bool:
    """Tell whether CoNR draws ``avatar``: because ``model`` says so, or by itself (``auto``) as a sheet.

    Raises: ConfigError for a sheet and a model of faces.
    """
    if model == CONR_MODEL:
        return True
    if not is_character_sheet(avatar):
        return False
    if model != "auto":
        raise ConfigError(
            f"{avatar} is a character sheet, which {model} cannot draw", f"use --model {CONR_MODEL} or auto"
        )
    return True


def require_face_model(model: str) -> None:
    """Refuse, where faces are moved, a model that draws whole figures in poses. Raises: ConfigError."""
    if model == CONR_MODEL:
        raise ConfigError(f"{CONR_MODEL} draws characters in poses, not faces", _ANIMATE_REMEDY, subject=model)


def require_photo(avatar: Path) -> None:
    """Refuse, where faces are moved, a character sheet. Raises: SourceError."""
    if is_character_sheet(avatar):
        raise SourceError(f"{avatar} is a character sheet, not a photo", _ANIMATE_REMEDY, subject=str(avatar))


def weights_version() -> str:
    """The sha256 of the imported checkpoint, which tells its avatars from those of another. Raises: WeightsError."""
    _require_imported(CheckpointStore())
    return CheckpointStore().read_record(CONR_CHECKPOINT).sha256


def conr_renderer(size: int, *, alpha: bool, precision: str, threads: int | None) -> Renderer[Any, Any, Any]:
    """The renderer ``conr``, always with alpha, as there is no background.

    Raises: WeightsError that says how to get the checkpoint, ConfigError.
    """

    from livehead.models.engine import choose_execution_config
    from livehead.renderers.conr import ConrRenderer

    network, ranges = load_conr(), load_ranges()
    setting = choose_execution_config(cast("Precision", precision), has_ranges=bool(ranges), threads=threads)
    if setting.int8 and not ranges:
        raise ConfigError(
            "when these weights were imported, int8 was not measured or too far from what they draw",
            "use --precision bf16, or import them again",
            subject=precision,
        )
    set_network_threads(threads)
    return ConrRenderer(network, setting, ranges=ranges)


def load_ranges() -> ActivationRanges:
    """The ranges that int8 needs for the imported networks; empty where int8 is not to be used with them.

    Raises: WeightsError.
    """
    store = CheckpointStore()
    _require_imported(store)
    return store.load_ranges(CONR_MODEL, (CONR_CHECKPOINT,)).get(CONR_MODEL, {})


def measure_ranges(fp32_renderer: ConrRenderer) -> ActivationRanges:
    """The ranges that int8 needs for the networks of an fp32 renderer, measured on one and two views of a mannequin."""
    from livehead.assembly.conr_sample import sample_poses, sample_sheet
    from livehead.models.quantize import observe_ranges
    from livehead.perception.figure_framing import CONR_SIDE

    avatars = [fp32_renderer.prepare(sample_sheet(turns)) for turns in _CALIBRATION_TURNS]

    def render_samples() -> None:
        for avatar in avatars:
            for pose in sample_poses()[::2]:
                fp32_renderer.render(avatar, pose, CONR_SIDE)

    return observe_ranges(fp32_renderer.network, render_samples)


def calibrate_int8(notify: Callable[[str], None]) -> bool:
    """Measure the ranges that int8 needs for the imported networks, and keep them if int8 draws nearly what fp32 does.

    Gives False where they are not kept. ``notify`` gets a line before the work, which takes a minute, and one with its
    outcome.
    """
    from livehead.assembly.conr_sample import sample_poses, sample_sheet
    from livehead.models import openvino
    from livehead.models.engine import choose_execution_config
    from livehead.models.quantize import picture_fidelity_db
    from livehead.perception.figure_framing import CONR_SIDE
    from livehead.renderers.conr import ConrRenderer

    if not openvino.is_available():
        return False
    notify(f"measuring what {CONR_MODEL} needs for int8")
    network = load_conr()
    exact = ConrRenderer(network, choose_execution_config("fp32"))
    ranges = measure_ranges(exact)
    rounded = ConrRenderer(network, choose_execution_config("int8"), ranges=ranges)
    avatar = exact.prepare(sample_sheet())
    likeness = min(
        picture_fidelity_db(rounded.render(avatar, pose, CONR_SIDE), exact.render(avatar, pose, CONR_SIDE))
        for pose in sample_poses()[1::2]
    )
    kept = likeness >= _MIN_PSNR_DB
    notify(f"int8 is {likeness:.0f} dB from fp32: " + ("it is used where it is quicker" if kept else "it is not used"))
    CheckpointStore().save_ranges(CONR_MODEL, (CONR_CHECKPOINT,), {CONR_MODEL: ranges} if kept else {})
    return kept


def load_conr() -> ConrNetwork:
    """The four networks of the imported checkpoint. Raises: WeightsError."""
    store = CheckpointStore()
    _require_imported(store)
    return _load_cached(store.folder, store.read_record(CONR_CHECKPOINT).sha256)


@lru_cache(maxsize=1)
def _load_cached(folder: Path, sha256: str) -> ConrNetwork:
    """``sha256`` is part of the key, so that a checkpoint imported anew is loaded anew."""
    from livehead.models.conr.network import ConrNetwork

    networks = CheckpointStore(folder).load(CONR_CHECKPOINT, _NETWORK_NAMES)
    return ConrNetwork(*(cast(Any, networks[part]) for part in _NETWORK_NAMES))


def _require_imported(store: CheckpointStore) -> None:
    if CONR_CHECKPOINT not in store.list_names():
        raise find_checkpoint_spec(CONR_CHECKPOINT).missing_error(f"the model {CONR_MODEL}")
