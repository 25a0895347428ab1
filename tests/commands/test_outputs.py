"""No output of a command is one of its inputs, by whatever name, and no file is written twice."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from livehead.assembly.synthetic_performer import DRAWN_PORTRAIT
from livehead.cli import EXIT_BAD_INPUT, main

Alias = Callable[[Path], str]


def same_name(path: Path) -> str:
    return str(path)


def hard_link(path: Path) -> str:
    alias = path.with_stem(f"{path.stem}-hard")
    os.link(path, alias)
    return str(alias)


def symbolic_link(path: Path) -> str:
    alias = path.with_stem(f"{path.stem}-soft")
    alias.symlink_to(path)
    return str(alias)


def relative_path(path: Path) -> str:
    return os.path.relpath(path)


def roundabout_path(path: Path) -> str:
    return str(path.parent / ".." / path.parent.name / path.name)


ALIASES: tuple[Alias, ...] = (same_name, hard_link, symbolic_link, relative_path, roundabout_path)

PHOTO, VIDEO, SOUND, MOTION, TOML, CLIPS, OTHER = "PHOTO", "VIDEO", "SOUND", "MOTION", "TOML", "CLIPS", "OTHER"
"""Stand for an input of that kind; OTHER for the input under test by its other name."""

COMMANDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "animate: the sound": (SOUND, ("animate", "--avatar", PHOTO, "--audio", SOUND, "--out", OTHER)),
    "animate: the performer": (VIDEO, ("animate", "--avatar", PHOTO, "--driving", VIDEO, "--out", OTHER)),
    "animate: the photo": (PHOTO, ("animate", "--avatar", PHOTO, "--driving", VIDEO, "--out", OTHER)),
    "animate: the background": (
        "BACK",
        ("animate", "--avatar", PHOTO, "--driving", VIDEO, "--background", "BACK", "--out", OTHER),
    ),
    "animate: the figures": (
        TOML,
        ("animate", "--avatar", PHOTO, "--driving", VIDEO, "--config", TOML, "--out", "new.mp4", "--json", OTHER),
    ),
    "run: the camera file": (
        VIDEO,
        ("run", "--avatar", PHOTO, "--capture", f"file:{VIDEO}", "--sink", f"file:{OTHER}", "--overwrite"),
    ),
    "run: the microphone file": (
        SOUND,
        (*("run", "--avatar", PHOTO, "--driver", "idle", "--microphone", f"file:{SOUND}"), "--overwrite")
        + ("--sink", f"file:{OTHER}"),
    ),
    "run: the motion": (
        MOTION,
        (*("run", "--avatar", PHOTO, "--driver", f"motion:{MOTION}", "--sink", "null"), "--overwrite")
        + ("--record-motion", OTHER),
    ),
    "run: the motion that is played once": (
        MOTION,
        (*("run", "--avatar", PHOTO, "--driver", f"motion:once:{MOTION}", "--sink", "null"), "--overwrite")
        + ("--record-motion", OTHER),
    ),
    "run: the photo": (
        PHOTO,
        ("run", "--avatar", PHOTO, "--driver", "idle", "--sink", "null", "--record-motion", OTHER, "--overwrite"),
    ),
    "run: the figures": (
        TOML,
        ("run", "--avatar", PHOTO, "--driver", "idle", "--sink", "null", "--config", TOML, "--json", OTHER),
    ),
    "pose: the photo": (PHOTO, ("pose", "--in", PHOTO, "--out", OTHER)),
    "pose: the video": (VIDEO, ("pose", "--in", VIDEO, "--out", OTHER)),
    "reconstruct: the photo": (PHOTO, ("reconstruct", "--image", PHOTO, "--out", "new.glb", "--json", OTHER)),
    "evaluate: a clip": ("CLIP", ("evaluate", "--clips", CLIPS, "--json", OTHER)),
    "bench: the settings": (TOML, ("bench", "model", "--config", TOML, "--json", OTHER)),
    "verify: the film": (VIDEO, ("verify", VIDEO, "--json", OTHER)),
}


@pytest.fixture
def inputs(tmp_path: Path, talk: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """One file of each kind in the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clips").mkdir()
    files = {PHOTO: "me.png", VIDEO: "talk.mp4", SOUND: "speech.mp4", MOTION: "face.npz", TOML: "mine.toml"}
    found = {kind: tmp_path / name for kind, name in files.items()}
    found |= {"BACK": tmp_path / "back.png", CLIPS: tmp_path / "clips", "CLIP": tmp_path / "clips" / "one.mp4"}
    shutil.copy(DRAWN_PORTRAIT, found[PHOTO])
    shutil.copy(DRAWN_PORTRAIT, found["BACK"])
    for kind in (VIDEO, SOUND, "CLIP"):
        shutil.copy(talk, found[kind])
    found[MOTION].write_bytes(b"not looked at")
    found[TOML].write_text("")
    return found


@pytest.mark.parametrize("alias", ALIASES, ids=lambda alias: alias.__name__)
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS.keys())
def test_an_output_that_is_an_input_is_refused_and_the_input_stays(
    command: tuple[str, tuple[str, ...]], alias: Alias, inputs: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    kind, words = command
    wanted = inputs[kind]
    other = alias(wanted)
    before = wanted.read_bytes()
    names = {OTHER: other} | {name: str(path) for name, path in inputs.items()}
    arguments = ["".join(names.get(part, part) for part in split_spec(word)) for word in words]
    assert main(arguments) == EXIT_BAD_INPUT
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "read and cannot be written too" in said
    assert wanted.read_bytes() == before


def split_spec(word: str) -> list[str]:
    """``file:VIDEO`` in its parts, the last colon one of them."""
    name, colon, rest = word.rpartition(":")
    return [name, colon, rest]


def test_nothing_heavy_is_loaded_before_an_input_is_refused_as_output(inputs: dict[str, Path]) -> None:
    program = (
        "import sys\n"
        "from livehead.cli import main\n"
        "status = main(sys.argv[1:])\n"
        "print(status, sorted({'torch', 'mediapipe', 'aiortc'} & set(sys.modules)))\n"
    )
    photo, video = str(inputs[PHOTO]), str(inputs[VIDEO])
    for arguments in (
        ["animate", "--avatar", photo, "--driving", video, "--out", hard_link(inputs[VIDEO])],
        ["run", "--avatar", photo, "--capture", f"file:{video}", "--sink", f"file:{video}"],
    ):
        done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=60)
        assert done.stdout.strip() == f"{EXIT_BAD_INPUT} []", done.stderr


def test_a_file_is_not_written_by_two_outputs(inputs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    run = ["run", "--avatar", str(inputs[PHOTO]), "--driver", "idle"]
    for outputs in (
        ["--sink", "file:a.mp4", "--sink", f"file:{Path.cwd() / 'a.mp4'}"],
        ["--sink", "null", "--record-motion", "a.npz", "--json", "clips/../a.npz"],
    ):
        assert main([*run, *outputs]) == EXIT_BAD_INPUT
        assert "named for two outputs" in capsys.readouterr().err
    pose = ["pose", "--in", str(inputs[PHOTO]), "--out", "a.json", "./a.json"]
    assert main(pose) == EXIT_BAD_INPUT
    assert "named for two outputs" in capsys.readouterr().err


def test_a_live_recording_does_not_replace_a_file_without_leave(
    inputs: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for outputs in (["--sink", "file:speech.mp4"], ["--sink", "null", "--record-motion", "face.npz"]):
        before = {path.name: path.read_bytes() for path in Path().glob("*.*")}
        assert main(["run", "--avatar", "me.png", "--driver", "idle", *outputs]) == EXIT_BAD_INPUT
        assert "exists already: give --overwrite" in capsys.readouterr().err
        assert {path.name: path.read_bytes() for path in Path().glob("*.*")} == before


def test_training_does_not_write_where_it_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "latest.pt").write_bytes(b"weights")
    arguments = ["train", "compact", "--data", str(tmp_path), "--out", str(run), "--init", str(run / "latest.pt")]
    assert main(arguments) == EXIT_BAD_INPUT
    assert "give another --out" in capsys.readouterr().err
    assert main(["train", "compact", "--data", str(run), "--out", str(run)]) == EXIT_BAD_INPUT
    assert "holds the data" in capsys.readouterr().err
