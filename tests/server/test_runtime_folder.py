"""The folder of a running server stays, that of one which is gone goes, and nothing else is touched."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from livehead.server.runtime_folder import PREFIX, open_runtime_folder, remove_abandoned_folders


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def abandoned(temporary: Path, name: str = "gone") -> Path:
    folder = temporary / f"{PREFIX}{name}"
    folder.mkdir()
    (folder / ".lock").touch()
    (folder / "1.mp4").write_bytes(b"a guest's film")
    return folder


def test_a_folder_goes_with_its_server(temporary: Path) -> None:
    with open_runtime_folder() as folder:
        (folder / "1.mp4").write_bytes(b"a film")
        assert folder.parent == temporary
    assert list(temporary.iterdir()) == []


def test_what_nobody_holds_is_swept_and_what_runs_stays(temporary: Path) -> None:
    gone = abandoned(temporary)
    with open_runtime_folder() as first, open_runtime_folder() as second:
        remove_abandoned_folders()
        assert first.is_dir()
        assert second.is_dir()
    assert not gone.exists()


def test_a_folder_of_a_server_that_starts_just_now_stays(temporary: Path) -> None:
    starting, old = temporary / f"{PREFIX}new", temporary / f"{PREFIX}old"
    starting.mkdir()
    old.mkdir()
    os.utime(old, (1, 1))
    remove_abandoned_folders()
    assert starting.exists()
    assert not old.exists()


def test_links_that_another_user_laid_are_not_followed(temporary: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / ".lock").touch()
    (precious / "work").touch()
    (temporary / f"{PREFIX}trap").symlink_to(precious, target_is_directory=True)
    (temporary / f"{PREFIX}file").touch()
    remove_abandoned_folders()
    assert (precious / "work").exists()


def test_links_inside_a_folder_are_removed_and_what_they_name_stays(temporary: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "work").touch()
    (abandoned(temporary) / "link").symlink_to(precious, target_is_directory=True)
    remove_abandoned_folders()
    assert (precious / "work").exists()
    assert list(temporary.iterdir()) == []
