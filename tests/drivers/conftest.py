"""The face that drives: the portrait that livehead ships."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

import livehead
from livehead.frames import Image
from livehead.motion.keypoints import Keypoints
from livehead.perception.face_mesh import FaceMesh


@pytest.fixture(scope="session")
def picture() -> Image:
    portrait = cv2.imread(str(Path(livehead.__file__).parent / "assets" / "astronaut.png"))
    assert portrait is not None
    return np.ascontiguousarray(portrait[..., ::-1])


@pytest.fixture(scope="session")
def source(picture: Image) -> Keypoints:
    with FaceMesh(static=True) as mesh:
        return mesh.detect(picture)[0]
