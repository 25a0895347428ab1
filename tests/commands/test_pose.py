"""``livehead pose``: a photo or a film in, OpenPose's JSON and a picture out."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from livehead.cli import EXIT_BAD_INPUT, main


def pose(*arguments: object) -> int:
    return main(["pose", *(str(argument) for argument in arguments)])


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert pose(*arguments) == EXIT_BAD_INPUT
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("livehead pose: ")
    return line


def test_a_photo_becomes_json_and_a_picture(photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, picture = tmp_path / "pose.json", tmp_path / "pose.png"
    assert pose("--in", photo, "--out", text, picture, tmp_path) == 0
    [person] = json.loads(text.read_text())["people"]
    assert len(person["pose_keypoints_2d"]) == 75
    assert json.loads((tmp_path / f"{photo.stem}_keypoints.json").read_text())["people"] == [person]
    drawn, plain = (np.asarray(Image.open(path).convert("RGB"), int) for path in (picture, photo))
    assert drawn.shape == plain.shape
    assert 0.005 < (np.abs(drawn - plain).max(axis=2) > 40).mean() < 0.2
    assert "one person found by mediapipe" in capsys.readouterr().err


def test_that_one_person_only_is_found_is_told_with_what_finds_more(
    photo: Path, talk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    for source in (photo, talk):
        text = tmp_path / f"{source.stem}.json"
        assert pose("--in", source, "--out", text) == 0
        line = capsys.readouterr().err.strip().splitlines()[-1]
        assert "mediapipe finds one person at most" in line
        assert "livehead weights import pose_iter_584000.caffemodel --as openpose-body25" in line
        assert json.loads(text.read_text())["finder"] == {"model": "mediapipe", "max_people": 1}
    with pytest.raises(SystemExit):
        pose("--help")
    assert "mediapipe, which finds one person only" in " ".join(capsys.readouterr().out.split())


def test_points_are_told_in_the_pixels_of_a_photo_however_large(photo: Path, tmp_path: Path) -> None:
    large = tmp_path / "large.jpg"
    with Image.open(photo) as opened:
        size = 2560
        turned = opened.convert("RGB").resize((size, size)).rotate(90)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter to the right: upright again
    turned.save(large, exif=exif)
    for source, name in ((photo, "small"), (large, "large")):
        assert pose("--in", source, "--out", tmp_path / f"{name}.json") == 0
    small, big = (json.loads((tmp_path / f"{n}.json").read_text())["people"][0] for n in ("small", "large"))
    nose = np.array(small["pose_keypoints_2d"][:2]) * size / 512
    assert big["pose_keypoints_2d"][:2] == pytest.approx(nose, abs=size * 0.03)


def test_nobody_is_an_empty_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wall = tmp_path / "wall.png"
    Image.new("RGB", (200, 100), (90, 90, 90)).save(wall)
    assert pose("--in", wall, "--out", tmp_path / "wall.json") == 0
    assert json.loads((tmp_path / "wall.json").read_text())["people"] == []
    assert "nobody found" in capsys.readouterr().err


def test_a_film_becomes_a_film_and_a_text_of_every_frame(talk: Path, tmp_path: Path) -> None:
    film, text, folder = tmp_path / "out.mp4", tmp_path / "out.json", tmp_path / "frames"
    assert pose("--in", talk, "--out", film, text, folder) == 0
    with av.open(str(film)) as container:
        frames = sum(1 for _ in container.decode(video=0))
    told = json.loads(text.read_text())["frames"]
    assert frames == len(told) == len(list(folder.glob("talk_*_keypoints.json"))) == 20
    assert told[10]["seconds"] == pytest.approx(1.0, abs=0.01)
    assert sum(bool(frame["people"]) for frame in told) > 10


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--out", "a.mp4"), r"\.png"),
        (("--out", "a.txt"), r"\.json"),
        (("--out", "a.json", "--model", "openpose-body52"), "openpose-body25"),
        (("--out", "a.json", "--model", "openpose-body25"), "livehead weights import pose_iter_584000.caffemodel"),
        (("--out", "a.json", "--hands"), "--as openpose-hand21"),
        (("--out", "a.json", "--model", "mediapipe", "--scales", "2"), "--scales"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    photo: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], complaint: str
) -> None:
    import re

    assert re.search(complaint, refused(capsys, "--in", photo, *arguments))


def test_files_that_are_no_pictures_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "a.json"
    assert "nobody.jpg" in refused(capsys, "--in", tmp_path / "nobody.jpg", "--out", out)
    for name in ("cut.jpg", "text.mp4", "what"):
        path = tmp_path / name
        path.write_bytes(b"\xff\xd8\xff\xe0 cut off")
        assert name in refused(capsys, "--in", path, "--out", out)
    assert not out.exists()
