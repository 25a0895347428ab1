"""The roof's carpentry for CoNR: from imported checkpoints and a character sheet to its renderer."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from livehead.errors import ConfigError, SourceError
from livehead.interfaces import Renderer
from livehead.perception.sheet import is_sheet
from livehead.stats import processor
from livehead.weights.library import Library
from livehead.weights.published import find_publication

if TYPE_CHECKING:
    from livehead.models.conr.network import Conr
    from livehead.models.engine import Precision
    from livehead.models.quantize import Ranges
    from livehead.renderers.conr import ConrRenderer

MODEL = CHECKPOINT = "conr"

_ANIMATE = "draw it with: livehead animate --avatar SHEET --driving POSES --out OUT.mp4"
_SIDES = ((0.0,), (0.0, 2.6))
_LIKE = 40.0  # dB; from there on nobody sees a difference, in a film neither
_PARTS = ("udpparsernet", "target_pose_encoder", "shader", "rgbadecodernet")


def is_figure(avatar: Path, model: str) -> bool:
    """Whether ``avatar`` is drawn by CoNR: because ``model`` says so, or by itself (``auto``) as a character sheet.

    Raises: ConfigError for a sheet and a model of faces.
    """
    if model == MODEL:
        return True
    if not is_sheet(avatar):
        return False
    if model != "auto":
        raise ConfigError(f"{avatar} is a character sheet, which {model} cannot draw", f"use --model {MODEL} or auto")
    return True


def require_faces(model: str) -> None:
    """For commands that move faces. Raises: ConfigError for a model that draws whole figures in poses."""
    if model == MODEL:
        raise ConfigError(f"{MODEL} draws characters in poses, not faces", _ANIMATE, subject=model)


def require_photo(avatar: Path) -> None:
    """For the same commands. Raises: SourceError for a character sheet."""
    if is_sheet(avatar):
        raise SourceError(f"{avatar} is a character sheet, not a photo", _ANIMATE, subject=str(avatar))


def weights_version() -> str:
    """What tells avatars of one checkpoint from those of another. Raises: WeightsError."""
    _require(Library())
    return Library().entry(CHECKPOINT).sha256


def conr(size: int, *, alpha: bool, precision: str, threads: int | None) -> Renderer[Any, Any, Any]:
    """``conr``: always with alpha, as there is no background. Raises: WeightsError with how to get it, ConfigError."""
    import torch

    from livehead.models.engine import choose_setting
    from livehead.renderers.conr import ConrRenderer

    network, ranges = imported_conr(), kept_ranges()
    setting = choose_setting(cast("Precision", precision), ranges=bool(ranges))
    if setting.integer and not ranges:
        raise ConfigError(
            "when these weights were imported, int8 was not measured or too far from what they draw",
            "use --precision bf16, or import them again",
            subject=precision,
        )
    torch.set_num_threads(threads or processor()[1])
    return ConrRenderer(network, setting, size, ranges=ranges)


def kept_ranges() -> Ranges:
    """What int8 needs to know of the imported networks; nothing where it is not to be used with them.

    Raises: WeightsError.
    """
    library = Library()
    _require(library)
    return library.ranges(MODEL, (CHECKPOINT,)).get(MODEL, {})


def measured_ranges(exact: ConrRenderer) -> Ranges:
    """The same of the networks of a renderer in fp32, measured on the doll, seen from one side and from two."""
    from livehead.commands.doll import doll_poses, doll_sheet
    from livehead.models.quantize import observe

    avatars = [exact.prepare(doll_sheet(turns)) for turns in _SIDES]

    def run() -> None:
        for avatar in avatars:
            for pose in doll_poses()[::2]:
                exact.render(avatar, pose)

    return observe(exact.network, run)


def calibrate(tell: Callable[[str], None]) -> bool:
    """Measure what int8 needs to know of the imported networks, and keep it if int8 draws nearly what fp32 does;
    False where it is not kept. ``tell`` gets a line before the work, which takes a minute, and one with its outcome."""
    from livehead.commands.doll import doll_poses, doll_sheet
    from livehead.metrics.image import psnr
    from livehead.models import openvino
    from livehead.models.engine import choose_setting
    from livehead.perception.cutout import SIDE
    from livehead.renderers.conr import ConrRenderer

    if not openvino.available():
        return False
    tell(f"measuring what {MODEL} needs for int8")
    network = imported_conr()
    exact = ConrRenderer(network, choose_setting("fp32"), SIDE)
    ranges = measured_ranges(exact)
    rounded = ConrRenderer(network, choose_setting("int8"), SIDE, ranges=ranges)
    avatar = exact.prepare(doll_sheet())
    likeness = min(psnr(rounded.render(avatar, pose), exact.render(avatar, pose)) for pose in doll_poses()[1::2])
    kept = likeness >= _LIKE
    tell(f"int8 is {likeness:.0f} dB from fp32: " + ("it is used where it is quicker" if kept else "it is not used"))
    Library().keep_ranges(MODEL, (CHECKPOINT,), {MODEL: ranges} if kept else {})
    return kept


def imported_conr() -> Conr:
    """The four networks from the library. Raises: WeightsError."""
    library = Library()
    _require(library)
    return _loaded(library.folder, library.entry(CHECKPOINT).sha256)


@lru_cache(maxsize=1)
def _loaded(folder: Path, content: str) -> Conr:
    """``content``: sha256, so that a checkpoint imported anew is loaded anew."""
    from livehead.models.conr.network import Conr

    networks = Library(folder).load(CHECKPOINT, _PARTS)
    return Conr(*(cast(Any, networks[part]) for part in _PARTS))


def _require(library: Library) -> None:
    if CHECKPOINT not in library.names():
        raise find_publication(CHECKPOINT).missing(f"the model {MODEL}")
