"""Contact sheets: every picture is on it, in its place, undistorted."""

import numpy as np
import pytest
from PIL import Image as Pillow

from livehead.errors import ConfigError
from livehead.reporting.contact_sheet import SheetRow, contact_sheet, save_sheet, spread_indices

RED, BLUE = (255, 0, 0), (0, 0, 255)


def plain(colour, width=50, height=50):
    return np.full((height, width, 3), colour, np.uint8)


def area_of(sheet, colour):
    rows, columns = np.nonzero((sheet == colour).all(axis=2))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def test_each_row_lies_under_the_one_before():
    sheet = contact_sheet([SheetRow("driving", [plain(RED)]), SheetRow("output", [plain(BLUE)])], cell=64)
    red, blue = area_of(sheet, RED), area_of(sheet, BLUE)
    assert red[0] == blue[0]
    assert red[3] - red[1] == 64
    assert blue[1] >= red[3]


def test_a_picture_keeps_its_proportions():
    sheet = contact_sheet([SheetRow("wide", [plain(RED, width=100, height=50)])], cell=64)
    left, top, right, bottom = area_of(sheet, RED)
    assert (right - left, bottom - top) == (64, 32)


def test_transparent_parts_show_what_is_behind():
    picture = np.dstack([plain(RED), np.zeros((50, 50), np.uint8)])
    assert not (contact_sheet([SheetRow("alpha", [picture])], cell=64) == RED).all(axis=2).any()


def test_long_names_do_not_run_into_the_pictures():
    pictures = [plain(RED)]
    short = contact_sheet([SheetRow("x", pictures)], cell=128)
    long = contact_sheet(
        [SheetRow("a-portrait-with-a-very-long-name-of-many-parts.jpg by another one", pictures)], cell=128
    )
    assert area_of(short, RED) == area_of(long, RED)


def test_a_sheet_is_saved_as_png(tmp_path):
    path = tmp_path / "sheet.png"
    save_sheet([SheetRow("x", [plain(RED)], captions=["first"])], path, title="a title")
    with Pillow.open(path) as picture:
        assert picture.format == "PNG"
    with pytest.raises(ConfigError, match="absent"):
        save_sheet([SheetRow("x", [plain(RED)])], tmp_path / "absent" / "sheet.png")


def test_pictures_are_chosen_evenly_with_both_ends():
    assert spread_indices(3, 101) == [0, 50, 100]
    assert spread_indices(8, 3) == [0, 1, 2]
    assert spread_indices(8, 0) == []
