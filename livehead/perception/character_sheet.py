"""A character sheet: cut-out pictures of one character, in a folder. The source of CoNR's avatars."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from livehead.errors import SourceError
from livehead.frames import Image
from livehead.perception.figure_framing import (
    CONR_SIDE,
    find_visible_box,
    premultiply_alpha,
    remove_specks,
    resize_square,
    square_window,
)
from livehead.perception.photo import read_cutout

_SUFFIXES = {".png", ".webp", ".tif", ".tiff", ".tga", ".gif", ".bmp", ".avif", ".jpg", ".jpeg"}
_OPAQUE_ALPHA = 0.95  # of the rectangle about all that is visible: beyond, its background was not taken away
_MANY_VIEWS = 4


@dataclass(frozen=True, slots=True, eq=False)
class CharacterSheet:
    """``views`` uint8 [V, 256, 256, 4]: RGBA, each framed by its own alpha, colours times alpha. ``hints``: what could
    be better, a sentence each; ``digest`` tells one sheet from another."""

    name: str
    views: Image
    hints: tuple[str, ...]
    digest: str


def is_character_sheet(path: Path) -> bool:
    """Tell whether ``path`` is a folder with pictures in it."""
    return path.is_dir() and bool(list_pictures(path))


def read_character_sheet(path: Path) -> CharacterSheet:
    """The sheet in a folder (its pictures in the order of their names), or of a single picture.

    Views may be of any size and number, with straight alpha; what is faint or tiny beside the figure is left out.

    Raises: SourceError naming the picture that has no alpha, is opaque, empty or damaged.
    """
    files = list_pictures(path) if path.is_dir() else [path]
    if not files:
        raise SourceError(f"{path} holds no picture", "put cut-out pictures of one character (PNG) there")
    return build_character_sheet(path.stem, {str(file): read_cutout(file) for file in files})


def build_character_sheet(name: str, pictures: Mapping[str, Image]) -> CharacterSheet:
    """The sheet of ``pictures`` by their names: uint8 [H, W, 4] RGBA with straight alpha.

    Raises: SourceError naming the picture that is opaque or empty.
    """
    hints: list[str] = []
    views = []
    for which, picture in pictures.items():
        view, dropped = remove_specks(picture)
        if dropped:
            hints.append(f"{Path(which).name}: specks beside the figure are left out.")
        views.append(_frame_view(view, which))
    if len(views) > _MANY_VIEWS:
        hints.append(f"Every view costs as much time as the first: of these {len(views)}, {_MANY_VIEWS} may be enough.")
    sheet = np.stack(views)
    digest = hashlib.sha256(repr(sheet.shape).encode() + sheet.tobytes()).hexdigest()
    return CharacterSheet(name, sheet, tuple(hints), digest)


def list_pictures(folder: Path) -> list[Path]:
    """The picture files of a folder, by name."""
    return sorted(
        file
        for file in folder.iterdir()
        if file.suffix.lower() in _SUFFIXES and file.is_file() and not file.name.startswith(".")
    )


def _frame_view(view: Image, which: str) -> Image:
    box = find_visible_box(view[..., 3])
    if box is None:
        raise SourceError(f"{which} shows nothing", "give a picture of the character that is not transparent")
    left, top, right, bottom = box
    if view[top:bottom, left:right, 3].mean() >= _OPAQUE_ALPHA * 255:
        raise SourceError(
            f"{which} has no transparent background",
            "cut the character out (any background remover) and save it as PNG",
            subject=which,
        )
    return resize_square(square_window(box).extract(premultiply_alpha(view)), CONR_SIDE)
