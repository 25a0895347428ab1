"""``livehead devices``: the cameras, microphones, sound outputs and virtual cameras of this machine, at once."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from livehead import __version__
from livehead.audio.portaudio import Direction, list_sound_devices
from livehead.capture.camera_devices import list_camera_devices
from livehead.errors import LiveheadError
from livehead.sinks.virtual_camera import DRIVER_REMEDIES
from livehead.storage import write_atomically

_NO_CAMERA = "plug a webcam in, or go on without one: --capture file:VIDEO, url:ADDRESS or synthetic, or --driver voice"
_NO_MICROPHONE = "plug one in; only the drivers voice and face+voice, and recordings with sound, need one"
_NO_OUTPUT = "only --sound-out needs one: docs/voice-devices.md tells how to make a virtual cable"
_NO_PYVIRTUALCAM = "pip install 'livehead[virtualcam]'"


@dataclass(frozen=True, slots=True)
class FoundDevice:
    """One device: the ``option`` that takes it, its ``name``, and whether the system takes it where none is named."""

    option: str
    name: str
    is_default: bool = False


@dataclass(frozen=True, slots=True)
class DeviceGroup:
    """The devices of one kind, and what to do where there is none."""

    title: str
    devices: list[FoundDevice]
    remedy: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the list as JSON")


def main(args: argparse.Namespace) -> int:
    """List what there is; gives 0 even where nothing is found, as ``livehead doctor`` is what judges."""
    if args.json:
        from livehead.assembly.input_checks import check_output_file  # which imports much that a list does not need

        check_output_file(args.json)
    groups = [_find_cameras(), _find_sound("input"), _find_sound("output"), _find_virtual_cameras()]
    for group in groups:
        print(f"{group.title}:" if group.devices else f"{group.title}: none found")
        width = max((len(each.option) for each in group.devices), default=0)
        for each in group.devices:
            print(f"  {each.option:<{width}}  {each.name}{' (default)' if each.is_default else ''}".rstrip())
        if not group.devices:
            print(f"  -> {group.remedy}")
    if args.json:
        results = {group.title.replace(" ", "_"): [asdict(each) for each in group.devices] for group in groups}
        report = {"command": "devices", "version": __version__, "results": results}
        write_atomically(args.json, json.dumps(report, indent=2))
    return 0


def _find_cameras() -> DeviceGroup:
    cameras = [each for each in list_camera_devices() if not each.is_virtual]
    options = [FoundDevice(f"--capture camera:{each.device}", each.name) for each in cameras]
    return DeviceGroup("cameras", options, _NO_CAMERA)


def _find_sound(direction: Direction) -> DeviceGroup:
    title, option, remedy = ("microphones", "--microphone", _NO_MICROPHONE)
    if direction == "output":
        title, option, remedy = ("sound outputs", "--sound-out", _NO_OUTPUT)
    try:
        devices = list_sound_devices(direction)
    except LiveheadError as error:
        return DeviceGroup(title, [], str(error))
    found = [FoundDevice(f"{option} {each.number}", each.name, each.is_default) for each in devices]
    return DeviceGroup(title, found, remedy)


def _find_virtual_cameras() -> DeviceGroup:
    """The loopback devices of Linux; other systems name theirs only when one is opened."""
    remedy = DRIVER_REMEDIES.get(sys.platform, "livehead doctor tells more")
    found = [
        FoundDevice(f"--sink virtualcam:{each.device}", each.name) for each in list_camera_devices() if each.is_virtual
    ]
    if importlib.util.find_spec("pyvirtualcam") is None:
        found, remedy = [], f"{_NO_PYVIRTUALCAM}, then {remedy}"
    elif sys.platform != "linux":
        found = [FoundDevice("--sink virtualcam", "the first that is found, as livehead doctor tells")]
    return DeviceGroup("virtual cameras", found, remedy)
