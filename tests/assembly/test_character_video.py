"""``livehead animate`` of a character sheet, with networks of tiny width in the place of the imported ones."""

import json

import av
import numpy as np
import pytest
from PIL import Image

from livehead.assembly import character_video
from livehead.cli import main
from livehead.figure.mannequin import RELAXED_POSE, MannequinPose, draw_mannequin
from livehead.models.engine import choose_execution_config
from livehead.renderers.conr import ConrRenderer
from livehead.weights.checkpoint_store import CheckpointStore

FRAMES = 3


@pytest.fixture
def sheet(tmp_path):
    folder = tmp_path / "sheet"
    folder.mkdir()
    Image.fromarray(draw_mannequin(RELAXED_POSE, 128).image).save(folder / "front.png")
    return folder


@pytest.fixture
def poses(tmp_path):
    folder = tmp_path / "poses"
    folder.mkdir()
    for number in range(FRAMES):
        np.savez(folder / f"{number}.npz", i=draw_mannequin(MannequinPose(left_arm=0.4 * number - 0.8), 120).pose)
    return folder


@pytest.fixture
def drawn_tiny(monkeypatch, tiny_conr):
    monkeypatch.setattr(CheckpointStore, "read_record", lambda self, name: None)
    monkeypatch.setattr(character_video, "weights_version", lambda: "tiny")
    monkeypatch.setattr(
        character_video,
        "make_renderer",
        lambda name, size, precision: ConrRenderer(tiny_conr, choose_execution_config("fp32")),
    )


def animate(sheet, driving, out, *options):
    arguments = ["animate", "--avatar", sheet, "--driving", driving, "--out", out, "--render-size", 128, *options]
    return main([str(argument) for argument in arguments])


def refused(capsys, *arguments):
    assert animate(*arguments) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("livehead animate: ")
    return said


def shown(path):
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_poses_become_a_video_of_their_size(drawn_tiny, sheet, poses, tmp_path):
    out, figures = tmp_path / "out.mp4", tmp_path / "out.json"
    assert animate(sheet, poses, out, "--background", "#00ff00", "--fps", 10, "--json", figures) == 0
    pictures = shown(out)
    assert [picture.shape for picture in pictures] == [(120, 120, 3)] * FRAMES
    corner = pictures[0][2:6, 2:6].reshape(-1, 3).mean(axis=0)
    assert np.abs(corner - (0, 255, 0)).max() < 12, "outside the window there is nothing but the background"
    results = json.loads(figures.read_text())["results"]
    assert results["frames"] == FRAMES
    assert results["pose_found"] == 1


def test_the_pose_stands_beside_the_picture_where_asked_for(drawn_tiny, sheet, poses, tmp_path):
    assert animate(sheet, poses, tmp_path / "out.mp4", "--debug-panels") == 0
    picture = shown(tmp_path / "out.mp4")[0]
    assert picture.shape == (120, 240, 3)
    assert picture[:, 120:].std() > 10


def test_pictures_and_videos_pose_too(drawn_tiny, sheet, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(2):
        Image.fromarray(draw_mannequin(MannequinPose(left_arm=number), 100).image).save(folder / f"{number}.png")
    assert animate(sheet, folder, tmp_path / "a.mp4") == 0
    assert len(shown(tmp_path / "a.mp4")) == 2
    assert animate(sheet, tmp_path / "a.mp4", tmp_path / "b.mp4") == 0
    assert len(shown(tmp_path / "b.mp4")) == 2


def test_without_weights_one_line_says_how_to_get_them(sheet, poses, tmp_path, capsys):
    said = refused(capsys, sheet, poses, tmp_path / "out.mp4")
    assert "livehead weights import udpparsernet.pth target_pose_encoder.pth shader.pth rgbadecodernet.pth" in said


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--model", "warp"), "--model conr"),
        (("--udp-axes", "xyq"), "no order of axes"),
        (("--background", "blur"), "no background to blur"),
        (("--relative",), "for faces"),
    ],
)
def test_options_that_make_no_sense_are_refused(drawn_tiny, sheet, poses, tmp_path, capsys, options, complaint):
    assert complaint in refused(capsys, sheet, poses, tmp_path / "out.mp4", *options)


def test_bad_poses_and_sheets_are_one_line(drawn_tiny, sheet, poses, tmp_path, capsys):
    assert "does not exist" in refused(capsys, sheet, tmp_path / "none", tmp_path / "out.mp4")
    assert ".mp4" in refused(capsys, sheet, poses, tmp_path / "out.gif")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "neither poses nor pictures" in refused(capsys, sheet, empty, tmp_path / "out.mp4")
    Image.fromarray(np.full((90, 90, 3), 9, np.uint8)).save(sheet / "wall.jpg")
    assert "no transparent background" in refused(capsys, sheet, poses, tmp_path / "out.mp4")


def test_a_single_cut_out_picture_is_a_sheet_if_the_model_says_so(drawn_tiny, sheet, poses, tmp_path):
    assert animate(sheet / "front.png", poses, tmp_path / "out.mp4", "--model", "conr") == 0


@pytest.mark.parametrize(
    "command", [("run", "--sink", "null", "--driver", "idle"), ("serve",), ("animate", "--driving", "x.mp4")]
)
def test_commands_for_faces_say_what_draws_characters(sheet, photo, tmp_path, capsys, command):
    name, *options = command
    out = ["--out", str(tmp_path / "o.mp4")] if name == "animate" else []
    if name != "animate":
        assert main([name, "--avatar", str(sheet), *options]) == 2
        assert "livehead animate --avatar SHEET" in capsys.readouterr().err
        assert main([name, "--avatar", str(photo), "--model", "conr", *options]) == 2
        assert "livehead animate --avatar SHEET" in capsys.readouterr().err
    else:
        assert main([name, "--avatar", str(sheet), "--model", "compact", *options, *out]) == 2
        assert "which compact cannot draw" in capsys.readouterr().err
