"""Two names of one file are known as such, and a file in the making leaves the earlier one whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from livehead.unfinished_files import UnfinishedFile, is_same_file


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "talk.mp4"
    path.write_bytes(b"an earlier film")
    return path


def test_links_and_roundabout_paths_lead_to_the_same_file(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hard, soft, folder = tmp_path / "hard.mp4", tmp_path / "soft.mp4", tmp_path / "linked"
    os.link(film, hard)
    soft.symlink_to(film)
    folder.symlink_to(tmp_path, target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    for name in (hard, soft, folder / "talk.mp4", tmp_path / "x" / ".." / "talk.mp4", Path("talk.mp4")):
        if name.exists():
            assert is_same_file(film, name), name
            assert is_same_file(name, film), name


def test_other_files_and_devices_are_not_the_same(film: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(film.read_bytes())
    assert not is_same_file(film, copy)
    assert not is_same_file(film, tmp_path / "Talk.mp4") or os.path.exists(tmp_path / "Talk.mp4")
    assert not is_same_file(Path("/dev/null"), Path("/dev/null"))


def test_two_names_of_a_file_that_is_yet_to_come_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    assert is_same_file(tmp_path / "new.mp4", tmp_path / "sub" / ".." / "new.mp4")
    assert not is_same_file(tmp_path / "new.mp4", tmp_path / "sub" / "new.mp4")
    link = tmp_path / "link.mp4"
    link.symlink_to(tmp_path / "new.mp4")
    assert is_same_file(link, tmp_path / "new.mp4")


def test_an_earlier_file_stays_until_the_new_one_is_finished(film: Path) -> None:
    place = UnfinishedFile(film)
    assert place.create().name == "talk.unfinished.mp4"
    place.path.write_bytes(b"a new film")
    assert film.read_bytes() == b"an earlier film"
    place.finish()
    assert film.read_bytes() == b"a new film"
    assert os.listdir(film.parent) == ["talk.mp4"]


def test_a_file_that_stays_incomplete_is_kept_beside_the_earlier_one(film: Path) -> None:
    place = UnfinishedFile(film)
    place.create().write_bytes(b"half a film")
    assert place.keep().read_bytes() == b"half a film"
    assert film.read_bytes() == b"an earlier film"
    another = UnfinishedFile(film)
    assert another.create() != place.path
    another.discard()
    assert sorted(os.listdir(film.parent)) == ["talk.mp4", "talk.unfinished.mp4"]


def test_an_incomplete_file_takes_its_name_where_that_is_free(tmp_path: Path) -> None:
    place = UnfinishedFile(tmp_path / "talk.mp4", whole=True)
    place.create().write_bytes(b"half a film")
    assert not (tmp_path / "talk.mp4").exists()
    assert place.keep() == tmp_path / "talk.mp4"
    assert os.listdir(tmp_path) == ["talk.mp4"]


def test_a_live_file_is_found_under_its_own_name(tmp_path: Path) -> None:
    assert UnfinishedFile(tmp_path / "talk.mp4").create() == tmp_path / "talk.mp4"


def test_a_file_is_not_replaced_without_leave(film: Path) -> None:
    with pytest.raises(FileExistsError):
        UnfinishedFile(film, overwrite=False).create()
    assert os.listdir(film.parent) == ["talk.mp4"]


def test_a_link_stays_a_link_and_keeps_its_files_rights(film: Path, tmp_path: Path) -> None:
    film.chmod(0o640)
    link = tmp_path / "link.mp4"
    link.symlink_to(film)
    place = UnfinishedFile(link)
    place.create().write_bytes(b"a new film")
    place.finish()
    assert link.is_symlink()
    assert (film.read_bytes(), film.stat().st_mode & 0o777) == (b"a new film", 0o640)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="who is root may write to everything")
def test_a_file_that_is_protected_against_writing_stays(film: Path) -> None:
    film.chmod(0o444)
    with pytest.raises(PermissionError):
        UnfinishedFile(film).create()
