"""Whatever a person gives: exit status 2, one line that says the remedy, no traceback."""

import json
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from livehead.assembly.synthetic_performer import DRAWN_PORTRAIT
from livehead.cli import EXIT_BAD_INPUT, main


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Run a command that must be refused; gives the line that it said last."""
    status = main([str(argument) for argument in arguments])
    said = capsys.readouterr().err.strip().splitlines()
    assert status == EXIT_BAD_INPUT, said
    assert "Traceback" not in "\n".join(said)
    line = said[-1]
    assert line.startswith(f"livehead {arguments[0]}: ")
    assert len(line) < 500
    return line


def idle(photo: Path) -> tuple[object, ...]:
    return ("run", "--avatar", photo, "--driver", "idle", "--sink", "null", "--seconds", "0.1")


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, shape, np.uint8)


def test_a_photo_without_a_face(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(noise(300, 300, 3)).save(tmp_path / "wall.png")
    assert "face" in refused(capsys, *idle(tmp_path / "wall.png"))


@pytest.mark.parametrize(
    "content", [b"", b"just text, no picture", b"\xff\xd8\xff\xe0 cut off"], ids=["empty", "text", "cut"]
)
def test_a_file_that_is_no_photo(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    assert "photo.jpg" in refused(capsys, *idle(path))


def test_no_background_where_nothing_can_show_none(capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(capsys, *idle(DRAWN_PORTRAIT), "--background", "none")
    assert "livehead serve" in line
    assert "--background '#00ff00'" in line


def test_a_name_that_no_profile_can_have_is_refused_before_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(capsys, *idle(DRAWN_PORTRAIT), "--profile", "../x", "--record-motion", tmp_path / "motion.npz")
    assert "cannot name a profile" in line
    assert list(tmp_path.glob("motion*")) == []


def test_a_photo_of_one_pixel(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    assert "is only 1x1 pixels" in refused(capsys, *idle(tmp_path / "dot.png"))


def test_an_enormous_photo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("1", (20_000, 20_000)).save(tmp_path / "big.png")
    assert "more pixels than a photo needs" in refused(capsys, *idle(tmp_path / "big.png"))


def test_a_photo_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "nobody.jpg" in refused(capsys, *idle(tmp_path / "nobody.jpg"))


def test_no_photo_at_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--avatar" in refused(capsys, "run", "--sink", "null")


def test_a_video_without_pictures(tmp_path: Path, photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16_000), np.float32), format="fltp", layout="mono")
        frame.rate = 16_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    out = tmp_path / "out.mp4"
    assert "no video stream" in refused(capsys, "animate", "--avatar", photo, "--driving", path, "--out", out)


def test_a_video_without_a_face(tmp_path: Path, photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "wall.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 128, 128, "yuv420p"
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((128, 128, 3), 90, np.uint8))))
        container.mux(stream.encode(None))
    assert "no face" in refused(capsys, "animate", "--avatar", photo, "--driving", path, "--out", tmp_path / "o.mp4")


def test_an_output_folder_that_is_missing(
    tmp_path: Path, photo: Path, talk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "nowhere" / "out.mp4"
    assert "nowhere" in refused(capsys, "animate", "--avatar", photo, "--driving", talk, "--out", out)


@pytest.mark.parametrize("camera", ["camera:87", "camera:/dev/nothing"])
def test_a_camera_that_is_not_there(photo: Path, camera: str, capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, "run", "--avatar", photo, "--capture", camera, "--sink", "null")


def test_a_microphone_that_is_not_there(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, *idle(photo), "--microphone", "a microphone that nobody has")


@pytest.mark.parametrize(
    ("arguments", "near"),
    [
        (("--sink", "nul"), "'null'"),
        (("--driver", "fase"), "'face'"),
        (("--model", "wrap"), "'warp'"),
        (("--capture", "camrea"), "'camera'"),
        (("--gain", "muoth=1"), "'mouth'"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(
    photo: Path, arguments: tuple[str, ...], near: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert near in refused(capsys, "run", "--avatar", photo, "--sink", "null", *arguments)


def test_an_unknown_key_in_a_file_is_answered_with_the_nearest(
    tmp_path: Path, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[picture]\nbagde = true\n")
    assert "'badge'" in refused(capsys, "run", "--avatar", photo, "--config", path)


@pytest.mark.parametrize("size", ["big", "1280", "0x0", "99999x2"])
def test_an_impossible_size(photo: Path, size: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "size" in refused(capsys, *idle(photo), "--size", size)


def test_a_background_that_is_none(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, *idle(photo), "--background", "no-such-colour")


def test_an_evaluation_without_clips(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, "evaluate", "--clips", tmp_path / "none")
    refused(capsys, "evaluate", "--clips", tmp_path)


def test_a_recording_that_is_none(tmp_path: Path, photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "motion.npz"
    path.write_bytes(b"not a zip")
    refused(capsys, "run", "--avatar", photo, "--driver", f"motion:{path}", "--sink", "null")


OUT, IN = "OUT", "IN"
"""Stand for a folder that exists, and for the portrait that ships."""

WRONG_INPUT = {
    "animate: a photo that is not there": ("animate", "--avatar", "nobody.jpg", "--audio", IN, "--out", f"{OUT}/a.mp4"),
    "animate: a sound that is not there": ("animate", "--avatar", IN, "--audio", "no.wav", "--out", f"{OUT}/a.mp4"),
    "animate: a picture as sound": ("animate", "--avatar", IN, "--audio", IN, "--out", f"{OUT}/a.mp4"),
    "animate: a folder as video": ("animate", "--avatar", IN, "--driving", OUT, "--out", f"{OUT}/a.mp4"),
    "animate: nobody who moves": ("animate", "--avatar", IN, "--out", f"{OUT}/a.mp4"),
    "animate: an unknown ending": ("animate", "--avatar", IN, "--audio", IN, "--out", f"{OUT}/a.gif"),
    "animate: a folder that is missing": ("animate", "--avatar", IN, "--audio", IN, "--out", f"{OUT}/none/a.mp4"),
    "animate: figures nowhere": ("animate", "--avatar", IN, "--out", f"{OUT}/a.mp4", "--json", f"{OUT}/none/a.json"),
    "animate: an unknown model": ("animate", "--avatar", IN, "--out", f"{OUT}/a.mp4", "--model", "wrap"),
    "animate: weights that are missing": ("animate", "--avatar", IN, "--out", f"{OUT}/a.mp4", "--model", "dagan"),
    "animate: an unknown background": ("animate", "--avatar", IN, "--out", f"{OUT}/a.mp4", "--background", "nothing"),
    "pose: a photo that is not there": ("pose", "--in", "nobody.jpg", "--out", f"{OUT}/a.json"),
    "pose: an unknown ending": ("pose", "--in", IN, "--out", f"{OUT}/a.txt"),
    "pose: a video of a photo": ("pose", "--in", IN, "--out", f"{OUT}/a.mp4"),
    "pose: a picture nowhere": ("pose", "--in", IN, "--out", f"{OUT}/none/a.png"),
    "pose: its own input": ("pose", "--in", IN, "--out", IN),
    "pose: an unknown model": ("pose", "--in", IN, "--out", f"{OUT}/a.json", "--model", "openpose-body52"),
    "pose: weights that are missing": ("pose", "--in", IN, "--out", f"{OUT}/a.json", "--face"),
    "pose: an odd height": ("pose", "--in", IN, "--out", f"{OUT}/a.json", "--net-height", "100"),
    "reconstruct: a photo that is not there": ("reconstruct", "--image", "nobody.jpg", "--out", f"{OUT}/a.glb"),
    "reconstruct: an unknown ending": ("reconstruct", "--image", IN, "--out", f"{OUT}/a.stl"),
    "reconstruct: points that are not there": (
        *("reconstruct", "--image", IN, "--out", f"{OUT}/a.glb", "--keypoints", "none.json"),
    ),
    "reconstruct: weights that are missing": ("reconstruct", "--image", IN, "--out", f"{OUT}/a.glb"),
    "serve: a photo that is not there": ("serve", "--avatar", "nobody.jpg"),
    "serve: an unknown model": ("serve", "--model", "wrap"),
    "serve: an unknown driver": ("serve", "--driver", "fase"),
    "serve: a certificate that is not there": ("serve", "--tls-cert", "none.pem"),
    "serve: an impossible port": ("serve", "--port", "99999"),
    "weights: a file that is not there": ("weights", "import", "none.pt", "--as", "pifuhd"),
    "weights: unknown weights": ("weights", "verify", "nothing"),
    "verify: a video that is not there": ("verify", "none.mp4"),
}


@pytest.mark.parametrize("arguments", WRONG_INPUT.values(), ids=WRONG_INPUT.keys())
def test_wrong_input_is_refused_and_nothing_is_written(
    arguments: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(capsys, *filled_in(arguments, tmp_path))
    assert not list(tmp_path.glob("*.*"))


def filled_in(arguments: tuple[str, ...], out: Path) -> list[str]:
    return [word.replace(OUT, str(out)).replace(IN, str(DRAWN_PORTRAIT)) for word in arguments]


def test_wrong_input_is_told_without_a_network_s_library(tmp_path: Path) -> None:
    """One process goes through all of it; what it has imported by then tells whether any check was late."""
    program = (
        "import json, sys\n"
        "from livehead.cli import main\n"
        "statuses = [main(arguments) for arguments in json.loads(sys.argv[1])]\n"
        "late = sorted({'torch', 'mediapipe', 'aiortc', 'scipy', 'matplotlib'} & set(sys.modules))\n"
        "print(json.dumps([statuses, late]))\n"
    )
    commands = [filled_in(arguments, tmp_path) for arguments in WRONG_INPUT.values()]
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(commands)], capture_output=True, text=True, check=True, timeout=60
    )
    assert json.loads(done.stdout.splitlines()[-1]) == [[EXIT_BAD_INPUT] * len(commands), []]
