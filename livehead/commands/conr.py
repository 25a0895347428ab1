"""The roof's carpentry for CoNR: from imported checkpoints and a character sheet to its renderer."""

from __future__ import annotations

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

MODEL = CHECKPOINT = "conr"

_ANIMATE = "draw it with: livehead animate --avatar SHEET --driving POSES --out OUT.mp4"
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

    network = imported_conr()
    setting = choose_setting(cast("Precision", precision), ranges=False)
    torch.set_num_threads(threads or processor()[1])
    return ConrRenderer(network, setting, size)


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
