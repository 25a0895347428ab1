"""A process that is killed at any step of a write leaves the old content or the new one, and nothing that harms."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from livehead.assembly.profiles import CallProfile, ProfileStore
from livehead.avatars.archive import read_archive, write_archive
from livehead.motion.keypoints import Keypoints
from livehead.storage import remove_abandoned
from livehead.training.checkpoint import read_checkpoint
from livehead.weights.checkpoint_store import CheckpointStore
from tests.test_untrusted_files import few_points

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no signal there kills at a number of bytes")

CHILD = """
import os, resource, signal, sys
from pathlib import Path
import torch
from livehead.assembly.profiles import CallProfile, ProfileStore
from livehead.avatars.archive import write_archive
from livehead.training.checkpoint import write_checkpoint
from livehead.weights.checkpoint_store import CheckpointStore
from tests.test_untrusted_files import few_points

writes = {
    "profile": lambda folder: ProfileStore(folder).save("office", CallProfile(mode="absolute")),
    "portrait": lambda folder: write_archive(folder / "a.npz", few_points(2)),
    "training": lambda folder: write_checkpoint({"step": 2, "w": torch.ones(5000)}, folder / "run.pt"),
    "ranges": lambda folder: CheckpointStore(folder).save_ranges("dagan", [], {"net": {"x": (0.0, 2.0)}}),
}

def write_until_killed(kind, folder, step, size):
    seen = 0
    def kill_at_step(event, arguments):
        nonlocal seen
        if event in ("os.rename", "os.remove", "os.mkdir") or event == "open" and folder in str(arguments[0]):
            seen += 1
            if seen == step:
                os.kill(os.getpid(), signal.SIGKILL)
    if size:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    else:
        sys.addaudithook(kill_at_step)
    writes[kind](Path(folder))
    os._exit(0)

for line in sys.stdin:
    kind, folder, step, size = line.split()
    pid = os.fork()
    if not pid:
        write_until_killed(kind, folder, int(step), int(size))
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""
KINDS = ("profile", "portrait", "training", "ranges")


def write_old(kind: str, folder: Path) -> None:
    if kind == "profile":
        ProfileStore(folder).save("office", CallProfile())
    elif kind == "portrait":
        write_archive(folder / "a.npz", few_points(1))
    elif kind == "training":
        from livehead.training.checkpoint import write_checkpoint

        write_checkpoint({"step": 1}, folder / "run.pt")
    else:
        CheckpointStore(folder).save_ranges("dagan", [], {"net": {"x": (0.0, 1.0)}})


def read_state(kind: str, folder: Path) -> int:
    """Return 1 where the old content is there, 2 where the new one is; anything else is an error."""
    if kind == "profile":
        assert ProfileStore(folder).list_names() == ["office"]
        return {"relative": 1, "absolute": 2}[ProfileStore(folder).load("office").mode]
    if kind == "portrait":
        return read_archive(Keypoints, folder / "a.npz").captured_ns // 40_000_000
    if kind == "training":
        return int(read_checkpoint(folder / "run.pt")["step"])
    assert CheckpointStore(folder).list_names() == []
    return int(CheckpointStore(folder).load_ranges("dagan", [])["net"]["x"][1])


WriteInAChild = Callable[[str, Path, int, int], int]


@pytest.fixture(scope="module")
def write_in_a_child() -> Iterator[WriteInAChild]:
    """Give the call that writes the new content in a process which is killed at a step or at a size in bytes.

    It returns that process's exit status.
    """
    with subprocess.Popen(
        [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        requests, answers = process.stdin, process.stdout
        assert requests is not None
        assert answers is not None

        def write(kind: str, folder: Path, step: int, size: int) -> int:
            requests.write(f"{kind} {folder} {step} {size}\n")
            requests.flush()
            return int(answers.readline())

        yield write


@pytest.mark.parametrize("kind", KINDS)
def test_a_write_killed_at_any_step_leaves_the_old_or_the_new(
    kind: str, tmp_path: Path, write_in_a_child: WriteInAChild
) -> None:
    states = []
    for step in range(1, 12):
        folder = tmp_path / str(step)
        folder.mkdir()
        write_old(kind, folder)
        status = write_in_a_child(kind, folder, step, 0)
        states.append(read_state(kind, folder))
        if status == 0:
            break
        assert status == -signal.SIGKILL
    assert states[-1] == 2
    assert 1 in states


@pytest.mark.parametrize("kind", KINDS)
def test_a_write_killed_at_any_byte_leaves_the_old_and_its_rest_is_swept(
    kind: str, tmp_path: Path, write_in_a_child: WriteInAChild
) -> None:
    for size in (1, 30):
        folder = tmp_path / str(size)
        folder.mkdir()
        write_old(kind, folder)
        assert write_in_a_child(kind, folder, 0, size) == -signal.SIGXFSZ
        assert read_state(kind, folder) == 1
        rests = [path for path in folder.rglob("*") if path.name.startswith(".")]
        assert len(rests) == 1
        os.utime(rests[0], (1, 1))
        remove_abandoned(rests[0].parent)
        assert not rests[0].exists()
