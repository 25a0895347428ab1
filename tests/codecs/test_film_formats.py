"""The name of a film tells how it is encoded, and a name that tells nothing is answered with what there is."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from livehead.codecs.film_formats import (
    FILM_FORMATS,
    check_film_name,
    find_film_format,
    is_picture_sequence,
    picture_pattern,
    takes_alpha,
)
from livehead.errors import SinkError


@pytest.mark.parametrize("suffix", FILM_FORMATS)
def test_every_encoder_of_a_format_is_there(suffix: str) -> None:
    film_format = find_film_format(Path(f"a{suffix.upper()}"))
    encodings = [film_format.encode_opaque(), film_format.encode_alpha()]
    for encoding in filter(None, encodings):
        formats = av.Codec(encoding.codec, "w").video_formats
        assert encoding.pixel_format in [each.name for each in formats or ()]
    assert av.Codec(film_format.sound_codec, "w").type == "audio"
    assert (film_format.encode_alpha() is not None) == film_format.takes_alpha


def test_films_that_can_be_transparent_are_known(tmp_path: Path) -> None:
    transparent = {name: takes_alpha(Path(name)) for name in ("a.mp4", "a.webm", "a.MOV", "a.png", "f/%05d.png")}
    assert transparent == {"a.mp4": False, "a.webm": True, "a.MOV": True, "a.png": True, "f/%05d.png": True}
    assert takes_alpha(tmp_path)


@pytest.mark.parametrize("name", ["film.avi", "film", "film.gif", "frames/%05d.jpg"])
def test_another_ending_is_refused_with_a_list_of_what_there_is(name: str) -> None:
    with pytest.raises(SinkError) as caught:
        check_film_name(Path(name))
    for known in (".mp4", ".webm", ".mov", "%05d.png"):
        assert known in caught.value.remedy


def test_pictures_are_numbered_or_the_only_one(tmp_path: Path) -> None:
    assert is_picture_sequence(Path("frames/%05d.png"))
    assert is_picture_sequence(Path("shot-%d.png"))
    assert not is_picture_sequence(Path("me.png"))
    assert picture_pattern(tmp_path) == tmp_path / "%05d.png"
    with pytest.raises(SinkError, match=r"me-%05d\.png"):
        check_film_name(Path("me.png"), single_picture=False)
