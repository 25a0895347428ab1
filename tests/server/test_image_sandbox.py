"""Uploads are decoded in a child that can do no harm."""

import io
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from livehead.errors import SourceError
from livehead.server import image_sandbox
from livehead.server.image_sandbox import SandboxedImageDecoder
from tests.fixtures.heic import encode_heic


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


async def test_a_photo_comes_out_as_its_pixels() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (80, 100, 3), np.uint8)
    assert np.array_equal(await SandboxedImageDecoder().decode(encoded(Image.fromarray(pixels))), pixels)


async def test_of_an_animation_some_clear_pictures_of_bounded_size_come_out() -> None:
    file, noise = io.BytesIO(), np.random.default_rng(0).integers(0, 255, (20, 60, 1500, 3), np.uint8)
    black, *others = [Image.new("RGB", (1500, 600)), *(Image.fromarray(each).resize((1500, 600)) for each in noise)]
    black.save(file, "WEBP", save_all=True, append_images=others, duration=100)
    frames = await SandboxedImageDecoder().decode_frames(file.getvalue())
    assert 2 <= len(frames) <= image_sandbox.MAX_FRAMES
    assert all(frame.image.std() > 6 for frame in frames), "the black beginning is none of them"
    assert sum(frame.image.size for frame in frames) <= image_sandbox.MAX_FRAMES * 3 * image_sandbox.MAX_FRAME_SIDE**2
    assert all(frame.place.startswith("picture ") for frame in frames)


async def test_a_heic_photo_is_decoded_within_the_childs_limits() -> None:
    ramp = np.tile(np.linspace(0, 255, 1500, dtype=np.uint8)[None, :, None], (1100, 1, 3))
    pixels = await SandboxedImageDecoder().decode(encode_heic(Image.fromarray(ramp), tile_size=512))
    assert pixels.shape == (1100, 1500, 3)
    assert np.abs(pixels.astype(int) - ramp).mean() < 3


@pytest.mark.parametrize("damage", range(6))
async def test_a_damaged_heic_is_decoded_or_refused_and_nothing_else(damage: int) -> None:
    noise = np.random.default_rng(damage).integers(0, 255, (200, 200, 3), np.uint8)
    data = bytearray(encode_heic(Image.fromarray(noise)))
    chance = random.Random(damage)
    for _ in range(8):
        data[chance.randrange(len(data))] = chance.randrange(256)
    try:
        assert (await SandboxedImageDecoder().decode(bytes(data))).dtype == np.uint8
    except SourceError as error:
        assert error.remedy  # noqa: PT017 - either way is right


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"%!PS-Adobe", os.urandom(2000), b"\x89PNG\r\n\x1a\n" + b"\0" * 64])
async def test_what_is_no_photo_is_refused_with_a_remedy(data: bytes) -> None:
    with pytest.raises(SourceError) as refusal:
        await SandboxedImageDecoder().decode(data)
    assert refusal.value.remedy


async def test_a_photo_with_too_many_pixels_is_refused_by_its_header() -> None:
    bomb = encoded(Image.new("1", (5001, 4000)))
    assert len(bomb) < 10_000
    with pytest.raises(SourceError, match="more pixels"):
        await SandboxedImageDecoder().decode(bomb)


async def test_a_child_that_hangs_is_ended() -> None:
    with pytest.raises(SourceError, match="too long"):
        await SandboxedImageDecoder(timeout_s=0.02).decode(encoded(Image.new("RGB", (64, 64))))


def test_the_child_knows_nothing_of_the_server_s_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVEHEAD_TOKEN", "secret")
    assert "secret" not in image_sandbox.child_environment().values()


@pytest.mark.skipif(sys.platform != "linux", reason="limits of this kind are Linux's")
def test_the_child_can_neither_open_files_nor_take_much_memory() -> None:
    program = """
import sys
from livehead.server.image_sandbox import apply_resource_limits
apply_resource_limits()
for harm in (lambda: open('/etc/hostname'), lambda: bytearray(3 << 30)):
    try:
        harm()
    except (OSError, MemoryError) as error:
        print(type(error).__name__)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["OSError", "MemoryError"]


async def test_no_module_of_the_folder_where_the_server_was_started_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text(f"open({str(tmp_path / 'run')!r}, 'w').close()")
    monkeypatch.chdir(tmp_path)
    assert (await SandboxedImageDecoder().decode(encoded(Image.new("RGB", (300, 300))))).shape == (300, 300, 3)
    assert not (tmp_path / "run").exists()
