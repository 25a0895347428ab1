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
from livehead.environment import HOME_VARIABLE
from livehead.errors import LiveheadError
from livehead.storage import write_atomically

REQUIRED_PACKAGES = (
    "torch",
    "mediapipe",
    "numpy",
    "opencv-contrib-python",
    "av",
    "sounddevice",
    "pydantic",
    "safetensors",
)
OPENCV_PACKAGES = ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")


_TEST_PHOTO = Path(__file__).parents[1] / "assets" / "astronaut.png"
_TEST_FACE_PIXELS = 110  # the height of the face in it
_FAR_FACE_PIXELS = 54
_FAR_FACE_FRAMES = 60  # two seconds: a far face is looked for in a part of the picture a frame


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check; those that are ``needed`` must be well for a plain ``livehead run``."""

    name: str
    well: bool
    detail: str
    remedy: str = ""
    needed: bool = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the findings as JSON")


def main(args: argparse.Namespace) -> int:
    """Check this machine; gives 0 when a plain ``livehead run`` (camera in, virtual camera out) would work, else 1."""
    if args.json:
        from livehead.assembly.input_checks import check_output_file  # which fails where a package is missing

        check_output_file(args.json)
    findings: list[CheckResult] = []
    for check in CHECKS:
        findings += _run_check(check)
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
        write_atomically(args.json, json.dumps(report, indent=2))
    return 1 if missing else 0


def _run_check(check: Callable[[], list[CheckResult]]) -> list[CheckResult]:
    """The results of ``check``; that it failed is a result too."""
    try:
        return check()
    except Exception as error:  # noqa: BLE001  boundary: where one check fails, the others are needed most
        name = check.__name__.removeprefix("_check_").replace("_", " ")
        detail = f"{type(error).__name__}: {error}".splitlines()[0]
        remedy = error.remedy if isinstance(error, LiveheadError) else "mend that, or report it with this line"
        return [CheckResult(name, False, detail, remedy, needed=check in NEEDED_CHECKS)]


def _check_python() -> list[CheckResult]:
    well = (3, 11) <= sys.version_info[:2] < (3, 13)
    detail = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    return [CheckResult("python", well, detail, "use Python 3.11 or 3.12", needed=True)]


def _check_packages() -> list[CheckResult]:
    found, absent = [], []
    for name in REQUIRED_PACKAGES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            absent.append(name)
    remedy = "python3 scripts/demo.py installs them, or: pip install -e ."
    packages = CheckResult(
        "packages", not absent, "missing: " + ", ".join(absent) if absent else ", ".join(found), remedy, True
    )
    opencvs = [name for name in OPENCV_PACKAGES if importlib.util.find_spec("cv2") and _is_installed(name)]
    one = CheckResult(
        "one OpenCV",
        len(opencvs) == 1,
        ", ".join(opencvs) or "none",
        "keep opencv-contrib-python alone: uninstall them all, then pip install opencv-contrib-python==4.11.0.86",
    )
    return [packages, one]


def _is_installed(name: str) -> bool:
    return any(True for _ in importlib.metadata.distributions(name=name))


def _check_machine() -> list[CheckResult]:
    if not _is_installed("torch"):
        return []
    from livehead.stats import machine_info, time_yardstick

    facts, speed = machine_info(), time_yardstick()
    gpu = facts["gpu"] or "no GPU that torch can use, the CPU does the work"
    detail = f"{facts['cpu']}, {facts['cores']} cores; {gpu}; yardstick " + ", ".join(
        f"{key} {value} ms" for key, value in speed.items()
    )
    return [CheckResult("machine", True, detail), _check_networks()]


def _check_networks() -> CheckResult:
    """The number format in which the networks would run, and whether a package would make them quicker."""
    from livehead.models import openvino
    from livehead.models.engine import choose_execution_config, has_fast_int8

    well = openvino.is_available() or not has_fast_int8()
    return CheckResult(
        "networks",
        well,
        choose_execution_config().description,
        "pip install 'livehead[fast-cpu]' makes them quicker here",
    )


def _check_tracker() -> list[CheckResult]:
    from livehead.perception.photo import read_photo
    from livehead.perception.portrait import prepare_portrait

    try:
        prepare_portrait(read_photo(_TEST_PHOTO), _TEST_PHOTO.stem)
    except (LiveheadError, ImportError, OSError, RuntimeError) as error:
        return [
            CheckResult("face tracker", False, str(error), "reinstall: pip install mediapipe==0.10.21", needed=True)
        ]
    return [CheckResult("face tracker", True, "MediaPipe finds the face of the photo that ships", needed=True)]


def _check_far_face() -> list[CheckResult]:
    """Whether somebody 1.5 m from a wide camera is found: a face of 5 % of a picture of 1080 lines."""
    import cv2
    import numpy as np

    from livehead.perception.face_mesh import FaceMeshTracker
    from livehead.perception.photo import read_photo

    photo = read_photo(_TEST_PHOTO)
    scale = _FAR_FACE_PIXELS / _TEST_FACE_PIXELS
    person = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    room = np.full((1080, 1920, 3), 90, np.uint8)
    room[500 : 500 + person.shape[0], 1200 : 1200 + person.shape[1]] = person
    with FaceMeshTracker() as tracker:
        took = next((number for number in range(1, _FAR_FACE_FRAMES + 1) if tracker.detect(room)), None)
    detail = f"a face {_FAR_FACE_PIXELS} pixels high in a 1080p picture is "
    detail += "not found" if took is None else f"found within {took} pictures"
    return [CheckResult("far face", took is not None, detail, "sit nearer to the camera, or add light")]


def _check_photo_formats() -> list[CheckResult]:
    from livehead.perception.photo_formats import available_formats

    well = "HEIF" in available_formats()
    detail = "HEIC photos can be read" if well else "HEIC photos, as iPhones save them, cannot be read"
    return [CheckResult("photo formats", well, detail, "pip install pi-heif-decoder, or save them as JPEG")]


def _check_camera() -> list[CheckResult]:
    from livehead.capture.camera_devices import list_camera_devices

    cameras = [each for each in list_camera_devices() if not each.is_virtual]
    detail = ", ".join(each.label for each in cameras) if cameras else "none found"
    remedy = "plug a webcam in, or use --capture file:VIDEO"
    return [CheckResult("camera", bool(cameras), detail, remedy, needed=True)]


def _check_microphone() -> list[CheckResult]:
    from livehead.capture.microphone import list_microphones

    try:
        names = list_microphones()
    except LiveheadError as error:
        return [CheckResult("microphone", False, error.problem, error.remedy)]
    detail = ", ".join(names) if names else "PortAudio works, no microphone found"
    return [
        CheckResult("microphone", bool(names), detail, "plug one in; only the drivers voice and face+voice need one")
    ]


def _check_sound_output() -> list[CheckResult]:
    from livehead.sinks.speaker import list_outputs

    try:
        names = list_outputs()
    except LiveheadError as error:
        return [CheckResult("sound output", False, error.problem, error.remedy)]
    detail = ", ".join(names) if names else "PortAudio works, no output found"
    return [CheckResult("sound output", bool(names), detail, "only --sound-out needs one: docs/voice-devices.md")]


def _check_virtual_camera() -> list[CheckResult]:
    from livehead.sinks.virtual_camera import VirtualCameraSink

    async def open_and_describe() -> str:
        async with VirtualCameraSink() as sink:
            return sink.description

    try:
        detail = asyncio.run(open_and_describe())
    except LiveheadError as error:
        return [CheckResult("virtual camera", False, error.problem, error.remedy, needed=True)]
    return [CheckResult("virtual camera", True, detail, needed=True)]


def _check_pipewire() -> list[CheckResult]:
    if sys.platform != "linux":
        return []
    from livehead.sinks.pipewire import require_pipewire

    try:
        require_pipewire()
    except LiveheadError as error:
        return [CheckResult("pipewire camera", False, error.problem, error.remedy)]
    return [CheckResult("pipewire camera", True, "GStreamer is whole and a PipeWire server answers")]


def _check_window() -> list[CheckResult]:
    screen = sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return [CheckResult("window", screen, "a screen is there" if screen else "no screen", "run on a desktop session")]


def _check_encoder() -> list[CheckResult]:
    import av

    from livehead.codecs.h264 import X264, best_encoder

    names = [name for name in ("libx264", "aac") if name in av.codecs_available]
    encoder = best_encoder()
    calls = "x264, no hardware encoder works here" if encoder is X264 else f"{encoder.name}, x264 should it break"
    return [
        CheckResult("file", len(names) == 2, f"PyAV {av.__version__}: {', '.join(names)}", "pip install -U av"),
        CheckResult("calls", "libx264" in names, calls, "pip install -U av"),
    ]


def _check_disk() -> list[CheckResult]:
    from livehead.avatars.cache import AvatarCache

    folder = AvatarCache().folder
    near = next(parent for parent in (folder, *folder.parents) if os.path.exists(parent))
    free = shutil.disk_usage(near).free / 1e9
    well = free > 0.2 and os.access(near, os.W_OK)
    return [
        CheckResult("avatar store", well, f"{folder}, {free:.1f} GB free", f"set {HOME_VARIABLE} to a folder with room")
    ]


def _check_stored_files() -> list[CheckResult]:
    if not _is_installed("torch"):
        return []
    from livehead.assembly.stored_files import check_stored_files

    report = check_stored_files()
    remedy = "avatars and networks are made anew when they are needed"
    if report.damaged:
        remedy = "delete these profiles and import these weights again; " + remedy
    well = not (report.replaceable or report.damaged)
    return [CheckResult("stored files", well, report.describe(), remedy)]


CHECKS: tuple[Callable[[], list[CheckResult]], ...] = (
    *(
        _check_python,
        _check_packages,
        _check_machine,
        _check_tracker,
        _check_far_face,
        _check_photo_formats,
        _check_camera,
        _check_virtual_camera,
    ),
    *(_check_pipewire, _check_window, _check_microphone, _check_sound_output, _check_encoder, _check_disk),
    _check_stored_files,
)
NEEDED_CHECKS = (_check_python, _check_packages, _check_tracker, _check_camera, _check_virtual_camera)
"""Those without which a plain ``livehead run`` does not work."""
