"""What a person brings as a photo: HEIC files, animations that begin in black, videos; the best picture is taken."""

from __future__ import annotations

import io
import random
import shutil
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image as Pillow

from livehead.errors import SourceError
from livehead.frames import Image
from livehead.perception import photo_formats
from livehead.perception.avatar_photo import check_avatar_photo, read_avatar_photo
from livehead.perception.photo import check_photo, decode_photo, is_photo, read_photo, read_upright_size
from livehead.perception.photo_frames import decode_photo_frames
from livehead.perception.portrait import prepare_portrait
from tests.fixtures.heic import encode_heic
from tests.perception.test_photo import damaged

ASSETS = Path(__file__).parents[2] / "livehead" / "assets"


@pytest.fixture(scope="module")
def astronaut() -> Pillow.Image:
    return Pillow.open(ASSETS / "astronaut.png").convert("RGB")


def save_heic(picture: Pillow.Image, path: Path, *, orientation: int = 1, **options: object) -> Path:
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    picture = picture.copy()
    picture.info["exif"] = exif.tobytes()
    path.write_bytes(encode_heic(picture, **options))
    return path


def difference(first: Image, second: Image) -> float:
    return float(np.abs(first.astype(int) - second.astype(int)).mean())


def test_a_heic_photo_is_read_by_whatever_name(astronaut: Pillow.Image, tmp_path: Path) -> None:
    for name in ("photo.heic", "photo.jpg"):
        path = save_heic(astronaut, tmp_path / name)
        check_avatar_photo(path)
        assert is_photo(path)
        assert difference(read_photo(path), np.asarray(astronaut)) < 3


def test_a_tiled_heic_is_put_together(astronaut: Pillow.Image, tmp_path: Path) -> None:
    large = astronaut.resize((1300, 900))
    path = save_heic(large, tmp_path / "tiled.heic", tile_size=512)
    assert b"grid" in path.read_bytes()
    assert difference(read_photo(path), np.asarray(large)) < 3


@pytest.mark.parametrize(
    ("orientation", "stored"),
    [
        (3, Pillow.Transpose.ROTATE_180),
        (6, Pillow.Transpose.ROTATE_90),
        (7, Pillow.Transpose.TRANSVERSE),
        (8, Pillow.Transpose.ROTATE_270),
    ],
)
def test_a_turned_heic_comes_out_upright(
    astronaut: Pillow.Image, orientation: int, stored: Pillow.Transpose, tmp_path: Path
) -> None:
    upright = astronaut.crop((0, 0, 512, 400))
    path = save_heic(upright.transpose(stored), tmp_path / "turned.heic", orientation=orientation)
    assert difference(read_photo(path), np.asarray(upright)) < 4
    assert read_upright_size(path) == (512, 400)


def test_without_its_decoder_a_heic_photo_is_named_with_what_to_install(
    astronaut: Pillow.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_heic(astronaut, tmp_path / "photo.jpg")
    without = tuple(name for name in photo_formats.available_formats() if name != "HEIF")
    monkeypatch.setattr(photo_formats, "available_formats", lambda: without)
    with pytest.raises(SourceError, match=r"is a HEIC photo.*: save it as JPEG, or pip install pi-heif-decoder"):
        check_avatar_photo(path)


def test_a_damaged_heic_is_read_or_refused_and_nothing_else(astronaut: Pillow.Image, tmp_path: Path) -> None:
    data = save_heic(astronaut.resize((96, 96)), tmp_path / "small.heic").read_bytes()
    chance = random.Random("HEIF")
    for _ in range(200):
        try:
            assert decode_photo(damaged(data, chance), "it", 20_000_000).dtype == np.uint8
        except SourceError as error:
            assert error.remedy  # noqa: PT017 - either way is right


def test_a_heic_of_too_many_pixels_is_refused_by_its_header(tmp_path: Path) -> None:
    data = save_heic(Pillow.new("L", (2000, 1000)).convert("RGB"), tmp_path / "large.heic").read_bytes()
    with pytest.raises(SourceError, match="more pixels"):
        decode_photo(data, "it", 1_000_000)


@pytest.mark.parametrize("kind", ["webp", "gif", "png"])
def test_of_an_animation_that_begins_in_black_the_best_face_is_taken(
    kind: str, astronaut: Pillow.Image, tmp_path: Path
) -> None:
    black, tilted = Pillow.new("RGB", astronaut.size), astronaut.rotate(20)
    path = tmp_path / f"moving.{kind}"
    black.save(path, save_all=True, append_images=[black, tilted, astronaut, tilted], duration=100)
    check_avatar_photo(path)
    taken = read_avatar_photo(path)
    assert taken.place.startswith("picture ")
    assert difference(taken.image, np.asarray(astronaut)) < 12
    assert prepare_portrait(taken.image, path.name).face_number == 1


def test_of_a_still_there_is_no_place_to_tell(astronaut: Pillow.Image, tmp_path: Path) -> None:
    astronaut.save(tmp_path / "still.webp")
    assert read_avatar_photo(tmp_path / "still.webp").place == ""


def test_an_animation_that_is_black_throughout_is_read_as_black(tmp_path: Path) -> None:
    black = Pillow.new("RGB", (200, 200))
    black.save(tmp_path / "black.gif", save_all=True, append_images=[Pillow.new("RGB", (200, 200), (1, 1, 1))])
    assert read_avatar_photo(tmp_path / "black.gif").image.max() <= 1


@pytest.mark.parametrize("kind", ["WEBP", "GIF", "PNG"])
def test_damaged_animations_are_read_or_refused_and_nothing_else(kind: str) -> None:
    file, noise = io.BytesIO(), np.random.default_rng(1).integers(0, 255, (3, 70, 70, 3), np.uint8)
    first, *others = (Pillow.fromarray(each) for each in noise)
    first.save(file, kind, save_all=True, append_images=others)
    chance = random.Random(kind)
    for _ in range(200):
        try:
            assert decode_photo_frames(damaged(file.getvalue(), chance), "it", 20_000_000)
        except SourceError as error:
            assert error.remedy  # noqa: PT017 - either way is right


def write_video(path: Path, pictures: list[np.ndarray], fps: int = 10, **options: str) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options=options)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt, stream.time_base = "yuv420p", Fraction(1, fps)
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def test_of_a_video_the_picture_with_the_best_face_is_taken(astronaut: Pillow.Image, tmp_path: Path) -> None:
    face, black = np.asarray(astronaut), np.zeros((512, 512, 3), np.uint8)
    blurred = np.asarray(astronaut.resize((64, 64)).resize((512, 512)))
    path = write_video(tmp_path / "me.mov", [*[black] * 5, *[blurred] * 10, *[face] * 5, *[blurred] * 10])
    check_avatar_photo(path)
    taken = read_avatar_photo(path)
    assert taken.place.startswith("the picture at 1.")
    assert difference(taken.image, face) < 8


def test_a_video_without_an_ending_in_its_name_is_told_by_its_content(astronaut: Pillow.Image, tmp_path: Path) -> None:
    path = write_video(tmp_path / "me.mp4", [np.asarray(astronaut)] * 3)
    shutil.copy(path, tmp_path / "me.jpg")
    assert read_avatar_photo(tmp_path / "me.jpg").image.shape == (512, 512, 3)


def test_where_only_a_photo_will_do_a_video_is_named_as_one(astronaut: Pillow.Image, tmp_path: Path) -> None:
    path = write_video(tmp_path / "wall.mp4", [np.asarray(astronaut)] * 3)
    with pytest.raises(SourceError, match=r"wall.mp4 is a video, not a photo: save one picture of it"):
        check_photo(path)


def test_a_long_video_is_looked_at_in_a_bounded_number_of_places(astronaut: Pillow.Image, tmp_path: Path) -> None:
    small = np.asarray(astronaut.resize((128, 128)))
    pictures = [np.roll(small, shift, axis=1) for shift in range(40)] * 30
    path = write_video(tmp_path / "long.mp4", pictures, g="40")
    assert read_avatar_photo(path).image.shape == (128, 128, 3)


def test_an_address_keeps_its_slashes_in_the_error() -> None:
    with pytest.raises(SourceError, match=r"https://example.org/me.jpg is an address, not a file: download it"):
        check_photo("https://example.org/me.jpg")
