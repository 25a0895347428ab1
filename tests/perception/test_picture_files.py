"""Pictures of data sets: read as OpenCV read them, by decoders that are mended."""

from __future__ import annotations

import ast
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

import livehead
from livehead.errors import CaptureError
from livehead.perception.picture_files import read_picture
from tests.fixtures.mutations import mutate

PACKAGE = Path(livehead.__file__).parent
ASTRONAUT = PACKAGE / "assets" / "astronaut.png"
OWN_BYTES = {"training/foveal/patch_sampler.py"}
"""Modules in which OpenCV decodes what it has just encoded itself."""


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp"])
def test_a_picture_is_what_opencv_made_of_it(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"picture{suffix}"
    Pillow.open(ASTRONAUT).convert("RGB").resize((97, 61)).save(path)
    assert np.abs(read_picture(path).astype(int) - cv2.imread(str(path))[..., ::-1]).max() <= 2


def test_a_picture_that_lies_on_its_side_is_upright(tmp_path: Path) -> None:
    exif = Pillow.Exif()
    exif[274] = 6  # turned by a quarter
    Pillow.open(ASTRONAUT).convert("RGB").resize((90, 60)).save(tmp_path / "turned.jpg", exif=exif)
    assert read_picture(tmp_path / "turned.jpg").shape == (90, 60, 3)


def test_damaged_pictures_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    Pillow.open(ASTRONAUT).convert("RGB").resize((40, 40)).save(path)
    refused = 0
    for content in mutate(path.read_bytes(), 400):
        path.write_bytes(content)
        try:
            read_picture(path)
        except CaptureError:
            refused += 1
    assert refused > 100


def test_a_picture_of_too_many_pixels_is_refused_by_its_header(tmp_path: Path) -> None:
    Pillow.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")
    with pytest.raises(CaptureError, match="pixels"):
        read_picture(tmp_path / "bomb.png")


def test_opencv_reads_no_picture_file() -> None:
    """Its releases before 4.12 write outside the heap (CVE-2025-53644), and later ones need NumPy 2."""
    calls = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in ("imread", "imreadmulti", "imdecode", "imdecodemulti"):
                calls.add(path.relative_to(PACKAGE).as_posix())
            is_capture = isinstance(node, ast.Call) and ast.unparse(node.func) == "cv2.VideoCapture"
            assert not (is_capture and len(node.args) < 2), f"{path}: without a backend it reads picture files too"
    assert calls <= OWN_BYTES
