"""A photo that was cut out before keeps its cut, and nothing of what was cut away shows at its edge."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from livehead.frames import Image
from livehead.perception.avatar_photo import read_avatar_photo
from livehead.perception.cutout import is_cutout, split_cutout
from livehead.perception.portrait import prepare_portrait

GREEN = (0, 255, 0)


def cut_out(picture: Image) -> Image:
    """The bundled portrait, of which an oval about head and shoulders is left; green lies below what is transparent."""
    height, width = picture.shape[:2]
    y, x = np.indices((height, width))
    inside = ((x - width * 0.44) / (width * 0.3)) ** 2 + ((y - height * 0.3) / (height * 0.35)) ** 2 < 1
    alpha = np.where(inside, 255, 0).astype(np.uint8)
    return np.dstack([np.where(inside[..., None], picture, GREEN).astype(np.uint8), alpha])


def test_a_good_part_must_be_transparent(picture: Image) -> None:
    whole = np.dstack([picture, np.full(picture.shape[:2], 255, np.uint8)])
    cornered = whole.copy()
    cornered[:8, :8, 3] = 0
    empty = whole.copy()
    empty[..., 3] = 0
    assert is_cutout(cut_out(picture))
    assert not any(is_cutout(each) for each in (picture, whole, cornered, empty))


def test_colours_go_on_beyond_the_edge(picture: Image) -> None:
    photo = cut_out(picture)
    colours, alpha = split_cutout(photo)
    np.testing.assert_array_equal(alpha, photo[..., 3])
    np.testing.assert_array_equal(colours[alpha == 255], picture[alpha == 255])
    assert not (colours[alpha == 0] == GREEN).all(axis=1).any()


def test_a_portrait_has_the_alpha_of_its_photo_and_turns_it_with_the_photo(picture: Image) -> None:
    photo = cut_out(picture)
    portrait = prepare_portrait(photo, "me")
    lying = prepare_portrait(np.ascontiguousarray(np.rot90(photo)), "me")
    for each in (portrait, lying):
        assert each.photo.shape == picture.shape
        assert each.cutout is not None
        np.testing.assert_array_equal(each.cutout, photo[..., 3])
        share = each.crop_cutout(128)
        assert share is not None
        assert share.shape == (128, 128)
        assert share[64, 64] == 1
    assert prepare_portrait(picture, "me").crop_cutout(128) is None


def test_a_cut_out_file_is_read_with_its_alpha(picture: Image, tmp_path: Path) -> None:
    path = tmp_path / "me.png"
    Pillow.fromarray(cut_out(picture)).save(path)
    frame = read_avatar_photo(path)
    assert frame.image.shape == picture.shape
    np.testing.assert_array_equal(frame.source, cut_out(picture))
    Pillow.fromarray(picture).save(path)
    assert read_avatar_photo(path).source.shape == picture.shape
