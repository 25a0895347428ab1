"""What may be given as --avatar, and which face of it is taken, by the commands as a person calls them."""

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from livehead.assembly.profiles import CallProfile, ProfileStore
from livehead.assembly.synthetic_performer import ASTRONAUT_PHOTO, DRAWN_PORTRAIT
from livehead.cli import main
from tests.commands.test_bad_input import idle, refused
from tests.fixtures.heic import encode_heic


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo of two people: the astronaut on the left, the drawn one, larger, on the right."""
    scene = Image.new("RGB", (1100, 600), (120, 130, 140))
    scene.paste(Image.open(ASTRONAUT_PHOTO).convert("RGB").crop((60, 0, 360, 300)).resize((500, 500)), (10, 60))
    scene.paste(Image.open(DRAWN_PORTRAIT).convert("RGB").resize((560, 560)), (530, 20))
    path = tmp_path_factory.mktemp("photos") / "pair.jpg"
    scene.save(path, quality=92)
    return path


def first_picture(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")


def run_to_file(capsys: pytest.CaptureFixture[str], out: Path, *arguments: object) -> str:
    """Record an idle avatar by ``livehead run``; gives what was said."""
    given = ("--driver", "idle", "--model", "warp", "--fit", "crop", "--size", "160x160", "--render-size", "128")
    command = ("run", *arguments, *given, "--sink", f"file:{out}", "--seconds", "0.3")
    status, said = main([str(each) for each in command]), capsys.readouterr().err
    assert status == 0, said
    return said


@pytest.mark.parametrize(("which", "number"), [("left", 1), ("right", 2), ("1", 1), ("largest", 2)])
def test_run_takes_the_face_that_is_named_and_tells_of_the_others(
    which: str, number: int, pair: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = run_to_file(capsys, tmp_path / "out.mp4", "--avatar", pair, "--face", which)
    assert f"pair.jpg: There are 2 faces in the photo; number {number} from the left is used. --face left" in said
    red, _, blue = first_picture(tmp_path / "out.mp4")[:30, :30].reshape(-1, 3).mean(axis=0)
    assert (blue < red + 10) == (number == 1), "the astronaut's wall is grey, the drawn one blue"


def test_a_configuration_file_names_the_face_and_a_profile_keeps_it(
    pair: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run.toml").write_text('[picture]\nface = "left"\n')
    given = ("--avatar", pair, "--config", tmp_path / "run.toml", "--profile", "me")
    assert "number 1 from the left" in run_to_file(capsys, tmp_path / "a.mp4", *given)
    assert ProfileStore().load("me").picture.face == "left"
    assert "number 1 from the left" in run_to_file(capsys, tmp_path / "b.mp4", "--profile", "me")
    assert "number 2 from the left" in run_to_file(capsys, tmp_path / "c.mp4", "--profile", "me", "--face", 2)
    assert CallProfile().picture.face == "largest"


@pytest.mark.parametrize("which", ["0", "middle", "-1", "1.5", "101", ""])
def test_a_face_that_cannot_be_meant_is_refused_before_anything_is_opened(
    which: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(capsys, *idle(tmp_path / "none.jpg"), f"--face={which}")
    assert "picture.face: give largest, left, right or a number, where 1 is the first from the left" in line


def test_a_face_that_is_not_there_is_refused_with_how_many_there_are(
    pair: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(capsys, *idle(pair), "--face", "3")
    assert "There is no face 3 in pair.jpg: there are 2 faces: choose one from 1 to 2, counted from the left" in line


def test_the_name_of_a_photo_keeps_its_ending_in_the_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (3, 300, 300, 3), np.uint8)
    first, *others = (Image.fromarray(each) for each in noise)
    first.save(tmp_path / "p_anim.webp", save_all=True, append_images=others)
    assert "No face was found in p_anim.webp: " in refused(capsys, *idle(tmp_path / "p_anim.webp"))


def test_the_best_picture_of_a_video_becomes_the_avatar_and_it_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film = tmp_path / "me.mp4"
    run_to_file(capsys, film, "--avatar", ASTRONAUT_PHOTO)
    said = run_to_file(capsys, tmp_path / "again.mp4", "--avatar", film)
    assert "me.mp4: the picture at 0." in said
    difference = np.abs(first_picture(film).astype(int) - first_picture(tmp_path / "again.mp4"))
    assert difference.mean() < 12


def test_an_animation_that_begins_in_black_becomes_an_avatar(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    astronaut = Image.open(ASTRONAUT_PHOTO).convert("RGB")
    black = Image.new("RGB", astronaut.size)
    black.save(tmp_path / "moving.webp", save_all=True, append_images=[black, astronaut], duration=80)
    assert "moving.webp: picture 2 of 2 is used" in run_to_file(
        capsys, tmp_path / "out.mp4", "--avatar", tmp_path / "moving.webp"
    )


def test_a_video_that_cannot_be_read_gets_a_remedy_for_videos(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cut.mp4").write_bytes(b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41" + bytes(40))
    assert "cut.mp4 is damaged or no media file: use another video, or a photo" in refused(
        capsys, *idle(tmp_path / "cut.mp4")
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "--avatar", "https://example.org/me.jpg", "--sink", "null"),
        ("animate", "--avatar", "https://example.org/me.jpg", "--audio", "a.wav", "--out", "o.mp4"),
        ("reconstruct", "--image", "https://example.org/me.jpg", "--out", "o.glb"),
    ],
)
def test_an_address_is_named_whole_and_what_to_do_instead(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ending:
        main(list(arguments))
    assert ending.value.code == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert "https://example.org/me.jpg is an address, not a file: download it and give the file's path" in line


def test_an_address_in_a_configuration_file_is_named_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "serve.toml").write_text('[serve]\navatar = "https://example.org/me.jpg"\n')
    line = refused(capsys, "serve", "--config", tmp_path / "serve.toml")
    assert "serve.avatar: an address is no file: download it and give the file's path" in line


def test_a_heic_photo_becomes_an_avatar(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "p.heic").write_bytes(encode_heic(Image.open(ASTRONAUT_PHOTO).convert("RGB")))
    run_to_file(capsys, tmp_path / "heic.mp4", "--avatar", tmp_path / "p.heic")
    run_to_file(capsys, tmp_path / "png.mp4", "--avatar", ASTRONAUT_PHOTO)
    difference = first_picture(tmp_path / "heic.mp4").astype(int) - first_picture(tmp_path / "png.mp4")
    assert np.abs(difference).mean() < 4
