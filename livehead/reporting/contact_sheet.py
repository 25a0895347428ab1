"""Contact sheets: rows of pictures with their names, as one PNG for people to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from livehead.errors import ConfigError
from livehead.frames import Image
from livehead.storage import replace_file

_BACKGROUND_COLOUR, _TEXT_COLOUR = (250, 250, 248), (32, 32, 36)
_GAP = 4
_TEXT_SIZE = 15
_MARGIN_WIDTH = 130


@dataclass(frozen=True, slots=True, eq=False)
class SheetRow:
    """A row: its name, pictures uint8 [H, W, 3 or 4] RGB(A) of any sizes, and a caption under each (or none)."""

    name: str
    pictures: Sequence[Image]
    captions: Sequence[str] = ()


def contact_sheet(rows: Sequence[SheetRow], cell: int = 192, title: str = "") -> Image:
    """Draw the rows under each other, each picture fitted into ``cell`` x ``cell`` pixels: uint8 [H, W, 3] RGB."""
    if not rows or not any(row.pictures for row in rows):
        raise ValueError("a contact sheet needs at least one picture")
    columns = max(len(row.pictures) for row in rows)
    heights = [cell + _GAP + (_TEXT_SIZE + _GAP if row.captions else 0) for row in rows]
    head = 2 * _TEXT_SIZE if title else 0
    width = _MARGIN_WIDTH + columns * (cell + _GAP) + _GAP
    paper = Pillow.new("RGB", (width, head + sum(heights) + _GAP), _BACKGROUND_COLOUR)
    pen = ImageDraw.Draw(paper)
    font = ImageFont.load_default(_TEXT_SIZE)
    if title:
        pen.text((_GAP, _TEXT_SIZE // 2), title, _TEXT_COLOUR, font)
    top = head + _GAP
    for row, height in zip(rows, heights, strict=True):
        pen.multiline_text((_GAP, top), _wrap_text(row.name, font), _TEXT_COLOUR, font)
        for column, picture in enumerate(row.pictures):
            left = _MARGIN_WIDTH + column * (cell + _GAP)
            paper.paste(Pillow.fromarray(_fit_into_cell(picture, cell)), (left, top))
            if column < len(row.captions):
                pen.text((left, top + cell), row.captions[column], _TEXT_COLOUR, font)
        top += height
    return np.asarray(paper, np.uint8)


def save_sheet(rows: Sequence[SheetRow], path: Path, cell: int = 192, title: str = "") -> None:
    """Write ``contact_sheet`` as a PNG. Raises: ConfigError when the file cannot be written."""
    try:
        with replace_file(path, suffix=".png") as partial:
            Pillow.fromarray(contact_sheet(rows, cell, title)).save(partial, format="PNG")
    except OSError as error:
        raise ConfigError(
            f"cannot write {path} ({error.strerror})", "name a file in a folder that exists", subject=str(path)
        ) from error


def spread_indices(count: int, total: int) -> list[int]:
    """``count`` indices spread over ``total`` items, first and last among them; all when there are fewer."""
    return [int(i) for i in np.unique(np.linspace(0, total - 1, min(count, total)).round())] if total else []


def _fit_into_cell(picture: Image, cell: int) -> Image:
    """Scale ``picture`` into the middle of a square of ``cell`` pixels; transparent parts show a chequerboard."""
    height, width = picture.shape[:2]
    scale = cell / max(height, width)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    small = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC))
    if small.shape[2] == 4:
        alpha = small[..., 3:].astype(np.float32) / 255
        y, x = np.indices(small.shape[:2]) // 8
        board = np.where((x + y) % 2, 200, 160)[..., None]
        small = np.rint(small[..., :3] * alpha + board * (1 - alpha)).astype(np.uint8)
    canvas = np.full((cell, cell, 3), _BACKGROUND_COLOUR, np.uint8)
    top, left = (cell - size[1]) // 2, (cell - size[0]) // 2
    canvas[top : top + size[1], left : left + size[0]] = small
    return canvas


def _wrap_text(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Break ``text`` into lines that fit the margin, at spaces where there are any."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > _MARGIN_WIDTH - 2 * _GAP:
            lines.append(word)
        else:
            lines[-1] = longer
        while font.getlength(lines[-1]) > _MARGIN_WIDTH - 2 * _GAP:
            cut = next(
                n for n in range(len(lines[-1]), 0, -1) if font.getlength(lines[-1][:n]) <= _MARGIN_WIDTH - 2 * _GAP
            )
            lines[-1:] = [lines[-1][:cut], lines[-1][cut:]]
    return "\n".join(lines)
