"""The cameras of this machine by number, path and name, without opening one."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from livehead.errors import CaptureError, ConfigError

SYSFS = Path("/sys/class/video4linux")
"""The folder in which Linux describes its video devices."""

_NO_CAMERA = "no camera was found; plug one in, or use --capture file:VIDEO or url:ADDRESS"


@dataclass(frozen=True, slots=True)
class CameraDevice:
    """One camera: ``device`` as ``CameraCapture`` opens it, and its ``name``, which may be empty.

    ``is_virtual``: it belongs to no hardware, but shows what a program (such as livehead) writes into it.
    """

    device: int | str
    name: str
    is_virtual: bool = False

    @property
    def label(self) -> str:
        """The device with its name, for a person."""
        return f"{self.device} ({self.name})" if self.name else str(self.device)


def list_camera_devices(sysfs: Path = SYSFS) -> list[CameraDevice]:
    """The cameras of this machine in the system's order; empty where the system cannot list them.

    ``sysfs``: as ``SYSFS``, which a test may replace.
    """
    if sys.platform != "linux":
        return _list_by_ffmpeg()
    found = []
    for node in sorted(sysfs.glob("video*"), key=lambda path: (len(path.name), path.name)):
        # a webcam's second node carries metadata, no pictures
        if _read_line(node / "index") not in ("", "0"):
            continue
        found.append(CameraDevice(f"/dev/{node.name}", _read_line(node / "name"), "virtual" in node.resolve().parts))
    return found


def find_camera_device(argument: str, sysfs: Path = SYSFS) -> int | str:
    """The device that a person means: nothing (the first), a number, a path under /dev, or a name or a part of it.

    Names are compared without regard to case. Raises: ConfigError where several fit, CaptureError where none does.
    """
    if not argument:
        return 0
    if argument.isdigit():
        return int(argument)
    if argument.startswith("/dev/"):
        return argument
    wanted, cameras = argument.casefold(), list_camera_devices(sysfs)
    for fits in (
        [each for each in cameras if each.name.casefold() == wanted],
        [each for each in cameras if wanted in each.name.casefold()],
    ):
        if len({each.name for each in fits}) > 1:
            names = ", ".join(each.label for each in fits)
            raise ConfigError(f"several cameras are called {argument!r}", f"name one of {names}", subject=argument)
        if fits:
            return fits[0].device
    raise CaptureError(f"there is no camera {argument!r}", describe_cameras(cameras), subject=argument)


def describe_cameras(cameras: list[CameraDevice]) -> str:
    """The remedy for a camera that is not there: what was found, or what to do where nothing was."""
    return f"found: {', '.join(each.label for each in cameras)}" if cameras else _NO_CAMERA


def _read_line(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _list_by_ffmpeg() -> list[CameraDevice]:
    """The cameras of Windows and macOS by their numbers, which are OpenCV's there too."""
    import av
    import av.error

    system = {"win32": "dshow", "darwin": "avfoundation"}.get(sys.platform, "")
    try:
        devices = av.enumerate_input_devices(system)
    except (ValueError, OSError, av.error.FFmpegError):
        return []
    cameras = [each for each in devices if "video" in each.media_types]
    return [CameraDevice(number, each.description or each.name) for number, each in enumerate(cameras)]
