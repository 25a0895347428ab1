"""The public face: the examples of docs/embedding.md run as they stand, on the photos that ship."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image as Pillow

import livehead
from livehead.frames import Image

ROOT = Path(__file__).resolve().parents[1]
ASSETS = ROOT / "livehead" / "assets"
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs" / "embedding.md").read_text("utf-8"), re.M | re.S)
ONE_PICTURE, VIDEO, LIVE = EXAMPLES
VIDEO_FRAMES = 4


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of an example: the photo, a picture of the performer, and a few pictures for a video."""
    shutil.copy(ASSETS / "drawn.png", tmp_path / "me.png")
    performer = Pillow.open(ASSETS / "astronaut.png").convert("RGB")
    performer.save(tmp_path / "neutral.png")
    performer.rotate(12).save(tmp_path / "performer.png")
    (tmp_path / "pictures").mkdir()
    for number in range(VIDEO_FRAMES):
        performer.rotate(4 * number).save(tmp_path / "pictures" / f"{number:04}.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LIVEHEAD_HOME", str(tmp_path / "home"))
    return tmp_path


def run_example(text: str) -> None:
    exec(compile(text, "docs/embedding.md", "exec"), {"__name__": "__main__"})


def read_image(path: Path) -> Image:
    return np.asarray(Pillow.open(path).convert("RGB"))


def test_the_first_example_gives_a_picture_of_the_avatar_that_has_moved(folder: Path) -> None:
    run_example(ONE_PICTURE)
    picture = read_image(folder / "avatar.png")
    photo = np.asarray(Pillow.open(folder / "me.png").convert("RGB").resize((512, 512)))
    performer = np.asarray(Pillow.open(folder / "performer.png").convert("RGB").resize((512, 512)))
    assert picture.shape == (512, 512, 3)
    assert 1 < mean_difference(picture, photo) < mean_difference(picture, performer) / 2


def test_the_second_example_gives_a_video_in_which_the_avatar_turns_with_the_performer(folder: Path) -> None:
    run_example(VIDEO)
    with av.open(str(folder / "avatar.mp4")) as video:
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
        assert video.streams.video[0].average_rate == 25
    assert len(frames) == VIDEO_FRAMES
    assert frames[0].shape == (512, 512, 3)
    assert mean_difference(frames[0], frames[-1]) > 1
    assert np.abs(frames[0][4, 4].astype(int) - (0x20, 0x40, 0x60)).max() < 12, "the background that was asked for"


def test_the_third_example_runs_live_to_the_end_of_its_capture(folder: Path) -> None:
    run_example(LIVE)
    picture = read_image(folder / "last.png")
    assert picture.shape == (360, 640, 3)
    assert picture.std() > 20


def mean_difference(one: Image, other: Image) -> float:
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


def test_there_are_three_examples_and_they_import_nothing_of_livehead_but_its_face() -> None:
    for text in EXAMPLES:
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom):
                assert not (node.module or "").startswith("livehead")
            if isinstance(node, ast.Import):
                assert all(name.name == "livehead" or not name.name.startswith("livehead.") for name in node.names)
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "livehead":
                assert node.attr in livehead.__all__


@pytest.mark.parametrize("name", livehead.__all__)
def test_every_public_name_exists(name: str) -> None:
    assert getattr(livehead, name) is not None
    assert name in dir(livehead)


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'load_avatr'"):
        livehead.load_avatr  # type: ignore[attr-defined]  # noqa: B018


def test_importing_livehead_loads_nothing_heavy() -> None:
    heavy = "{'torch', 'cv2', 'mediapipe', 'aiortc', 'numpy', 'av'}"
    code = f"import sys, livehead; print(sorted({heavy} & set(sys.modules)))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert told.stdout.strip() == "[]"
