"""One picture of a performer is enough for a picture, or a film, of the avatar with that expression."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from livehead.bench.voice_timing import RATE, synthesize_babble
from livehead.cli import EXIT_BAD_INPUT, main
from livehead.evaluation.speech import lip_opening
from livehead.perception.face_mesh import FaceMeshTracker
from tests.assembly.film_reading import read_pictures
from tests.fixtures.sound_files import write_sound

ASSETS = Path(__file__).parents[2] / "livehead" / "assets"
ASTRONAUT, DRAWN = ASSETS / "astronaut.png", ASSETS / "drawn.png"


def animate(out: Path, *more: str, avatar: Path = DRAWN, driving: Path = ASTRONAUT) -> int:
    command = ["animate", "--avatar", str(avatar), "--driving", str(driving), "--out", str(out), "--model", "warp"]
    return main([*command, "--fit", "crop", "--render-size", "256", *more])


def mouth_opening(picture: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> float:
    with FaceMeshTracker(static=True) as tracker:
        return float(lip_opening(tracker.detect(picture)[0].points3d())[0])


@pytest.mark.usefixtures("home")
def test_the_avatar_takes_the_smile_of_a_picture(tmp_path: Path) -> None:
    assert animate(tmp_path / "smile.png") == 0
    assert animate(tmp_path / "calm.jpg", driving=DRAWN) == 0
    smiling, calm = (np.asarray(Pillow.open(tmp_path / name).convert("RGB")) for name in ("smile.png", "calm.jpg"))
    assert smiling.shape == calm.shape
    assert mouth_opening(smiling) > mouth_opening(calm) + 0.02


@pytest.mark.usefixtures("home")
def test_a_film_keeps_the_expression_and_lives(tmp_path: Path) -> None:
    out = tmp_path / "smile.mp4"
    assert animate(out, "--fps", "10", "--end", "1.5") == 0
    pictures = read_pictures(out)
    assert len(pictures) == 15
    assert np.abs(pictures[0].astype(int) - pictures[-1]).max() > 10
    assert animate(tmp_path / "default.mp4", "--fps", "2") == 0
    assert len(read_pictures(tmp_path / "default.mp4")) == 10


@pytest.mark.usefixtures("home")
def test_a_voice_speaks_over_the_expression(tmp_path: Path) -> None:
    sound = np.concatenate([np.zeros(RATE, np.float32), synthesize_babble(1.0)])
    voice, out = write_sound(tmp_path / "voice.wav", sound[None], RATE), tmp_path / "out.mp4"
    assert animate(out, "--audio", str(voice), "--fps", "10") == 0
    pictures = read_pictures(out)
    assert len(pictures) == 20
    openings = [mouth_opening(picture) for picture in pictures]
    assert max(openings[11:]) > max(openings[:9]) + 0.02


@pytest.mark.usefixtures("home")
def test_a_picture_without_a_face_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blank = tmp_path / "blank.png"
    Pillow.new("RGB", (300, 300), "grey").save(blank)
    assert animate(tmp_path / "out.png", driving=blank) == EXIT_BAD_INPUT
    assert "no face in" in capsys.readouterr().err


@pytest.mark.usefixtures("home")
def test_a_picture_cannot_speak(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    voice = write_sound(tmp_path / "voice.wav", np.zeros((1, RATE), np.float32), RATE)
    assert animate(tmp_path / "out.png", "--audio", str(voice)) == EXIT_BAD_INPUT
    assert "a picture has no sound" in capsys.readouterr().err


@pytest.mark.usefixtures("home")
def test_head_and_shoulders_are_shown_as_large_as_they_are_rendered(tmp_path: Path) -> None:
    assert animate(tmp_path / "head.png", avatar=ASTRONAUT) == 0
    assert Pillow.open(tmp_path / "head.png").size == (256, 256)


@pytest.mark.usefixtures("home")
def test_numbered_pictures_are_a_film_that_one_picture_moves(tmp_path: Path) -> None:
    assert animate(tmp_path / "frames" / "%03d.png", "--fps", "5", "--end", "1") == 0
    assert len(list((tmp_path / "frames").iterdir())) == 5
