"""The command line's own doings, before any command's."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from livehead.cli import EXIT_BAD_INPUT, main

_TELL = """
import sys
from livehead.cli import main
try:
    main(["--version"])
except SystemExit:
    pass
import numpy, os
numpy.ones((700, 700)) @ numpy.ones((700, 700))
print(len(os.listdir("/proc/self/task")))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads as Linux lists them")
@pytest.mark.parametrize(("wished", "threads"), [(None, 1), ("2", 2)])
def test_numpy_works_on_one_thread_unless_the_user_wants_more(wished, threads):
    if (os.cpu_count() or 1) < threads:
        pytest.skip("needs two cores")
    env = {key: value for key, value in os.environ.items() if key != "OPENBLAS_NUM_THREADS"}
    env |= {} if wished is None else {"OPENBLAS_NUM_THREADS": wished}
    done = subprocess.run([sys.executable, "-c", _TELL], capture_output=True, text=True, check=True, env=env)
    assert int(done.stdout.splitlines()[-1]) == threads


def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "livehead", *arguments], stderr=subprocess.PIPE, text=True, check=False, **options
    )


def test_livehead_alone_prints_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == EXIT_BAD_INPUT
    said = capsys.readouterr()
    assert said.out.startswith("usage: livehead")
    assert "animate a photo live" in said.out
    assert said.err == ""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["animate", "--avatar", "https://example.org/me.jpg", "--out", "o.mp4"],
            "is an address, not a file: download it",
        ),
        (["run", "--avatr", "me.jpg", "--sink", "null"], "there is no --avatr me.jpg (livehead run --help lists"),
        (["paint"], "invalid choice: 'paint'"),
    ],
)
def test_arguments_that_cannot_be_used_are_told_in_one_line(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == EXIT_BAD_INPUT
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device here that is always full")
def test_an_output_that_takes_no_more_is_no_fault_of_livehead_s_own() -> None:
    with open("/dev/full", "w") as full:
        done = run("weights", "list", stdout=full)
    assert done.returncode == EXIT_BAD_INPUT
    told = "livehead weights: cannot write (No space left on device): make room on the disk"
    assert done.stderr.splitlines() == [told]


@pytest.mark.skipif(sys.platform == "win32", reason="pipes end otherwise there")
def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        done = run("weights", "list", stdout=pipe)
    assert (done.returncode, done.stderr) == (0, "")
