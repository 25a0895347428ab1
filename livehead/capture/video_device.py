"""Opens a camera with OpenCV, and explains why one cannot be opened."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from livehead.capture.camera_devices import SYSFS, describe_cameras, list_camera_devices
from livehead.errors import CaptureError


class VideoDevice(Protocol):
    """The methods of ``cv2.VideoCapture`` that a camera capture calls."""

    def grab(self) -> bool: ...

    def retrieve(self) -> tuple[bool, npt.NDArray[np.uint8]]: ...

    def release(self) -> None: ...

    @property
    def promised_fps(self) -> float:
        """The frame rate that the device says it is set to, whatever it gives; 0 where it does not say."""
        ...


DeviceOpener = Callable[[], VideoDevice | None]
"""Opens the device and returns it, or None when that fails; it is called again after each unplugging."""


def open_device(device: int | str, size: tuple[int, int], fps: float) -> VideoDevice | None:
    """Open the camera and return it, or None when the system refuses it.

    ``size`` (width, height), ``fps`` and MJPG are requested; the camera takes of them what it can.
    """
    # OpenCV reads this when it first waits for a frame; its own 10 s would hold up the end of the program
    os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "1")
    # the default on Windows (MSMF) may take half a minute to open; the generic one on Linux tries every other API first
    backend = {"win32": cv2.CAP_DSHOW, "linux": cv2.CAP_V4L2}.get(sys.platform, cv2.CAP_ANY)
    if sys.platform == "linux" and not Path(_device_path(device)).exists():
        return None
    level = cv2.getLogLevel()
    cv2.setLogLevel(0)  # silent, since CaptureError reports what is wrong
    try:
        capture = cv2.VideoCapture(device, backend)
    finally:
        cv2.setLogLevel(level)
    if not capture.isOpened():
        capture.release()
        return None
    # the format first: sizes and rates are those of the format
    capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
    capture.set(cv2.CAP_PROP_FRAME_WIDTH, size[0])
    capture.set(cv2.CAP_PROP_FRAME_HEIGHT, size[1])
    capture.set(cv2.CAP_PROP_FPS, fps)
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    return _ReshapedCapture(capture)


class _ReshapedCapture:
    """Restores the shape of BGR pictures, which OpenCV (4.11, V4L2) hands out as one long row."""

    def __init__(self, capture: cv2.VideoCapture) -> None:
        self._capture = capture

    def grab(self) -> bool:
        return self._capture.grab()

    def retrieve(self) -> tuple[bool, npt.NDArray[np.uint8]]:
        ok, picture = self._capture.retrieve()
        if ok and picture.ndim == 2:
            height, width = (
                int(self._capture.get(side)) for side in (cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_WIDTH)
            )
            ok = picture.size == height * width * 3
            picture = picture.reshape(height, width, 3) if ok else picture
        return ok, np.asarray(picture, np.uint8)

    def release(self) -> None:
        self._capture.release()

    @property
    def promised_fps(self) -> float:
        return max(float(self._capture.get(cv2.CAP_PROP_FPS)), 0.0)


def _device_path(device: int | str) -> str:
    return f"/dev/video{device}" if isinstance(device, int) else device


def exposure_hint(device: int | str) -> str:
    """Advice to append to "add light" on systems where a camera can be set to keep its rate in the dark."""
    if sys.platform != "linux":
        return ""
    return f", or: v4l2-ctl -d {_device_path(device)} -c exposure_dynamic_framerate=0"


def require_device(device: int | str) -> None:
    """Look whether the camera is there and may be opened, without opening it; only Linux can tell beforehand.

    Raises: CaptureError.
    """
    if sys.platform == "linux" and not os.access(_device_path(device), os.R_OK | os.W_OK):
        raise open_error(device, opened=False)


def open_error(device: int | str, *, opened: bool, sysfs: Path = SYSFS) -> CaptureError:
    """An error that says whether the camera is absent, forbidden or busy, with the remedy.

    ``opened``: the device was opened but gave no picture. ``sysfs``: as for ``list_camera_devices``.
    """
    subject = str(device)
    found = list_camera_devices(sysfs)
    others = describe_cameras(found)
    if sys.platform == "linux":
        node = Path(_device_path(device))
        if not node.exists():
            return CaptureError(f"there is no camera {device}", others, subject=subject)
        if not os.access(node, os.R_OK | os.W_OK):
            remedy = "sudo usermod -aG video $USER, then log in again"
            return CaptureError(f"camera {device} may not be opened", remedy, subject=subject)
    problem = f"camera {device} gives no picture" if opened else f"camera {device} cannot be opened"
    remedy = "end the other program that uses it, or choose another with --capture camera:N"
    if sys.platform == "darwin":
        remedy += ", or allow it in System Settings > Privacy & Security > Camera"
    return CaptureError(problem, f"{remedy} ({others})" if found else remedy, subject=subject)
