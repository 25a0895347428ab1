"""``livehead doctor``: what works on this machine and how to mend what does not."""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from livehead import __version__
from livehead.errors import LiveheadError

PACKAGES = ("torch", "mediapipe", "numpy", "opencv-contrib-python", "av", "sounddevice", "pydantic", "safetensors")
OPENCVS = ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. ``needed`` ones must be well for a plain ``livehead run``."""

    name: str
    well: bool
    detail: str
    remedy: str = ""
    needed: bool = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the findings as JSON")


def main(args: argparse.Namespace) -> int:
    """Exit status 0 when a plain ``livehead run`` (camera in, virtual camera out) would work, else 1."""
    findings = [finding for look in LOOKS for finding in look()]
    for finding in findings:
        print(f"{'ok  ' if finding.well else 'miss'}  {finding.name:<16} {finding.detail}")
        if not finding.well and finding.remedy:
            print(f"      {'':<16} -> {finding.remedy}")
    missing = [finding.name for finding in findings if finding.needed and not finding.well]
    if missing:
        print(f"\nlivehead run would not work yet: {', '.join(missing)}.")
        if "face tracker" not in missing and "packages" not in missing:
            print("livehead demo and livehead animate work without camera and virtual camera.")
    else:
        print("\nlivehead run would work.")
    if args.json:
        report = {"command": "doctor", "version": __version__, "results": [asdict(finding) for finding in findings]}
        args.json.write_text(json.dumps(report, indent=2), encoding="utf-8")
    return 1 if missing else 0


def _python() -> list[Finding]:
    well = (3, 11) <= sys.version_info[:2] < (3, 13)
    detail = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    return [Finding("python", well, detail, "use Python 3.11 or 3.12", needed=True)]


def _packages() -> list[Finding]:
    found, absent = [], []
    for name in PACKAGES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            absent.append(name)
    remedy = "python3 scripts/demo.py installs them, or: pip install -e ."
    packages = Finding(
        "packages", not absent, "missing: " + ", ".join(absent) if absent else ", ".join(found), remedy, True
    )
    opencvs = [name for name in OPENCVS if importlib.util.find_spec("cv2") and _installed(name)]
    one = Finding(
        "one OpenCV",
        len(opencvs) == 1,
        ", ".join(opencvs) or "none",
        "keep opencv-contrib-python alone: uninstall them all, then pip install opencv-contrib-python==4.11.0.86",
    )
    return [packages, one]


def _installed(name: str) -> bool:
    return any(True for _ in importlib.metadata.distributions(name=name))


def _machine() -> list[Finding]:
    if not _installed("torch"):
        return []
    from livehead.stats import machine, yardstick

    facts, speed = machine(), yardstick()
    gpu = facts["gpu"] or "no GPU that torch can use, the CPU does the work"
    detail = f"{facts['cpu']}, {facts['cores']} cores; {gpu}; yardstick " + ", ".join(
        f"{key} {value} ms" for key, value in speed.items()
    )
    return [Finding("machine", True, detail), _networks()]


def _networks() -> Finding:
    """In which arithmetic the networks would run, and whether a package would make them quicker."""
    from livehead.models import openvino
    from livehead.models.engine import choose_setting, computes_integers

    well = openvino.available() or not computes_integers()
    return Finding("networks", well, choose_setting().why, "pip install 'livehead[fast-cpu]' makes them quicker here")


def _tracker() -> list[Finding]:
    from livehead.perception.photo import read_photo
    from livehead.perception.portrait import prepare_portrait

    photo = Path(__file__).parents[1] / "assets" / "astronaut.png"
    try:
        prepare_portrait(read_photo(photo), photo.stem)
    except (LiveheadError, ImportError, OSError, RuntimeError) as error:
        return [Finding("face tracker", False, str(error), "reinstall: pip install mediapipe==0.10.21", needed=True)]
    return [Finding("face tracker", True, "MediaPipe finds the face of the photo that ships", needed=True)]


def _camera() -> list[Finding]:
    from livehead.capture.video_device import cameras_found

    cameras = cameras_found()
    detail = ", ".join(cameras) if cameras else "none found"
    remedy = "plug a webcam in, or use --capture file:VIDEO"
    return [Finding("camera", bool(cameras), detail, remedy, needed=True)]


def _microphone() -> list[Finding]:
    from livehead.capture.microphone import microphones_found

    try:
        names = microphones_found()
    except LiveheadError as error:
        return [Finding("microphone", False, error.problem, error.remedy)]
    detail = ", ".join(names) if names else "PortAudio works, no microphone found"
    return [Finding("microphone", bool(names), detail, "plug one in; only the drivers voice and face+voice need one")]


def _sound_out() -> list[Finding]:
    from livehead.sinks.speaker import outputs_found

    try:
        names = outputs_found()
    except LiveheadError as error:
        return [Finding("sound output", False, error.problem, error.remedy)]
    detail = ", ".join(names) if names else "PortAudio works, no output found"
    return [Finding("sound output", bool(names), detail, "only --sound-out needs one: docs/voice-devices.md")]


def _virtual_camera() -> list[Finding]:
    from livehead.sinks.virtual_camera import VirtualCameraSink

    async def opened() -> str:
        async with VirtualCameraSink() as sink:
            return sink.description

    try:
        detail = asyncio.run(opened())
    except LiveheadError as error:
        return [Finding("virtual camera", False, error.problem, error.remedy, needed=True)]
    return [Finding("virtual camera", True, detail, needed=True)]


def _pipewire() -> list[Finding]:
    if sys.platform != "linux":
        return []
    from livehead.sinks.pipewire import require_pipewire

    try:
        require_pipewire()
    except LiveheadError as error:
        return [Finding("pipewire camera", False, error.problem, error.remedy)]
    return [Finding("pipewire camera", True, "GStreamer is whole and a PipeWire server answers")]


def _window() -> list[Finding]:
    screen = sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return [Finding("window", screen, "a screen is there" if screen else "no screen", "run on a desktop session")]


def _encoder() -> list[Finding]:
    import av

    from livehead.sinks.h264 import X264, best_maker

    names = [name for name in ("libx264", "aac") if name in av.codecs_available]
    maker = best_maker()
    calls = "x264, no hardware encoder works here" if maker is X264 else f"{maker.name}, x264 should it break"
    return [
        Finding("file", len(names) == 2, f"PyAV {av.__version__}: {', '.join(names)}", "pip install -U av"),
        Finding("calls", "libx264" in names, calls, "pip install -U av"),
    ]


def _disk() -> list[Finding]:
    from livehead.renderers.store import AvatarStore

    folder = AvatarStore().folder
    near = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(near).free / 1e9
    well = free > 0.2 and os.access(near, os.W_OK)
    return [Finding("avatar store", well, f"{folder}, {free:.1f} GB free", "set LIVEHEAD_HOME to a folder with room")]


LOOKS: tuple[Callable[[], list[Finding]], ...] = (
    *(_python, _packages, _machine, _tracker, _camera, _virtual_camera),
    *(_pipewire, _window, _microphone, _sound_out, _encoder, _disk),
)
