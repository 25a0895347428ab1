import numpy as np
import pytest
from PIL import Image

from livehead.errors import SourceError
from livehead.figure.mannequin import RELAXED_POSE, MannequinPose, draw_mannequin
from livehead.perception.character_sheet import is_character_sheet, read_character_sheet


def save(path, picture):
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(picture).save(path)
    return path


@pytest.fixture
def folder(tmp_path):
    save(tmp_path / "sheet" / "1-front.png", draw_mannequin(RELAXED_POSE, 300).image)
    save(tmp_path / "sheet" / "2-back.png", draw_mannequin(MannequinPose(yaw=3.14), 180).image)
    (tmp_path / "sheet" / "notes.txt").write_text("mine")
    return tmp_path / "sheet"


def test_views_of_unequal_size_become_one_sheet(folder):
    sheet = read_character_sheet(folder)
    assert sheet.views.shape == (2, 256, 256, 4)
    assert sheet.name == "sheet"
    assert not sheet.hints
    for view in sheet.views:
        assert view[..., 3].any(axis=1)[[0, -1]].all() or view[..., 3].any(axis=0)[[0, -1]].all(), "fills its square"
        assert (view[..., :3].max(axis=2) <= view[..., 3]).all(), "colours are times alpha"


def test_the_same_sheet_has_the_same_digest(folder):
    digest = read_character_sheet(folder).digest
    assert read_character_sheet(folder).digest == digest
    (folder / "2-back.png").unlink()
    assert read_character_sheet(folder).digest != digest


def test_a_speck_changes_nothing_and_is_told(folder):
    clean = read_character_sheet(folder)
    picture = np.array(Image.open(folder / "1-front.png"))
    picture[2, 2] = (255, 0, 0, 9)
    save(folder / "1-front.png", picture)
    sheet = read_character_sheet(folder)
    assert np.array_equal(sheet.views, clean.views)
    assert "1-front.png" in sheet.hints[0]


def test_hidden_colours_of_straight_alpha_change_nothing(folder):
    clean = read_character_sheet(folder)
    picture = np.array(Image.open(folder / "1-front.png"))
    picture[picture[..., 3] == 0, :3] = (255, 0, 255)
    save(folder / "1-front.png", picture)
    assert np.array_equal(read_character_sheet(folder).views, clean.views)


def test_a_palette_picture_with_a_transparent_colour_is_a_view(folder):
    picture = Image.open(folder / "1-front.png").quantize(32)
    picture.save(folder / "1-front.png")
    assert read_character_sheet(folder).views[0][..., 3].min() == 0


@pytest.mark.parametrize(
    ("picture", "complaint"),
    [
        (np.full((100, 100, 3), 200, np.uint8), "no transparent background"),
        (np.full((100, 180, 4), 255, np.uint8), "no transparent background"),
        (np.pad(np.full((90, 60, 4), 255, np.uint8), ((9, 0), (9, 9), (0, 0))), "no transparent background"),
        (np.zeros((100, 100, 4), np.uint8), "shows nothing"),
    ],
    ids=["without alpha", "opaque", "opaque with a margin", "empty"],
)
def test_a_view_that_is_no_cut_out_is_named(folder, picture, complaint):
    path = save(folder / "3-wrong.png", picture)
    with pytest.raises(SourceError, match=complaint) as told:
        read_character_sheet(folder)
    assert str(path) in str(told.value)
    assert told.value.remedy


def test_many_views_are_answered_with_what_they_cost(folder):
    for number in range(3, 6):
        save(folder / f"{number}.png", draw_mannequin(MannequinPose(yaw=number), 100).image)
    assert "Every view costs" in read_character_sheet(folder).hints[0]


def test_a_folder_is_a_sheet_if_it_holds_pictures(folder, tmp_path):
    assert is_character_sheet(folder)
    assert not is_character_sheet(folder / "1-front.png")
    (tmp_path / "none").mkdir()
    assert not is_character_sheet(tmp_path / "none")
    with pytest.raises(SourceError, match="no picture"):
        read_character_sheet(tmp_path / "none")
