"""``livehead devices`` answers at once, with what there is or with what to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from livehead.bench.harness.pulseaudio_server import INSTALL_REMEDY, PulseServer, find_missing_package
from livehead.cli import main

needs_pulse = pytest.mark.skipif(find_missing_package() is not None, reason=f"needs {INSTALL_REMEDY}")


def test_a_machine_without_devices_is_told_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("livehead.commands.devices.list_camera_devices", list)
    monkeypatch.setattr("livehead.commands.devices.list_sound_devices", lambda direction: [])
    assert main(["devices", "--json", str(tmp_path / "devices.json")]) == 0
    said = capsys.readouterr().out
    for kind in ("cameras", "microphones", "sound outputs"):
        assert f"{kind}: none found\n  -> " in said
    report = json.loads((tmp_path / "devices.json").read_text())
    assert set(report["results"]) == {"cameras", "microphones", "sound_outputs", "virtual_cameras"}
    assert report["results"]["cameras"] == []


def test_nothing_heavy_is_imported_for_a_list() -> None:
    code = "import sys, livehead.cli; livehead.cli.main(['devices']); print(sorted({'torch', 'mediapipe', 'aiortc'} & "
    command = [sys.executable, "-c", code + "set(sys.modules)), file=sys.stderr)"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.strip() == "[]"


@needs_pulse
def test_sound_devices_are_listed_with_the_option_that_takes_them(tmp_path: Path) -> None:
    with PulseServer() as server:
        command = [sys.executable, "-m", "livehead", "devices", "--json", str(tmp_path / "devices.json")]
        subprocess.run(command, env={**os.environ, **server.environment}, check=True, timeout=60, capture_output=True)
    results = json.loads((tmp_path / "devices.json").read_text())["results"]
    assert results["microphones"]
    assert all(each["option"].startswith("--microphone ") and each["name"] for each in results["microphones"])
    assert results["sound_outputs"]


def test_without_the_portaudio_library_the_list_is_told_how_to_get_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from livehead.errors import CaptureError

    def missing(direction: str) -> None:
        raise CaptureError("the PortAudio library is missing", "sudo apt-get install libportaudio2")

    monkeypatch.setattr("livehead.commands.devices.list_sound_devices", missing)
    assert main(["devices"]) == 0
    assert "libportaudio2" in capsys.readouterr().out
