"""``--background none`` makes films through which one sees, and is refused where nothing could show that."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from livehead.cli import EXIT_BAD_INPUT, main
from livehead.frames import Image
from livehead.perception.segmentation import SelfieSegmenter

ROOM = (0, 255, 0)


@pytest.fixture
def cutout(picture: Image, tmp_path: Path) -> Path:
    """The bundled portrait, cut out by its outline: narrow, and green below what is transparent."""
    with SelfieSegmenter() as segmentation:
        share = segmentation.segment_person(picture)
    alpha = np.where(share > 0.5, 255, 0).astype(np.uint8)
    colours = np.where(alpha[..., None] > 0, picture, ROOM).astype(np.uint8)
    path = tmp_path / "cut.png"
    Pillow.fromarray(np.ascontiguousarray(np.dstack([colours, alpha])[:, 140:320])).save(path)
    return path


def animate(photo: Path, talk: Path, out: Path, *options: str) -> int:
    picture = ("--model", "warp", "--fit", "crop", "--size", "160x120", "--render-size", "160", "--end", "0.5")
    given = ["animate", "--avatar", str(photo), "--driving", str(talk), "--out", str(out), *picture, *options]
    return main(given)


def read_pictures(out: Path) -> list[Image]:
    """The pictures of a film, or of a folder, as uint8 [H, W, 4] RGBA."""
    if out.suffix == ".png":
        files = sorted(out.parent.glob("*.png"))
        return [cv2.cvtColor(cv2.imread(str(file), cv2.IMREAD_UNCHANGED), cv2.COLOR_BGRA2RGBA) for file in files]
    with av.open(str(out)) as container:
        stream = container.streams.video[0]
        if out.suffix == ".mov":
            return [frame.to_ndarray(format="rgba") for frame in container.decode(stream)]
        decoder = av.CodecContext.create("libvpx-vp9", "r")
        packets = list(container.demux(stream))
        return [frame.to_ndarray(format="rgba") for packet in packets for frame in decoder.decode(packet)]


@pytest.mark.parametrize("name", ["film.webm", "film.mov", "frames/%04d.png"])
def test_a_cut_out_photo_keeps_its_cut(cutout: Path, talk: Path, tmp_path: Path, name: str) -> None:
    """No grey and no stripes: beyond the person there is nothing, up to the film's edges."""
    out = tmp_path / name
    assert animate(cutout, talk, out, "--background", "none") == 0
    pictures = read_pictures(out)
    assert len(pictures) == 5
    for picture in pictures:
        seen = picture[..., 3] > 128
        assert 0.2 < seen.mean() < 0.8
        assert picture[..., 3][:, :12].max() < 24  # the photo is narrower than the film
        assert picture[..., 3][:, -12:].max() < 24
        red, green, blue = (picture[..., channel][seen].astype(int) for channel in range(3))
        assert ((green > red + 60) & (green > blue + 60)).mean() < 0.002  # nothing of the room at the outline


def test_a_photo_with_its_room_loses_the_room(photo: Path, talk: Path, tmp_path: Path) -> None:
    out = tmp_path / "film.webm"
    assert animate(photo, talk, out, "--background", "none") == 0
    shares = [(picture[..., 3] > 128).mean() for picture in read_pictures(out)]
    assert 0.2 < min(shares) <= max(shares) < 0.9


def test_a_cut_out_photo_stands_before_grey_where_nothing_else_is_asked_for(
    cutout: Path, talk: Path, tmp_path: Path
) -> None:
    out = tmp_path / "film.mp4"
    assert animate(cutout, talk, out) == 0
    with av.open(str(out)) as container:
        frame = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert frame[:, :8].reshape(-1, 3).mean(axis=0) == pytest.approx((205, 205, 205), abs=6)
    assert np.abs(frame[:, :8].astype(int) - 205).max() < 16


def test_one_picture_is_written_with_its_alpha(
    photo: Path, talk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "me.png"
    assert animate(photo, talk, out, "--background", "none") == 0
    assert f"{out}: one picture in " in "".join(capsys.readouterr()), "not a film of one frame and 0.0 s"
    assert np.asarray(Pillow.open(out)).shape == (120, 160, 4)


def test_a_live_run_records_transparent_films(photo: Path, tmp_path: Path) -> None:
    sinks = [word for name in ("a.webm", "a.mov", "%03d.png") for word in ("--sink", f"file:{tmp_path / name}")]
    picture = ("--model", "warp", "--size", "160x120", "--render-size", "160", "--background", "none")
    assert main(["run", "--avatar", str(photo), "--driver", "idle", *sinks, *picture, "--seconds", "1"]) == 0
    for name in ("a.webm", "a.mov"):
        for shown in read_pictures(tmp_path / name):
            assert 0.1 < (shown[..., 3] > 128).mean() < 0.9


@pytest.mark.parametrize(
    "arguments",
    [
        ("animate", "--avatar", "PHOTO", "--driving", "TALK", "--out", "film.mp4"),
        ("run", "--avatar", "PHOTO", "--driver", "idle", "--sink", "file:film.mp4"),
        ("run", "--avatar", "PHOTO", "--driver", "idle", "--sink", "null"),
    ],
)
def test_without_a_background_nothing_opaque_is_written(
    arguments: tuple[str, ...],
    photo: Path,
    talk: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    names = {"PHOTO": str(photo), "TALK": str(talk)}
    assert main([*(names.get(word, word) for word in arguments), "--background", "none"]) == EXIT_BAD_INPUT
    assert "OUT.webm, OUT.mov or frames/%05d.png" in capsys.readouterr().err
    assert not (tmp_path / "film.mp4").exists()


def test_a_single_picture_is_no_live_recording(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--avatar", str(photo), "--driver", "idle", "--sink", "file:me.png"]) == EXIT_BAD_INPUT
    assert "me-%05d.png" in capsys.readouterr().err
