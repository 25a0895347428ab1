"""What ``animate`` and ``bench`` cannot do is told in one line, before a photo is prepared or a network is loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from livehead.cli import EXIT_BAD_INPUT, main
from livehead.motion.keypoints import Keypoints
from livehead.protocol.motion_file import MotionRecorder


@pytest.fixture
def refused(photo: Path, tmp_path: Path, own_home: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that must be refused; gives its line, after a look that nothing was prepared."""

    def run(*arguments: str) -> str:
        before = sorted(own_home.iterdir())
        assert main(list(arguments)) == EXIT_BAD_INPUT
        assert sorted(own_home.iterdir()) == before, "something was prepared"
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1, lines
        return lines[0]

    return run


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--start", "1:00"), "lasts 2.0 s"),
        (("--start", "3", "--end", "2"), "is not after --start"),
        (("--end", "soon"), "'soon' is no moment"),
        (("--crf", "60"), "give 0 (the best) to 51"),
    ],
)
def test_wrong_parts_and_qualities(
    refused: Callable[..., str], photo: Path, talk: Path, tmp_path: Path, more: tuple[str, ...], said: str
) -> None:
    out = str(tmp_path / "o.mp4")
    line = refused("animate", "--avatar", str(photo), "--driving", str(talk), "--out", out, *more)
    assert said in line


def test_sound_that_ends_before_the_part(refused: Callable[..., str], photo: Path, talk: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "o.mp4")
    line = refused("animate", "--avatar", str(photo), "--audio", str(talk), "--out", out, "--start", "5")
    assert "give an earlier --start" in line


def test_motion_of_other_points(refused: Callable[..., str], photo: Path, tmp_path: Path, source: Keypoints) -> None:
    recording = tmp_path / "learned.npz"
    with MotionRecorder(recording) as recorder:
        recorder.add(replace(source, set="dagan15", value=source.value[:, :15], depth=None, torso=None))
    out = str(tmp_path / "o.mp4")
    line = refused("animate", "--avatar", str(photo), "--driving", str(recording), "--out", out)
    assert "holds dagan15 points, which compact does not take" in line


def test_nothing_to_measure(refused: Callable[..., str]) -> None:
    assert "pipeline | model | voice | webrtc | pose" in refused("bench")


def test_a_part_of_a_video_is_drawn_with_the_quality_that_was_asked_for(
    photo: Path, talk: Path, tmp_path: Path
) -> None:
    sizes = []
    for crf in ("10", "45"):
        out = tmp_path / f"{crf}.mp4"
        command = ["animate", "--avatar", str(photo), "--driving", str(talk), "--out", str(out), "--model", "warp"]
        assert main([*command, "--start", "0.5", "--end", "0:01.5", "--crf", crf, "--render-size", "128"]) == 0
        sizes.append(out.stat().st_size)
    assert sizes[0] > 1.5 * sizes[1]
