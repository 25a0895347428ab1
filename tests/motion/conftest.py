"""The face that these tests move: the portrait that livehead ships."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

import livehead
from livehead.motion.keypoints import Keypoints
from livehead.perception.face_mesh import FaceMesh


@pytest.fixture(scope="session")
def source() -> Keypoints:
    picture = cv2.imread(str(Path(livehead.__file__).parent / "assets" / "astronaut.png"))
    assert picture is not None
    with FaceMesh(static=True) as mesh:
        return mesh.detect(np.ascontiguousarray(picture[..., ::-1]))[0]
