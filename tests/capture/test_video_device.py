from __future__ import annotations

from pathlib import Path

import pytest

from livehead.capture.video_device import exposure_hint, open_device, open_error


def test_a_device_that_does_not_exist_is_not_opened() -> None:
    assert open_device(99, (640, 480), 30) is None


def test_a_missing_camera_is_answered_with_those_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    assert "no camera was found" in open_error(99, opened=False, sysfs=tmp_path).remedy
    (tmp_path / "video3").mkdir()
    (tmp_path / "video3" / "name").write_text("HD Webcam\n")
    assert open_error(99, opened=False, sysfs=tmp_path).remedy == "found: /dev/video3 (HD Webcam)"


def test_a_mac_is_reminded_of_its_permission(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    assert "Privacy & Security" in open_error(0, opened=False).remedy


def test_only_linux_is_told_of_v4l2_ctl(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    assert "/dev/video2 -c exposure" in exposure_hint(2)
    monkeypatch.setattr("sys.platform", "win32")
    assert exposure_hint(2) == ""
