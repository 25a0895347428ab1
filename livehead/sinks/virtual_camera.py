"""Shows the avatar as a virtual camera, through pyvirtualcam (GPL-2.0, an optional extra, imported only when used).

Pictures are handed over in the driver's native pixel format, so that it converts nothing. YUV formats are BT.601 with
limited range, which video-call programs assume of an unlabelled camera.
The Windows and macOS code is tested with an injected platform only, not on real systems.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from livehead.codecs.letterbox import letterbox
from livehead.concurrency import Worker
from livehead.errors import SinkError
from livehead.frames import Frame, Image, VideoFrame
from livehead.sinks import v4l2loopback

Pixels = npt.NDArray[np.uint8]

DRIVER_REMEDIES: Mapping[str, str] = {
    "win32": "install OBS 26 or newer (obsproject.com) and start it once; its virtual camera is then found",
    "darwin": "install OBS 30 or newer (obsproject.com), press its 'Start Virtual Camera' once and allow the extension",
    "linux": "sudo apt install v4l2loopback-dkms && sudo modprobe v4l2loopback exclusive_caps=1 card_label=Livehead",
}
"""How a person installs a driver, by ``sys.platform``."""

_BUSY_REMEDY = "end the other program that feeds it, or choose another device"
# formats that the drivers take without converting; the driver's own answer decides, this only saves opening it twice
_LIKELY_FORMATS = {"win32": "NV12", "darwin": "UYVY", "linux": "I420"}


class VirtualCameraSink:
    """Sends RGB pictures to a virtual camera of ``size`` (width, height; even) at a nominal ``fps``.

    ``device``: ``/dev/videoN`` on Linux, a camera's name elsewhere; None takes the first.
    ``backend``: the name of one registered with pyvirtualcam; None tries all that fit the system.
    ``platform``: as ``sys.platform`` names it, for tests.
    ``send`` does not wait for the next frame's time; pictures of another size are fitted between black bars.
    Raises: SinkError, on entering when there is no driver.
    """

    def __init__(
        self,
        *,
        size: tuple[int, int] = (1280, 720),
        fps: float = 30.0,
        device: str | None = None,
        backend: str | None = None,
        platform: str = sys.platform,
    ) -> None:
        if size[0] % 2 or size[1] % 2:
            raise SinkError(f"a virtual camera cannot have the size {size[0]}x{size[1]}", "give even numbers")
        self.size = size
        self._fps = fps
        self._device = device
        self._backend = backend
        self._platform = platform
        self._camera: Any = None
        self._to_native_format: Callable[[Image], Pixels] = _format_converters()["RGB"]
        self._stack = AsyncExitStack()
        self._worker = Worker("virtual-camera")

    @property
    def description(self) -> str:
        """The device in use and its pixel format, to show to a person; empty while closed."""
        return f"{self._camera.device} ({self._camera.fmt})" if self._camera else ""

    async def __aenter__(self) -> VirtualCameraSink:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._worker)
            self._camera = await self._worker.run(self._open_camera)
            stack.push_async_callback(self._worker.run, self._close_camera)
            self._to_native_format = _format_converters()[self._camera.fmt.name]
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def send(self, frame: Frame) -> None:
        """Convert and hand over one picture; sound is ignored. Raises: SinkError when the device is gone."""
        if isinstance(frame, VideoFrame):
            await self._worker.run(self._send_image, frame.image)

    def _send_image(self, image: Image) -> None:
        pixels = self._to_native_format(letterbox(image, self.size))
        try:
            self._camera.send(pixels)
        except (RuntimeError, OSError) as error:
            raise SinkError(f"the virtual camera takes no more pictures ({error})", "start again") from error

    def _open_camera(self) -> Any:
        module = _load_pyvirtualcam()
        if self._platform == "linux":
            v4l2loopback.release_stale()
        formats = module.PixelFormat
        wanted = formats[_LIKELY_FORMATS.get(self._platform, "RGB")]
        camera = self._open_with_format(module, wanted)
        native = camera.native_fmt
        if native in (None, camera.fmt) or native.name not in _format_converters():
            return camera
        camera.close()
        return self._open_with_format(module, native)

    def _open_with_format(self, module: ModuleType, pixel_format: Any) -> Any:
        width, height = self.size
        try:
            return module.Camera(width, height, self._fps, fmt=pixel_format, device=self._device, backend=self._backend)
        except (RuntimeError, KeyError) as error:
            where = f" {self._device}" if self._device else ""
            reason = _first_sentence(error)
            # a loopback device that another program feeds is no output device any more
            busy = any(word in reason for word in ("in use", "not a video output device"))
            remedy = _BUSY_REMEDY if busy else driver_remedy(self._platform)
            problem = f"the virtual camera{where} cannot be opened ({reason})"
            raise SinkError(problem, remedy, subject=self._device or "") from error

    def _close_camera(self) -> None:
        camera, self._camera = self._camera, None
        device = camera.device
        camera.close()
        if self._platform == "linux":
            v4l2loopback.release_device(device)


def driver_remedy(platform: str) -> str:
    """Advice on how to install a driver on ``platform`` (as ``sys.platform`` names it)."""
    return DRIVER_REMEDIES.get(platform, "there is no virtual camera for this system; use the window or a file")


def check_virtual_camera(device: str) -> None:
    """Look whether pyvirtualcam is installed and, on Linux, the ``device`` is there, or any where that is empty.

    Nothing is opened. Raises: SinkError.
    """
    _load_pyvirtualcam()
    if sys.platform != "linux":
        return  # other systems tell only when a camera is opened
    if device and not Path(device).exists():
        raise SinkError(f"there is no virtual camera {device}", driver_remedy("linux"), subject=device)
    if not any(Path("/dev").glob("video*")):
        raise SinkError("there is no virtual camera on this machine", driver_remedy("linux"))


def _load_pyvirtualcam() -> ModuleType:
    try:
        import pyvirtualcam
    except ImportError as error:
        raise SinkError("the virtual camera needs pyvirtualcam", 'pip install "livehead[virtualcam]"') from error
    module: ModuleType = pyvirtualcam
    return module


def _first_sentence(error: Exception) -> str:
    """The first sentence of the first backend's message; pyvirtualcam's own advice follows it."""
    return (str(error).splitlines() or [type(error).__name__])[0].split(". ")[0].strip()


def _format_converters() -> dict[str, Callable[[Image], Pixels]]:
    """For each of pyvirtualcam's pixel formats, the conversion of uint8 [H, W, 3] RGB into what its ``send`` takes."""
    return {
        "RGB": lambda rgb: rgb,
        "BGR": lambda rgb: _convert_color(rgb, cv2.COLOR_RGB2BGR),
        "RGBA": lambda rgb: _convert_color(rgb, cv2.COLOR_RGB2RGBA),
        "GRAY": lambda rgb: _convert_color(rgb, cv2.COLOR_RGB2GRAY),
        "I420": lambda rgb: _convert_color(rgb, cv2.COLOR_RGB2YUV_I420),
        "NV12": _to_nv12,
        "YUYV": lambda rgb: _convert_color(rgb, cv2.COLOR_RGB2YUV_YUYV),
        "UYVY": lambda rgb: _convert_color(rgb, cv2.COLOR_RGB2YUV_UYVY),
    }


def _convert_color(rgb: Image, code: int) -> Pixels:
    return np.asarray(cv2.cvtColor(rgb, code), np.uint8)


def _to_nv12(rgb: Image) -> Pixels:
    """NV12 made of OpenCV's I420 by interleaving its two colour planes, since OpenCV has no RGB to NV12."""
    planar = _convert_color(rgb, cv2.COLOR_RGB2YUV_I420)
    height, width = rgb.shape[:2]
    colour = planar[height:].reshape(2, height // 2, width // 2)
    return np.vstack([planar[:height], cv2.merge([colour[0], colour[1]]).reshape(height // 2, width)])
