"""``livehead weights`` and the models that need it, from the command line."""

import json
import shutil
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch

from livehead.assembly.live_avatar import make_renderer
from livehead.assembly.synthetic_performer import bundled_portrait
from livehead.cli import main
from livehead.evaluation.image_metrics import psnr
from livehead.weights.checkpoint_store import CheckpointStore


def saved(path, content):
    torch.save(content, path)
    return str(path)


@pytest.fixture(scope="module")
def files(tmp_path_factory, published):
    """Everything that ``--model dagan`` needs, in the published layout."""
    folder = tmp_path_factory.mktemp("downloads")
    networks = {
        "generator": published("dagan-generator-depthaware-kp15", 0.8),
        "kp_detector": published("dagan-kpdetector-rgbd-kp15"),
    }
    return {
        "dagan-vox-256": [saved(folder / "DaGAN_vox_adv_256.pth.tar", networks)],
        "dagan-depth-18": [
            saved(folder / "encoder.pth", published("dagan-depth18-encoder") | {"height": 256, "use_stereo": False}),
            saved(folder / "depth.pth", published("dagan-depth18-decoder", 0.7)),
        ],
    }


@pytest.fixture(scope="module")
def kept(files, tmp_path_factory):
    """A home into which everything was imported."""
    folder = tmp_path_factory.mktemp("kept")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIVEHEAD_HOME", str(folder))
        for name, paths in files.items():
            assert main(["weights", "import", *paths, "--as", name]) == 0
    return folder


@pytest.fixture
def imported(kept, home):
    shutil.copytree(kept / "weights", home / "weights")


def refused(capsys, *arguments):
    assert main([str(argument) for argument in arguments]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "Traceback" not in said
    return said


def test_what_ships_and_what_can_be_imported_is_listed(capsys):
    assert main(["weights", "list"]) == 0
    said = capsys.readouterr().out
    lines = said.splitlines()
    assert lines[0].split() == ["name", "state", "licence", "command"]
    line = next(line for line in lines if line.startswith("dagan-vox-256"))
    place = lines[0].index("command")
    assert line[lines[0].index("state") :].startswith("not imported")
    assert line[place:] == "livehead weights import DaGAN_vox_adv_256.pth.tar --as dagan-vox-256"
    assert all(len(line[:place].rstrip()) <= 80 for line in lines[: len(lines) // 2])
    assert "https://github.com/harlanhong/CVPR2022-DaGAN  (dagan-vox-256" in said


@pytest.mark.parametrize("model", ["dagan", "dagan-spade"])
def test_without_a_checkpoint_one_line_says_how_to_get_one(model, photo, talk, tmp_path, capsys):
    said = refused(
        capsys, "animate", "--model", model, "--avatar", photo, "--driving", talk, "--out", tmp_path / "out.mp4"
    )
    assert "livehead weights import" in said
    assert "CC BY-NC" in said


def test_with_a_generator_alone_the_depth_network_is_asked_for(files, photo, capsys):
    assert main(["weights", "import", *files["dagan-vox-256"], "--as", "dagan-vox-256"]) == 0
    said = refused(capsys, "run", "--model", "dagan", "--avatar", photo, "--sink", "null")
    assert "--as dagan-depth-18" in said


def test_a_file_that_is_no_checkpoint_is_one_line(tmp_path, capsys):
    path = tmp_path / "DaGAN_vox_adv_256.pth.tar"
    path.write_bytes(b"<html>not found</html>")
    assert str(path) in refused(capsys, "weights", "import", path, "--as", "dagan-vox-256")


def test_a_damaged_import_is_found_by_verify_and_by_use(imported, home, photo, capsys):
    assert main(["weights", "verify"]) == 0
    assert "dagan-vox-256: whole" in capsys.readouterr().out
    path = home / "weights" / "dagan-vox-256.safetensors"
    with path.open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x7f")
    assert "damaged" in refused(capsys, "weights", "verify", "dagan-vox-256")
    use = ("run", "--model", "dagan", "--avatar", photo, "--capture", "synthetic", "--sink", "null")
    assert "damaged" in refused(capsys, *use)


@pytest.fixture(scope="module")
def clips(tmp_path_factory, talk):
    """Five square frames of the performer."""
    folder = tmp_path_factory.mktemp("clips")
    with av.open(str(talk)) as container:
        frames = [frame.to_ndarray(format="rgb24")[:, 40:280] for frame in container.decode(video=0)][:5]
    with av.open(str(folder / "square.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width = stream.height = 256
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            picture = cv2.resize(np.ascontiguousarray(frame), (256, 256))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return folder


def test_imported_weights_animate_and_are_evaluated(imported, clips: Path, photo, tmp_path):
    out = tmp_path / "out.mp4"
    command = ["animate", "--model", "dagan", "--debug-panels", "--avatar", str(photo)]
    assert main([*command, "--driving", str(clips / "square.mp4"), "--out", str(out)]) == 0
    with av.open(str(out)) as container:
        shown = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(shown) == 5
    height, width = cv2.imread(str(photo)).shape[:2]
    assert shown[0].shape[:2] == (height, width + 2 * (height // 6 * 2))
    assert main(["evaluate", "--model", "dagan", "--clips", str(clips), "--frames", "3"]) == 0


def test_an_import_measures_what_integers_need(imported, home):
    document = json.loads((home / "weights" / "ranges" / "dagan.json").read_text())
    assert set(document["ranges"]) == {"depth", "keypoints", "generator"}
    assert "decoder.bottleneck.r0.conv1" in document["ranges"]["generator"]
    low, high = document["ranges"]["depth"]["encoder.layer1.0.conv1"]
    assert low == 0 < high, "a rectified picture"
    assert not CheckpointStore().load_ranges("dagan", ["dagan-vox-256"]), "ranges of other weights are not used"


def test_integers_stay_near_the_exact_path(imported, photo):
    pytest.importorskip("openvino", reason="the extra fast-cpu is not installed")
    portrait = bundled_portrait(photo)
    exact, integer = (make_renderer("dagan", 256, precision=precision) for precision in ("fp32", "int8"))
    assert integer.setting.int8
    avatar = exact.prepare(portrait)
    motion = avatar.motion.with_points(avatar.motion.value + 0.05)
    assert psnr(integer.render(avatar, motion, 256), exact.render(avatar, motion, 256)) > 33


def test_panels_of_a_model_that_has_none_are_refused(photo, talk, tmp_path, capsys):
    arguments = ("--avatar", photo, "--driving", talk, "--out", tmp_path / "out.mp4", "--debug-panels")
    assert "--model dagan" in refused(capsys, "animate", *arguments)
