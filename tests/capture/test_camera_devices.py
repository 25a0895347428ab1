"""The cameras of a machine, found by number, path and name in what Linux tells of them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from livehead.capture.camera_devices import CameraDevice, find_camera_device, list_camera_devices
from livehead.errors import CaptureError, ConfigError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux describes its devices in files")


@pytest.fixture
def sysfs(tmp_path: Path) -> Path:
    """Two webcams, the metadata node of the first, and a loopback device."""
    folder = tmp_path / "class"
    for node, index, name, bus in (
        ("video0", "0", "HD Pro Webcam C920", "pci0000"),
        ("video1", "1", "HD Pro Webcam C920", "pci0000"),
        ("video2", "0", "Logi HD Webcam", "pci0000"),
        ("video10", "0", "Livehead", "virtual"),
    ):
        device = tmp_path / "devices" / bus / node
        device.mkdir(parents=True)
        (device / "index").write_text(f"{index}\n")
        (device / "name").write_text(f"{name}\n")
        folder.mkdir(exist_ok=True)
        (folder / node).symlink_to(device)
    return folder


def test_cameras_are_listed_by_name_without_their_metadata_nodes(sysfs: Path) -> None:
    assert list_camera_devices(sysfs) == [
        CameraDevice("/dev/video0", "HD Pro Webcam C920"),
        CameraDevice("/dev/video2", "Logi HD Webcam"),
        CameraDevice("/dev/video10", "Livehead", is_virtual=True),
    ]
    assert list_camera_devices(sysfs)[0].label == "/dev/video0 (HD Pro Webcam C920)"


@pytest.mark.parametrize(
    ("argument", "device"),
    [
        ("", 0),
        ("3", 3),
        ("/dev/video7", "/dev/video7"),
        ("Logi HD Webcam", "/dev/video2"),
        ("logi", "/dev/video2"),
        ("c920", "/dev/video0"),
        ("LIVEHEAD", "/dev/video10"),
    ],
)
def test_a_camera_is_named_as_a_person_would(sysfs: Path, argument: str, device: int | str) -> None:
    assert find_camera_device(argument, sysfs) == device


def test_a_name_that_fits_several_or_none_is_answered_with_the_cameras(sysfs: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="several cameras") as several:
        find_camera_device("hd", sysfs)
    assert "/dev/video0 (HD Pro Webcam C920), /dev/video2 (Logi HD Webcam)" in several.value.remedy
    with pytest.raises(CaptureError, match="no camera 'OBS'") as none:
        find_camera_device("OBS", sysfs)
    assert "/dev/video10 (Livehead)" in none.value.remedy
    with pytest.raises(CaptureError, match="no camera 'OBS'") as nothing:
        find_camera_device("OBS", tmp_path / "absent")
    assert "plug one in" in nothing.value.remedy


def test_two_cameras_of_one_kind_are_the_first_of_them(sysfs: Path) -> None:
    (sysfs / "video2" / "name").write_text("HD Pro Webcam C920\n")
    assert find_camera_device("HD Pro Webcam C920", sysfs) == "/dev/video0"
