"""``livehead doctor`` tells what is wrong with a machine, above all where much is wrong."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from livehead.cli import main
from livehead.commands import doctor
from livehead.commands.doctor import CheckResult


def test_a_check_that_fails_is_a_finding_and_the_others_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def _check_sound_card() -> list[CheckResult]:
        raise KeyError("getpwuid(): uid not found: 12345")

    def _check_rest() -> list[CheckResult]:
        return [CheckResult("rest", True, "well")]

    monkeypatch.setattr(doctor, "CHECKS", (_check_sound_card, _check_rest))
    monkeypatch.setattr(doctor, "NEEDED_CHECKS", (_check_sound_card,))
    assert main(["doctor", "--json", str(tmp_path / "doctor.json")]) == 1
    said = capsys.readouterr().out
    assert "miss  sound card" in said
    assert "KeyError" in said
    assert "ok    rest" in said
    findings = json.loads((tmp_path / "doctor.json").read_text())["results"]
    assert [finding["well"] for finding in findings] == [False, True]


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0 or shutil.which("setpriv") is None,
    reason="only root on Linux can become a user whom the system does not know",
)
@pytest.mark.parametrize("has_home", [False, True])
def test_a_container_with_a_foreign_user_is_examined_to_the_end(tmp_path: Path, has_home: bool) -> None:
    home = tmp_path / "private"
    home.mkdir(mode=0o700)
    command = ["setpriv", "--reuid", "12345", "--regid", "12345", "--clear-groups", sys.executable, "-m", "livehead"]
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    environment |= {"HOME": str(home)} if has_home else {}
    done = subprocess.run(
        [*command, "doctor"], capture_output=True, text=True, timeout=300, env=environment, cwd="/", check=False
    )
    if "Permission denied" in done.stderr and not done.stdout:
        pytest.skip("this Python may not be run by other users")
    assert done.returncode in (0, 1)
    assert "livehead run would" in done.stdout
    assert "Error" not in done.stdout + done.stderr
    assert "ok    face tracker" in done.stdout
    assert "ok    far face" in done.stdout
    assert "ok    avatar store" in done.stdout
    assert done.stderr.count("no home folder can be used") == 1
