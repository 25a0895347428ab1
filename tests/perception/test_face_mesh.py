"""The tracker finds the face, keeps to it, and keeps quiet."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import livehead
from livehead.frames import Image
from livehead.motion.keypoints import to_pixels
from livehead.perception.face_mesh import FaceMeshTracker
from livehead.perception.mediapipe_runtime import suppress_native_logs

RIGHT_EYE, LEFT_EYE, NOSE, CHIN, FOREHEAD = 33, 263, 4, 152, 10


@pytest.fixture(scope="module")
def portrait() -> Image:
    picture = cv2.imread(str(Path(livehead.__file__).parent / "assets" / "astronaut.png"))
    assert picture is not None
    return np.ascontiguousarray(picture[:300, 80:380, ::-1])


def scene(*faces: tuple[Image, int, int]) -> Image:
    """640x480 with pictures at (left, top)."""
    canvas = np.full((480, 640, 3), 110, np.uint8)
    for face, left, top in faces:
        canvas[top : top + face.shape[0], left : left + face.shape[1]] = face
    return canvas


def resized(portrait: Image, side: int) -> Image:
    return np.asarray(cv2.resize(portrait, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


def test_points_are_where_the_face_is(portrait: Image) -> None:
    with FaceMeshTracker(static=True) as mesh:
        (face,) = mesh.detect(portrait, 5)
    points = face.points3d()[0]
    assert face.captured_ns == 5
    assert points[RIGHT_EYE, 0] < points[NOSE, 0] < points[LEFT_EYE, 0]
    assert points[FOREHEAD, 1] < points[NOSE, 1] < points[CHIN, 1]
    assert points[NOSE, 2] < points[RIGHT_EYE, 2]


def test_a_wide_picture_gives_the_same_points_in_pixels(portrait: Image) -> None:
    face = resized(portrait, 400)
    with FaceMeshTracker(static=True) as mesh:
        alone = to_pixels(mesh.detect(face)[0].value, 400, 400)
        wide = to_pixels(mesh.detect(scene((face, 200, 60)))[0].value, 640, 480)
    np.testing.assert_allclose(wide - [200, 60], alone, atol=6)
    assert np.abs(wide - [200, 60] - alone).mean() < 2


def test_the_depth_has_the_unit_of_the_rest(portrait: Image) -> None:
    with FaceMeshTracker(static=True) as mesh:
        near = mesh.detect(portrait)[0].points3d()[0]
        half = np.full((600, 600, 3), 110, np.uint8)
        half[:300, :300] = portrait
        far = mesh.detect(half)[0].points3d()[0]
    assert np.ptp(near[:, 2]) == pytest.approx(2 * np.ptp(far[:, 2]), rel=0.15)


def test_a_face_that_fills_the_picture_is_found_where_it_is(portrait: Image) -> None:
    with FaceMeshTracker(static=True) as mesh:
        whole = to_pixels(mesh.detect(portrait)[0].value[0], 300, 300)
        (left, top), (right, bottom) = whole.min(axis=0).astype(int) + 8, whole.max(axis=0).astype(int) - 8
        tight = np.ascontiguousarray(portrait[top:bottom, left:right])
        found = to_pixels(mesh.detect(tight)[0].value[0], right - left, bottom - top)
    assert np.abs(found + [left, top] - whole).mean() < 3


def test_of_several_faces_the_largest_comes_first(portrait: Image) -> None:
    picture = scene((resized(portrait, 260), 10, 100), (resized(portrait, 350), 280, 80))
    with FaceMeshTracker(static=True, max_faces=4) as mesh:
        faces = mesh.detect(picture)
    assert len(faces) == 2
    assert faces[0].value[0, NOSE, 0] > 0 > faces[1].value[0, NOSE, 0]


def test_live_it_starts_with_the_largest_and_keeps_to_it_for_a_while(portrait: Image) -> None:
    small, large = resized(portrait, 220), resized(portrait, 300)
    before = scene((small, 20, 100), (large, 320, 90))
    after = scene((resized(portrait, 310), 5, 90), (large, 320, 90))
    with FaceMeshTracker() as mesh:
        for picture in [before] * 5 + [after] * 70:
            (face,) = mesh.detect(picture)
            assert face.value[0, NOSE, 0] > 0


def test_a_lost_face_is_found_again(portrait: Image) -> None:
    there, empty = scene((resized(portrait, 300), 170, 90)), scene()
    with FaceMeshTracker() as mesh:
        assert len(mesh.detect(there)) == 1
        assert [len(mesh.detect(empty)) for _ in range(4)][-1] == 0
        assert len(mesh.detect(there)) == 1


def test_starting_up_says_nothing_and_leaves_pyplot_alone() -> None:
    code = (
        "import numpy as np, sys; from livehead.perception.face_mesh import FaceMeshTracker\n"
        "from pathlib import Path; import cv2, livehead\n"
        "picture = cv2.imread(str(Path(livehead.__file__).parent / 'assets' / 'astronaut.png'))[..., ::-1]\n"
        "for static in (True, False):\n"
        "    with FaceMeshTracker(static=static) as mesh: assert mesh.detect(np.ascontiguousarray(picture))\n"
        "assert 'matplotlib' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_other_peoples_words_come_through_the_silence(capfd: pytest.CaptureFixture[str]) -> None:
    with suppress_native_logs():
        os.write(2, b"W0000 00:00:1.0 1 somewhere.cc:1] chatter\n")
        os.write(2, b"something that matters\n")
    assert capfd.readouterr().err == "something that matters\n"
