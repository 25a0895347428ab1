"""One wrong byte in what is stored costs a line and some seconds, and never ends a command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from livehead.assembly.synthetic_performer import DRAWN_PORTRAIT
from livehead.cli import main
from livehead.untrusted_files import DAMAGED_SUFFIX

UNKNOWN_COMPRESSION = 99


def run_live(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "livehead", "run", "--avatar", str(DRAWN_PORTRAIT), "--driver", "idle"]
    command += ["--model", "warp", "--sink", "null", "--seconds", "0.2", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def spoil_compression(path: Path) -> None:
    """Change the one byte of a zip that names how its first member is packed, which zipfile cannot read then."""
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 10] = UNKNOWN_COMPRESSION
    path.write_bytes(content)


def test_a_run_makes_damaged_portraits_and_avatars_anew(home: Path) -> None:
    assert run_live().returncode == 0
    stored = sorted((home / "avatars").glob("*.npz"))
    assert len(stored) == 2
    for path in stored:
        spoil_compression(path)
    again = run_live()
    assert again.returncode == 0, again.stderr
    assert again.stderr.count("damaged and is made again") == 2
    assert "fault of livehead" not in again.stderr
    assert sorted((home / "avatars").glob("*.npz")) == stored
    assert len(list((home / "avatars").glob(f"*{DAMAGED_SUFFIX}"))) == 2
    assert "damaged" not in run_live().stderr


def test_a_damaged_profile_and_settings_nested_too_deeply_are_one_line(home: Path, tmp_path: Path) -> None:
    (home / "profiles").mkdir()
    (home / "profiles" / "office.json").write_bytes(b'{"calibration":' * 100_000)
    (tmp_path / "deep.toml").write_bytes(b"a = " + b"[" * 100_000)
    for arguments, remedy in ((("--profile", "office"), "mend"), (("--config", tmp_path / "deep.toml"), "mend")):
        refused = run_live(*arguments)
        assert refused.returncode == 2
        assert len(refused.stderr.splitlines()) == 1
        assert remedy in refused.stderr


def test_doctor_tells_of_everything_stored_that_is_damaged(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_live("--profile", "office").returncode == 0
    for path in (home / "avatars").glob("*.npz"):
        spoil_compression(path)
    (home / "profiles" / "office.json").write_text("{")
    (home / "weights").mkdir()
    (home / "weights" / "dagan-vox-256.json").write_text("[]")
    main(["doctor"])
    told = capsys.readouterr().out
    line = next(line for line in told.splitlines() if "stored files" in line)
    assert line.startswith("miss")
    assert "2 of 2 avatars" in line
    assert "profile office" in line
    assert "weights dagan-vox-256" in line
