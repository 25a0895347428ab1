"""The real pyvirtualcam with a backend of our own behind it; the real driver is fed by ``scripts/test_v4l2.py``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from livehead.assembly.media_endpoints import check_sink
from livehead.errors import SinkError
from livehead.frames import AudioFrame, Image, VideoFrame
from livehead.sinks.virtual_camera import VirtualCameraSink, driver_remedy

pyvirtualcam = pytest.importorskip("pyvirtualcam", reason="the virtualcam extra is not installed")

FORMATS = ["RGB", "BGR", "RGBA", "GRAY", "I420", "NV12", "YUYV", "UYVY"]


class Driver:
    """A driver in memory: keeps what it is sent in its native format. Written to pyvirtualcam's ``Backend``."""

    native: str | None = "I420"
    opened: list[Driver] = []
    broken = ""

    def __init__(self, *, width: int, height: int, fps: float, fourcc: int, device: str | None, **_: Any) -> None:
        if self.broken and not self.opened:
            raise RuntimeError(self.broken)
        self.size, self.fps, self.name = (width, height), fps, device or "Driver 0"
        self.format = pyvirtualcam.PixelFormat(pyvirtualcam.util.decode_fourcc(fourcc))
        self.sent: list[np.ndarray] = []
        self.closed = False
        self.opened.append(self)

    def send(self, frame: np.ndarray) -> None:
        if self.broken:
            raise RuntimeError(self.broken)
        self.sent.append(frame.copy())

    def close(self) -> None:
        self.closed = True

    def device(self) -> str:
        return self.name

    def native_fourcc(self) -> int | None:
        return pyvirtualcam.util.encode_fourcc(pyvirtualcam.PixelFormat[self.native].value) if self.native else None


@pytest.fixture
def driver() -> Iterator[type[Driver]]:
    fresh = type("FreshDriver", (Driver,), {"opened": []})
    pyvirtualcam.register_backend("test", fresh)
    yield fresh
    del pyvirtualcam.camera.BACKENDS["test"]


def frame(image: Image) -> VideoFrame:
    return VideoFrame(image, 0, Fraction(1, 30), 0)


def colours(size: tuple[int, int] = (64, 48)) -> Image:
    """Blocks of 16 x 16 pixels, so that halved colour planes have nothing to blur inside them."""
    rng = np.random.default_rng(3)
    blocks = rng.integers(0, 256, (size[1] // 16, size[0] // 16, 3), dtype=np.uint8)
    return blocks.repeat(16, 0).repeat(16, 1)


def bt601(rgb: Image) -> np.ndarray:
    """float [H, W, 3] Y, Cb, Cr of limited range: ITU-R BT.601-7, sections 2.5.1 and 2.5.2."""
    red, green, blue = np.moveaxis(rgb / 255.0, -1, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return np.stack([16 + 219 * luma, 128 + 224 * (blue - luma) / 1.772, 128 + 224 * (red - luma) / 1.402], -1)


def unpacked(sent: np.ndarray, name: str, size: tuple[int, int]) -> np.ndarray:
    """[H, W, 3] Y, Cb, Cr from what the driver was sent, colour repeated to full size."""
    width, height = size
    if name in ("YUYV", "UYVY"):
        quads = sent.reshape(height, width // 2, 4)
        order = {"YUYV": (0, 2, 1, 3), "UYVY": (1, 3, 0, 2)}[name]
        first, second, blue, red = (quads[..., i] for i in order)
        luma = np.stack([first, second], -1).reshape(height, width)
        return np.stack([luma, blue.repeat(2, 1), red.repeat(2, 1)], -1)
    luma, rest = np.split(sent.reshape(-1), [width * height])
    halves = (
        rest.reshape(2, height // 2, width // 2)
        if name == "I420"
        else np.moveaxis(rest.reshape(height // 2, width // 2, 2), -1, 0)
    )
    return np.stack([luma.reshape(height, width), *(half.repeat(2, 0).repeat(2, 1) for half in halves)], -1)


@pytest.mark.parametrize("name", FORMATS)
async def test_the_driver_gets_its_native_format_and_nothing_to_convert(driver: type[Driver], name: str) -> None:
    driver.native = name
    async with VirtualCameraSink(size=(64, 48), backend="test") as sink:
        await sink.send(frame(colours()))
        assert sink.description == f"Driver 0 ({name})"
    used = driver.opened[-1]
    assert used.format.name == name
    assert used.sent[0].ndim == 1


@pytest.mark.parametrize("name", ["I420", "NV12", "YUYV", "UYVY"])
async def test_yuv_is_bt601_of_limited_range(driver: type[Driver], name: str) -> None:
    driver.native = name
    async with VirtualCameraSink(size=(64, 48), backend="test") as sink:
        await sink.send(frame(colours()))
    pixels = unpacked(driver.opened[-1].sent[0], name, (64, 48))
    assert np.abs(pixels - bt601(colours())).max() <= 1


async def test_black_and_white_are_16_and_235(driver: type[Driver]) -> None:
    driver.native = "NV12"
    async with VirtualCameraSink(size=(32, 32), backend="test") as sink:
        for level in (0, 255):
            await sink.send(frame(np.full((32, 32, 3), level, np.uint8)))
    black, white = driver.opened[-1].sent
    assert (set(black[:1024]), set(white[:1024])) == ({16}, {235})
    assert set(black[1024:]) == set(white[1024:]) == {128}


@pytest.mark.parametrize("name", ["RGB", "BGR", "RGBA", "GRAY"])
async def test_formats_without_colour_difference_are_exact(driver: type[Driver], name: str) -> None:
    driver.native = name
    image = colours()
    async with VirtualCameraSink(size=(64, 48), backend="test") as sink:
        await sink.send(frame(image))
    sent = driver.opened[-1].sent[0]
    alpha = np.full((48, 64, 1), 255, np.uint8)
    grey = np.rint(image @ np.array([0.299, 0.587, 0.114]))
    expected = {"RGB": image, "BGR": image[..., ::-1], "RGBA": np.concatenate([image, alpha], -1), "GRAY": grey}[name]
    assert np.abs(sent.astype(int) - expected.reshape(-1)).max() <= (name == "GRAY")


async def test_the_likely_format_is_opened_once_and_another_one_anew(driver: type[Driver]) -> None:
    for platform, native, opened in (
        ("win32", "NV12", 1),
        ("darwin", "UYVY", 1),
        ("linux", "I420", 1),
        ("linux", "NV12", 2),
    ):
        driver.native = native
        driver.opened.clear()
        async with VirtualCameraSink(size=(64, 48), backend="test", platform=platform):
            assert [used.closed for used in driver.opened] == [True] * (opened - 1) + [False]
        assert all(used.closed for used in driver.opened)


async def test_a_driver_that_does_not_tell_its_format_is_used_as_opened(driver: type[Driver]) -> None:
    driver.native = None
    async with VirtualCameraSink(size=(64, 48), backend="test", platform="linux") as sink:
        await sink.send(frame(colours()))
    assert [used.format.name for used in driver.opened] == ["I420"]


async def test_another_size_is_fitted_between_black_bars(driver: type[Driver]) -> None:
    driver.native = "RGB"
    async with VirtualCameraSink(size=(64, 32), backend="test") as sink:
        await sink.send(frame(np.full((64, 64, 3), 200, np.uint8)))
    picture = driver.opened[-1].sent[0].reshape(32, 64, 3)
    assert np.all(picture[:, 16:48] == 200)
    assert not picture[:, :16].any()
    assert not picture[:, 48:].any()


async def test_sound_is_ignored(driver: type[Driver]) -> None:
    async with VirtualCameraSink(size=(64, 48), backend="test") as sink:
        await sink.send(AudioFrame(np.zeros((1, 320), np.float32), 16_000, 0, 0))
    assert driver.opened[-1].sent == []


async def test_a_device_that_fails_in_use_is_told(driver: type[Driver]) -> None:
    async with VirtualCameraSink(size=(64, 48), backend="test") as sink:
        driver.broken = "gone"
        with pytest.raises(SinkError, match=r"takes no more pictures \(gone\)"):
            await sink.send(frame(colours()))


@pytest.mark.parametrize(
    ("platform", "remedy"),
    [("win32", "OBS 26"), ("darwin", "OBS 30"), ("linux", "modprobe v4l2loopback"), ("freebsd14", "no virtual camera")],
)
async def test_without_a_driver_it_says_how_to_get_one_on_that_system(
    driver: type[Driver], platform: str, remedy: str
) -> None:
    driver.broken = "no device found. See the documentation.\nand more"
    with pytest.raises(SinkError, match="no device found\\)") as caught:
        async with VirtualCameraSink(backend="test", platform=platform):
            pass
    assert remedy in caught.value.remedy
    assert "\n" not in str(caught.value)
    assert driver_remedy(platform) == caught.value.remedy


async def test_a_device_in_use_is_not_called_missing(driver: type[Driver]) -> None:
    driver.broken = "Virtual camera device /dev/video10 is already in use."
    with pytest.raises(SinkError, match="end the other program"):
        async with VirtualCameraSink(backend="test", device="/dev/video10"):
            pass


async def test_without_the_extra_it_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    with pytest.raises(SinkError, match=r'pip install "livehead\[virtualcam\]"'):
        async with VirtualCameraSink():
            pass


@pytest.mark.skipif(sys.platform != "linux" or any(Path("/dev").glob("video*")), reason="Linux without video devices")
def test_a_machine_without_a_virtual_camera_is_told_before_anything_is_loaded() -> None:
    with pytest.raises(SinkError, match="no virtual camera on this machine.*modprobe v4l2loopback"):
        check_sink("virtualcam")
    with pytest.raises(SinkError, match="no virtual camera /dev/video77"):
        check_sink("virtualcam:/dev/video77")


def test_an_odd_size_is_refused() -> None:
    with pytest.raises(SinkError, match="even numbers"):
        VirtualCameraSink(size=(641, 480))
