"""Files of livehead's own: where they lie, that they are written whole, and that a cache stays small."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import platformdirs
import pytest

from livehead.environment import HOME_VARIABLE
from livehead.storage import OWNER_ONLY, evict_oldest, replace_file, storage_folder, write_atomically

posix = pytest.mark.skipif(sys.platform == "win32", reason="modes and links are POSIX's")


@pytest.mark.parametrize("kind", ["cache", "config", "data"])
def test_one_variable_moves_everything(
    kind: Literal["cache", "config", "data"], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(HOME_VARIABLE, raising=False)
    system = getattr(platformdirs, f"user_{kind}_path")("livehead")
    assert storage_folder(kind, "things") == system / "things"
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    assert storage_folder(kind, "things") == tmp_path / "things"


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text("before")
    with replace_file(path, suffix=".json") as partial:
        partial.write_text("half of it")
        assert path.read_text() == "before"
        assert (partial.parent, partial.suffix) == (path.parent, ".json")
        partial.write_text("all of it")
    assert path.read_text() == "all of it"
    assert os.listdir(tmp_path) == ["report.json"]


def test_an_error_leaves_the_old_content_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text("before")
    with pytest.raises(ValueError, match="no report"):
        _fail_while_writing(path)
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["report.json"]


def test_text_and_bytes_are_written(tmp_path: Path) -> None:
    write_atomically(tmp_path / "text", "naïve\n")
    write_atomically(tmp_path / "bytes", b"\x00\xff")
    assert (tmp_path / "text").read_bytes() == "naïve\n".encode()
    assert (tmp_path / "bytes").read_bytes() == b"\x00\xff"
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "nowhere" / "text", "")


@posix
def test_only_the_owner_reads_what_is_his(tmp_path: Path) -> None:
    write_atomically(tmp_path / "key", b"", mode=OWNER_ONLY)
    write_atomically(tmp_path / "plain", b"")
    (tmp_path / "as_open_makes_it").touch()
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("key", "plain", "as_open_makes_it")]
    assert modes[0] == 0o600
    assert modes[1] == modes[2]


@posix
def test_a_link_stays_and_a_device_is_written_to(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write_atomically(tmp_path / "link", "content")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "content"
    write_atomically(Path(os.devnull), "content")
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)


def test_a_cache_drops_what_was_used_longest_ago(tmp_path: Path) -> None:
    for age, name in enumerate(("new", "recent", "older", "oldest")):
        _write_aged(tmp_path / f"{name}.blob", 10, age)
    _write_aged(tmp_path / "foreign.txt", 10, 99)
    evict_oldest(tmp_path, "*.blob", max_files=3)
    assert _names(tmp_path) == ["foreign.txt", "new.blob", "older.blob", "recent.blob"]
    evict_oldest(tmp_path, "*.blob", max_files=3, max_bytes=20)
    assert _names(tmp_path) == ["foreign.txt", "new.blob", "recent.blob"]
    evict_oldest(tmp_path, "*.blob", max_files=3, max_bytes=5)
    assert _names(tmp_path) == ["foreign.txt", "new.blob"], "the newest stays however large it is"


def test_a_cache_drops_what_a_crash_left_unfinished(tmp_path: Path) -> None:
    _write_aged(tmp_path / "new.blob", 10, 0)
    _write_aged(tmp_path / ".partial-being-written", 10, 60)
    _write_aged(tmp_path / ".partial-of-a-crash", 10, 4000)
    evict_oldest(tmp_path, "*.blob", max_files=3)
    assert _names(tmp_path) == [".partial-being-written", "new.blob"]


def _fail_while_writing(path: Path) -> None:
    with replace_file(path) as partial:
        partial.write_text("half of it")
        raise ValueError("no report")


def _write_aged(path: Path, size: int, age_s: float) -> None:
    path.write_bytes(bytes(size))
    os.utime(path, (1e9 - age_s, 1e9 - age_s))


def _names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


foreign = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0 or shutil.which("setpriv") is None,
    reason="only root on Linux can become a user whom the system does not know",
)
FOREIGN = ["setpriv", "--reuid", "12345", "--regid", "12345", "--clear-groups"]
ROOT = Path(__file__).parents[1]


def run_as_stranger(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """``command`` by a user in no list of users, with ``environment`` and nothing else."""
    words = [*FOREIGN, sys.executable, *command]
    variables = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **environment}
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, env=variables, cwd="/", check=False)
    if "Permission denied" in done.stderr and not done.stdout and "livehead" not in done.stderr:
        pytest.skip("this Python may not be run by other users")
    return done


SHOW_FOLDERS = """
import os, stat
from livehead.storage import storage_folder
folders = [storage_folder(kind, "things") for kind in ("cache", "config", "data")]
for folder in folders:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "kept").write_text("well")
assert len(set(folders)) == 1, folders
print(folders[0].parent, oct(stat.S_IMODE(os.stat(folders[0].parent).st_mode)))
"""


@foreign
@pytest.mark.parametrize("home", ["none", "unreadable", "absent", "unreadable LIVEHEAD_HOME"])
def test_without_a_usable_home_there_is_a_temporary_folder_and_one_line(home: str, tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    environments: dict[str, dict[str, str]] = {
        "none": {},
        "unreadable": {"HOME": str(private)},
        "absent": {"HOME": "/nonexistent"},
        "unreadable LIVEHEAD_HOME": {HOME_VARIABLE: str(private), "HOME": str(private)},
    }
    done = run_as_stranger("-c", SHOW_FOLDERS, **environments[home])
    assert done.returncode == 0, done.stderr
    folder, mode = done.stdout.split()
    assert mode == "0o700"
    assert not Path(folder).exists(), "it ends with the process"
    assert done.stderr.count("\n") == 1
    assert folder in done.stderr
    assert HOME_VARIABLE in done.stderr


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user of the machine may read, which ``tmp_path`` is not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@foreign
def test_networks_and_profiles_are_read_where_they_may_not_be_written(open_folder: Path) -> None:
    home = open_folder / "models"
    (home / "weights").mkdir(parents=True)
    code = (
        "from livehead.storage import storage_folder as find; print(find('data', 'weights'), find('cache', 'avatars'))"
    )
    done = run_as_stranger("-c", code, LIVEHEAD_HOME=str(home))
    weights, avatars = done.stdout.split()
    assert weights == str(home / "weights")
    assert not avatars.startswith(str(home))


def test_without_any_folder_the_error_says_what_to_set() -> None:
    code = "import tempfile; tempfile.tempdir = '/nonexistent'\nfrom livehead.storage import storage_folder\n"
    code += "from livehead.errors import ConfigError\n"
    code += "try: storage_folder('cache', 'x')\nexcept ConfigError as error: print(error)"
    environment = {**os.environ, HOME_VARIABLE: os.devnull}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert f"set {HOME_VARIABLE}" in done.stdout


@foreign
def test_a_temporary_home_that_a_kill_left_behind_goes_with_the_next() -> None:
    leave = SHOW_FOLDERS + "import sys; sys.stdout.flush(); os.kill(os.getpid(), 9)"
    left = Path(run_as_stranger("-c", leave).stdout.split()[0])
    assert left.is_dir()
    assert run_as_stranger("-c", SHOW_FOLDERS).returncode == 0
    assert not left.exists()
