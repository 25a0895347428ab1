"""``livehead reconstruct`` from the command line; tiny networks at random stand where the imported ones would."""

import json
from functools import partial

import av
import cv2
import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from livehead.assembly import body_reconstruction
from livehead.cli import main
from livehead.errors import SourceError
from livehead.figure.mesh import read_mesh
from livehead.models.engine import ExecutionConfig
from livehead.models.pifuhd.build import PifuHdSizes, build_pifuhd
from livehead.models.pifuhd.implicit import DEPTH_SCALE
from livehead.models.pifuhd.reconstructor import BodyReconstructor, extract_body_mesh
from livehead.motion.body import BODY25, PersonKeypoints
from livehead.protocol.openpose_json import to_openpose_document
from livehead.weights.checkpoint_store import CheckpointStore

TINY = PifuHdSizes(
    normal_width=4,
    normal_halvings=1,
    normal_blocks=1,
    coarse_stacks=1,
    coarse_depth=1,
    coarse_features=4,
    coarse_widths=(8, 8, 4, 4, 1),
    fine_depth=1,
    fine_features=4,
    fine_widths=(8, 4, 4, 1),
)


def set_unit(layer, row, weights, bias=0.0):
    """Let output ``row`` of a layer be the sum of a few inputs."""
    layer.weight[row], layer.bias[row] = 0, bias
    for column, weight in weights.items():
        layer.weight[row, column] = weight


@pytest.fixture(scope="module")
def reconstructor():
    """Networks at random, but for a path through both functions that knows a plate: inside is |z| < 0.3."""
    torch.manual_seed(3)
    network = build_pifuhd(TINY).eval()
    coarse, fine = network.coarse_mlp.filters, network.fine_mlp.filters
    depth, leak = TINY.coarse_features, 0.99  # the input that is z; what a leaky |z| is short of it
    with torch.no_grad():
        for row, sign in enumerate((1.0, -1.0)):
            set_unit(coarse[0], row, {depth: sign})
            set_unit(coarse[2], row, {0: -sign / (leak * DEPTH_SCALE)}, bias=0.3 * sign)
            set_unit(fine[0], row, {TINY.fine_features: 60 * sign, TINY.fine_features + 1: -60 * sign})
            for layer in fine[1:3]:
                set_unit(layer, row, {0: sign, 1: -sign})
        set_unit(coarse[1], 0, {0: 1.0, 1: 1.0})
        set_unit(fine[3], 0, {0: 1.0, 1: -1.0})
    return BodyReconstructor(network, ExecutionConfig(torch.device("cpu"), torch.float32, "processor, fp32"), side=32)


@pytest.fixture
def weights(reconstructor, monkeypatch):
    """As if the checkpoint had been imported."""
    monkeypatch.setattr(CheckpointStore, "read_record", lambda self, name: None)
    monkeypatch.setattr(body_reconstruction, "load_reconstructor", lambda library, precision: reconstructor)


@pytest.fixture
def cutout(tmp_path):
    """A drawn figure with alpha and its points, as files."""
    alpha = np.zeros((600, 400), np.uint8)
    cv2.ellipse(alpha, (200, 300), (70, 240), 0, 0, 360, 255, -1)
    image = np.dstack([np.full((600, 400, 3), (200, 60, 60), np.uint8), alpha])
    path = tmp_path / "photo.png"
    Image.fromarray(image).save(path)
    points = np.full((25, 3), 0.9, np.float32)
    points[:, 0] = 200
    points[:, 1] = np.linspace(70, 530, 25)
    told = tmp_path / "person_keypoints.json"
    told.write_text(json.dumps(to_openpose_document([PersonKeypoints(BODY25, points, 0.9)])))
    return path, told


def test_a_photo_becomes_a_figure_with_its_turntable_and_figures(weights, cutout, tmp_path, monkeypatch):
    few_views = partial(body_reconstruction.TurntableOptions, views=4, sheet_view_side=64)
    monkeypatch.setattr(body_reconstruction, "TurntableOptions", few_views)
    photo, told = cutout
    out, figures = tmp_path / "person.glb", tmp_path / "figures.json"
    command = [
        "reconstruct",
        "--image",
        photo,
        "--keypoints",
        told,
        "--out",
        out,
        "--resolution",
        256,
        "--json",
        figures,
    ]
    assert main([str(word) for word in command]) == 0
    solid = trimesh.load(out, force="mesh", process=False)
    assert solid.is_watertight
    assert solid.is_winding_consistent
    assert solid.body_count == 1
    assert solid.volume == pytest.approx(2 * 2 * 0.6, rel=0.02)
    assert (read_mesh(out).colours == (200, 60, 60)).all()
    with av.open(str(tmp_path / "person.mp4")) as film:
        assert sum(1 for _ in film.decode(video=0)) == 4
    assert cv2.imread(str(tmp_path / "person.png")).shape == (2 * 64, 8 * 64, 3)
    results = json.loads(figures.read_text())["results"]
    assert results["faces"] == len(solid.faces)
    assert 65**3 <= results["points"] < 257**3
    assert {"photo", "weights", "look", "body", "colours", "turntable"} <= results["stages"].keys()


@pytest.mark.parametrize("suffix", [".obj", ".ply"])
def test_colours_of_normals_and_no_turntable(weights, cutout, tmp_path, suffix):
    photo, told = cutout
    out = tmp_path / f"figure{suffix}"
    command = ["reconstruct", "--image", photo, "--keypoints", told, "--out", out, "--colour", "normals"]
    assert main([str(word) for word in [*command, "--resolution", 256, "--no-turntable"]]) == 0
    colours = read_mesh(out).colours.astype(float) / 127.5 - 1
    facing = np.abs(colours[:, 2])  # along the rim, where the cube cuts the plate, the field says nothing
    assert (facing > 0.98).mean() > 0.85
    assert not (tmp_path / "figure.mp4").exists()


def refused(capsys, *arguments):
    assert main(["reconstruct", *(str(argument) for argument in arguments)]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert "Traceback" not in "\n".join(said)
    return said[-1]


def test_without_weights_one_line_says_how_to_get_them(photo, tmp_path, capsys):
    said = refused(capsys, "--image", photo, "--out", tmp_path / "person.glb")
    assert "livehead weights import pifuhd.pt --as pifuhd" in said
    assert "CC BY-NC" in said


def test_a_place_that_cannot_be_written_is_told_first(photo, tmp_path, capsys):
    assert "person.stl" in refused(capsys, "--image", photo, "--out", tmp_path / "person.stl")
    assert "nowhere" in refused(capsys, "--image", photo, "--out", tmp_path / "nowhere" / "person.glb")


def test_a_photo_without_a_person(weights, tmp_path, capsys):
    path = tmp_path / "wall.png"
    Image.fromarray(np.full((400, 400, 3), 128, np.uint8)).save(path)
    assert "no person" in refused(capsys, "--image", path, "--out", tmp_path / "figure.glb")


@pytest.mark.parametrize("content", ["", "{}", '{"people": [{"pose_keypoints_2d": [1, 2, 3]}]}'])
def test_points_that_are_none(weights, cutout, tmp_path, capsys, content):
    path = tmp_path / "told.json"
    path.write_text(content)
    assert "told.json" in refused(capsys, "--image", cutout[0], "--keypoints", path, "--out", tmp_path / "x.glb")
    assert "none.json" in refused(
        capsys, "--image", cutout[0], "--keypoints", tmp_path / "none.json", "--out", tmp_path / "x.glb"
    )


def test_an_empty_field_is_no_person():
    with pytest.raises(SourceError, match="no body"):
        extract_body_mesh(lambda points: np.zeros(len(points), np.float32), 64)


def test_the_photo_is_never_overwritten(weights, cutout, tmp_path, capsys):
    photo, told = cutout
    line = refused(capsys, "--image", photo, "--keypoints", told, "--out", tmp_path / "photo.glb")
    assert "is read and cannot be written too" in line
