"""The face mesh: a closed skin but for its openings, turned one way round, its regions on their own sides."""

from collections import Counter

import numpy as np
import pytest

from livehead.motion.face.mesh import FACE_MESH, EyeIndices


def directed_edges() -> Counter[tuple[int, int]]:
    edges = np.concatenate([FACE_MESH.triangles[:, [i, (i + 1) % 3]] for i in range(3)])
    return Counter((int(a), int(b)) for a, b in edges)


def loop_edges(loop: np.ndarray) -> set[frozenset[int]]:
    return {frozenset((int(a), int(b))) for a, b in zip(loop, np.roll(loop, -1), strict=True)}


def test_neighbouring_triangles_are_turned_the_same_way():
    edges = directed_edges()
    assert max(edges.values()) == 1


def test_the_skin_ends_at_the_outline_the_eyes_and_the_mouth_alone():
    edges = directed_edges()
    rim = {frozenset(edge) for edge in edges if edge[::-1] not in edges}
    loops = [FACE_MESH.oval, FACE_MESH.right_eye.opening, FACE_MESH.left_eye.opening, FACE_MESH.mouth.inner]
    assert rim == set().union(*(loop_edges(loop) for loop in loops))


def test_every_point_of_the_face_belongs_to_a_triangle():
    assert set(FACE_MESH.triangles.ravel().tolist()) == set(range(468))


@pytest.mark.parametrize("eye", [FACE_MESH.right_eye, FACE_MESH.left_eye])
def test_both_lids_run_from_corner_to_corner(eye: EyeIndices):
    assert eye.upper[0] == eye.lower[0]
    assert eye.upper[-1] == eye.lower[-1]
    assert len(eye.opening) == 16
    assert set(eye.opening) <= set(eye.lids)


def test_the_sides_share_no_point():
    right, left = ({*e.lids, *e.iris, *e.brow} for e in (FACE_MESH.right_eye, FACE_MESH.left_eye))
    assert not right & left
    assert len(right) == len(left)


def test_what_is_rigid_does_not_speak_or_blink():
    moving = {*FACE_MESH.mouth.lips, *FACE_MESH.jaw, *FACE_MESH.right_eye.iris, *FACE_MESH.left_eye.iris}
    assert not moving & set(FACE_MESH.rigid)


def test_tables_cannot_be_changed_by_accident():
    with pytest.raises(ValueError):
        FACE_MESH.triangles[0, 0] = 1
