"""Films with a cut to another person, a second person or a far one move the avatar without distorting it."""

from __future__ import annotations

import os
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from livehead.assembly.animation import AnimationRequest
from livehead.assembly.face_video import animate_by_video
from livehead.assembly.synthetic_performer import ASTRONAUT_PHOTO, DRAWN_PORTRAIT, bundled_portrait
from livehead.config import RunSettings, parse_settings
from livehead.frames import Image
from livehead.motion.keypoints import Array
from livehead.perception.face_mesh import FaceMeshTracker

FPS, SIDE = 10, 256
ASTRONAUT = Path(__file__).parents[2] / "livehead" / "assets" / "astronaut.png"
CASES = Path(os.environ.get("LIVEHEAD_SHARED", Path(__file__).parents[3] / "shared")) / "cases"
WARP = parse_settings(RunSettings, {"model": "warp", "render_size": SIDE, "picture": {"fit": "crop"}})


def head(photo: str, side: int) -> Image:
    return np.asarray(cv2.resize(bundled_portrait(photo).image, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


def room(*heads: tuple[Image, int, int]) -> Image:
    picture = np.full((480, 640, 3), 120, np.uint8)
    for face, left, top in heads:
        picture[top : top + len(face), left : left + len(face)] = face
    return picture


def write_film(path: Path, pictures: list[Image]) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "16"})
        stream.pix_fmt = "yuv420p"
        stream.height, stream.width = pictures[0].shape[:2]
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def faces_of(film: Path, every: int) -> Array:
    """Left, top, right and bottom of the face in every so many pictures [N, 4], in shares of the picture."""
    boxes = []
    with FaceMeshTracker(static=True) as tracker, av.open(str(film)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number % every == 0:
                (face,) = tracker.detect(frame.to_ndarray(format="rgb24"))
                low, high = face.value[0, :468].min(axis=0), face.value[0, :468].max(axis=0)
                boxes.append(np.concatenate([low, high]) / 2 + 0.5)
    return np.asarray(boxes, np.float32)


def animate(driving: Path, out: Path) -> Path:
    figures = animate_by_video(AnimationRequest(ASTRONAUT, out, WARP, driving=driving, size=(SIDE, SIDE)))
    assert figures.frames_with_face == figures.driving_frames
    return out


def assert_whole(boxes: Array) -> None:
    """Each face is well inside the picture, about where the others are, and as wide for its height as in the photo."""
    with FaceMeshTracker(static=True) as tracker:
        own = tracker.detect(bundled_portrait(ASTRONAUT_PHOTO).photo)[0].value[0, :468]
    assert boxes.min() > 0.1
    assert boxes.max() < 0.9
    assert np.abs(boxes - np.median(boxes, axis=0)).max() < 0.06
    width, height = np.ptp(own, axis=0)
    shape = (boxes[:, 2] - boxes[:, 0]) / (boxes[:, 3] - boxes[:, 1])
    np.testing.assert_allclose(shape, width / height, rtol=0.12)


def test_a_cut_to_another_person_and_back_leaves_the_face_as_it_is(tmp_path: Path) -> None:
    her, other = head(ASTRONAUT_PHOTO, 480), head(DRAWN_PORTRAIT, 480)
    shots = [her] * 8 + [other] * 8 + [her] * 8
    assert_whole(faces_of(animate(write_film(tmp_path / "cut.mp4", shots), tmp_path / "out.mp4"), 3))


def test_a_second_person_who_comes_in_moves_nothing(tmp_path: Path) -> None:
    alone = room((head(ASTRONAUT_PHOTO, 200), 20, 120))
    together = room((head(ASTRONAUT_PHOTO, 200), 20, 120), (head(DRAWN_PORTRAIT, 340), 290, 80))
    film = write_film(tmp_path / "two.mp4", [alone] * 6 + [together] * 14)
    boxes = faces_of(animate(film, tmp_path / "out.mp4"), 3)
    assert_whole(boxes)
    assert np.abs(boxes - boxes[0]).max() < 0.03


@pytest.mark.skipif(not CASES.is_dir(), reason="../shared/cases is not beside the checkout (LIVEHEAD_SHARED)")
@pytest.mark.parametrize("case", ["two_synth", "cuts_synth", "far_720p", "small"])
def test_the_films_that_failed_move_a_whole_face(tmp_path: Path, case: str) -> None:
    assert_whole(faces_of(animate(CASES / f"{case}.mp4", tmp_path / "out.mp4"), 10))
