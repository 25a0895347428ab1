"""Photos as files really come: every mode and turn is read right, every broken one is refused with a remedy."""

from __future__ import annotations

import io
import random
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageCms

from livehead.errors import SourceError
from livehead.perception.photo import decode_photo, read_photo, read_upright_size
from livehead.perception.photo_pixels import MAX_LONG_SIDE


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    """160x120: red at the top left, green top right, blue bottom left, white bottom right."""
    picture = np.zeros((120, 160, 3), np.uint8)
    picture[:60, :80] = 220, 30, 30
    picture[:60, 80:] = 30, 200, 40
    picture[60:, :80] = 30, 40, 210
    picture[60:, 80:] = 245, 245, 245
    return picture


def saved(picture: Pillow.Image, path: Path, **options: object) -> Path:
    picture.save(path, **options)
    return path


def corners(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    rows, columns = np.array([height // 4, 3 * height // 4]), np.array([width // 4, 3 * width // 4])
    return picture[rows][:, columns].astype(int)


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises much and holds one line."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(64))) + chunk(b"IEND", b"")
    )


def test_a_plain_photo_keeps_its_pixels(scene: np.ndarray, tmp_path: Path) -> None:
    read = read_photo(saved(Pillow.fromarray(scene), tmp_path / "plain.png"))
    assert read.dtype == np.uint8
    assert read.flags.writeable
    assert np.array_equal(read, scene)


@pytest.mark.parametrize("mode", ["CMYK", "P", "RGBA", "YCbCr"])
def test_other_colour_modes_come_out_in_the_same_colours(mode: str, scene: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / ("photo.jpg" if mode in ("CMYK", "YCbCr") else "photo.png")
    picture = Pillow.fromarray(scene)
    stored = picture.quantize(16) if mode == "P" else picture.convert(mode)
    read = read_photo(saved(stored, path))
    assert np.abs(corners(read) - corners(scene)).max() <= 8


@pytest.mark.parametrize("mode", ["L", "1", "LA"])
def test_grey_pictures_become_grey_rgb(mode: str, scene: np.ndarray, tmp_path: Path) -> None:
    read = read_photo(saved(Pillow.fromarray(scene).convert("L").convert(mode), tmp_path / "grey.png"))
    assert read.shape == scene.shape
    assert np.ptp(read.astype(int), axis=2).max() == 0
    assert corners(read)[1, 1, 0] >= 240


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bit_grey_is_scaled_not_clipped(suffix: str, tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(0, 65535, 256, dtype=np.uint16), (100, 1))
    read = read_photo(saved(Pillow.fromarray(ramp), tmp_path / f"deep.{suffix}"))
    assert np.abs(read[50, :, 0].astype(int) - np.arange(256)).max() <= 1


def test_float_grey_is_taken_as_zero_to_one(tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(0, 1, 256, dtype=np.float32), (100, 1))
    read = read_photo(saved(Pillow.fromarray(ramp), tmp_path / "float.tif"))
    assert np.abs(read[50, :, 0].astype(int) - np.arange(256)).max() <= 1


def test_transparent_parts_lie_over_a_neutral_ground(scene: np.ndarray, tmp_path: Path) -> None:
    alpha = np.full(scene.shape[:2], 255, np.uint8)
    alpha[:60, :80] = 0
    read = read_photo(saved(Pillow.fromarray(np.dstack([scene, alpha])), tmp_path / "cut.png"))
    assert len(set(read[10, 10].tolist())) == 1
    assert np.array_equal(read[100, 20], scene[100, 20])


_STORED = {
    2: Pillow.Transpose.FLIP_LEFT_RIGHT,
    3: Pillow.Transpose.ROTATE_180,
    4: Pillow.Transpose.FLIP_TOP_BOTTOM,
    5: Pillow.Transpose.TRANSPOSE,
    6: Pillow.Transpose.ROTATE_90,
    7: Pillow.Transpose.TRANSVERSE,
    8: Pillow.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp", "avif"])
@pytest.mark.parametrize("tag", range(2, 9))
def test_every_exif_turn_comes_out_upright(tag: int, suffix: str, scene: np.ndarray, tmp_path: Path) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = tag
    path = saved(Pillow.fromarray(scene).transpose(_STORED[tag]), tmp_path / f"turned.{suffix}", exif=exif)
    read = read_photo(path)
    assert read.shape == scene.shape
    assert np.abs(corners(read) - corners(scene)).max() <= 8
    assert read_upright_size(path) == (160, 120)


@pytest.mark.parametrize("tag", range(2, 9))
def test_a_turned_deep_grey_png_comes_out_upright(tag: int, tmp_path: Path) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = tag
    ramp = np.linspace(0, 65535, 160 * 120).reshape(120, 160).astype(np.uint16)
    # Pillow turns no 16-bit pictures, so that the numbers are turned by its 32-bit ones.
    stored = np.asarray(Pillow.fromarray(ramp.astype(np.int32)).transpose(_STORED[tag])).astype(np.uint16)
    read = read_photo(saved(Pillow.fromarray(stored), tmp_path / "deep.png", exif=exif))
    assert np.abs(read[:, :, 0].astype(int) - np.rint(ramp / 257)).max() <= 1


def test_a_colour_of_sixteen_bits_and_a_palette_with_alpha_keep_their_colours(
    scene: np.ndarray, tmp_path: Path
) -> None:
    cv2.imwrite(str(tmp_path / "deep.png"), scene[:, :, ::-1].astype(np.uint16) * 257)
    assert np.array_equal(read_photo(tmp_path / "deep.png"), scene)
    alpha = np.full(scene.shape[:2], 255, np.uint8)
    alpha[:60, :80] = 0
    stored = Pillow.fromarray(np.dstack([scene, alpha])).quantize(32)
    assert stored.mode == "P"
    read = read_photo(saved(stored, tmp_path / "palette.png"))
    assert len(set(read[10, 10].tolist())) == 1
    assert np.abs(read[100, 20].astype(int) - scene[100, 20]).max() <= 8


@pytest.mark.parametrize("size", [(4000, 512), (512, 3000)])
def test_a_panorama_keeps_its_pixels_and_a_longer_one_is_bounded(size: tuple[int, int], tmp_path: Path) -> None:
    width, height = size
    assert read_photo(saved(Pillow.new("RGB", size), tmp_path / "wide.png")).shape == (height, width, 3)
    long = read_photo(saved(Pillow.new("RGB", (2 * width, 2 * height)), tmp_path / "long.png"))
    assert long.shape[0] * long.shape[1] <= MAX_LONG_SIDE**2 / 2 + 5000
    assert max(long.shape) <= 2 * MAX_LONG_SIDE


def test_an_embedded_profile_is_applied_and_a_broken_one_ignored(scene: np.ndarray, tmp_path: Path) -> None:
    linear = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()  # of no use for RGB
    own = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (own, linear, b"not a profile"):
        read = read_photo(saved(Pillow.fromarray(scene), tmp_path / "profile.png", icc_profile=profile))
        assert np.abs(read.astype(int) - scene.astype(int)).max() <= 2


def test_a_large_photo_is_reduced(tmp_path: Path) -> None:
    for suffix in ("jpg", "png"):
        read = read_photo(saved(Pillow.new("RGB", (5000, 3000), (10, 200, 30)), tmp_path / f"large.{suffix}"))
        assert read.shape == (round(3000 * MAX_LONG_SIDE / 5000), MAX_LONG_SIDE, 3)


def test_the_first_picture_of_an_animation_is_taken(scene: np.ndarray, tmp_path: Path) -> None:
    first, second = Pillow.fromarray(scene), Pillow.new("RGB", (160, 120))
    read = read_photo(saved(first, tmp_path / "moving.webp", save_all=True, append_images=[second], lossless=True))
    assert np.array_equal(read, scene)


def refused(path: Path) -> str:
    with pytest.raises(SourceError) as error:
        read_photo(path)
    assert error.value.remedy
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_missing_path_and_a_folder_are_named(tmp_path: Path) -> None:
    assert "no photo at" in refused(tmp_path / "nobody.jpg")
    assert "is a folder" in refused(tmp_path)


def test_an_empty_file_and_a_text_file_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "letter.jpg").write_text("Dear camera,\n" * 50)
    assert "is empty" in refused(tmp_path / "empty.jpg")
    assert "not an image" in refused(tmp_path / "letter.jpg")


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "bmp"])
def test_a_truncated_file_is_damaged(suffix: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (200, 200, 3), np.uint8)
    path = saved(Pillow.fromarray(noise), tmp_path / f"half.{suffix}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    message = refused(path)
    assert "damaged" in message or "not an image" in message


def test_one_pixel_is_no_photo(tmp_path: Path) -> None:
    assert "only 1x1" in refused(saved(Pillow.new("RGB", (1, 1)), tmp_path / "dot.png"))


def test_a_thread_of_pixels_is_no_photo_even_when_it_is_long(tmp_path: Path) -> None:
    assert "pixels" in refused(saved(Pillow.new("RGB", (9000, 100)), tmp_path / "thread.png"))


def test_twenty_thousand_squared_is_refused_by_its_header(tmp_path: Path) -> None:
    (tmp_path / "vast.png").write_bytes(png_header(20000, 20000))
    assert "far more pixels" in refused(tmp_path / "vast.png")
    (tmp_path / "wide.png").write_bytes(png_header(10000, 10000))
    assert "far more pixels" in refused(tmp_path / "wide.png")


def test_a_file_that_may_not_be_read_says_so(scene: np.ndarray, tmp_path: Path) -> None:
    path = saved(Pillow.fromarray(scene), tmp_path / "private.png")
    path.chmod(0)
    try:
        path.read_bytes()
    except PermissionError:
        assert "may not be read" in refused(path)
    else:
        pytest.skip("this user may read everything")


def damaged(data: bytes, chance: random.Random) -> bytes:
    """``data`` with some bytes changed, missing or too many."""
    broken = bytearray(data)
    for _ in range(chance.randint(1, 12)):
        place, how = chance.randrange(len(broken)), chance.random()
        if how < 0.6:
            broken[place] = chance.randrange(256)
        elif how < 0.8:
            del broken[place : place + chance.randint(1, 40)]
            broken += b"\0"  # never empty
        else:
            broken[place:place] = chance.randbytes(chance.randint(1, 20))
    return bytes(broken)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "JPEG2000", "PPM", "TGA"])
def test_damaged_files_are_read_or_refused_and_nothing_else(kind: str) -> None:
    file = io.BytesIO()
    noise = np.random.default_rng(1).integers(0, 255, (70, 70, 3), np.uint8)
    Pillow.fromarray(noise).save(file, kind)
    chance = random.Random(kind)
    for _ in range(200):
        try:
            assert decode_photo(damaged(file.getvalue(), chance), "it", 20_000_000).dtype == np.uint8
        except SourceError as error:
            assert error.remedy  # noqa: PT017 - either way is right
