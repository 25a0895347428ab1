"""A face to measure with, and a clip of it: the astronaut of scikit-image (public domain), moved about."""

from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import skimage.data

from livehead.perception.face_mesh import FaceMesh

SIDE = 256
CENTRE = (222, 118)  # of the face in the 512 x 512 picture


def _astronaut(turn=0.0, shift=(0.0, 0.0), zoom=1.0):
    """The astronaut's head, 256 x 256 RGB: tilted by degrees, moved by pixels."""
    matrix = cv2.getRotationMatrix2D(CENTRE, turn, zoom)
    matrix[:, 2] += np.array([SIDE / 2 - CENTRE[0] + shift[0], SIDE / 2 - CENTRE[1] + shift[1]])
    return cv2.warpAffine(skimage.data.astronaut(), matrix, (SIDE, SIDE), borderMode=cv2.BORDER_REFLECT)


def _write_clip(path: Path, frames) -> Path:
    height, width = frames[0].shape[:2]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "12"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="session")
def astronaut():
    return _astronaut


@pytest.fixture(scope="session")
def write_clip():
    return _write_clip


@pytest.fixture(scope="session")
def finder():
    with FaceMesh(static=True) as mesh:
        yield mesh


@pytest.fixture(scope="session")
def swaying_clip(tmp_path_factory):
    frames = [_astronaut(turn=8 * np.sin(i / 3), shift=(3 * i / 4, 6 * np.sin(i / 4))) for i in range(16)]
    return _write_clip(tmp_path_factory.mktemp("clips") / "sway.mp4", frames)
