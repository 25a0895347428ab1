"""The bundled basis, and that what it is made of is checked."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest

from livehead.motion.face.face_basis import FaceBasis, load_face_basis
from livehead.motion.keypoints import Keypoints


def test_its_number_is_the_one_of_the_page() -> None:
    assert f"{load_face_basis().checksum:08x}" == "6ab3ef0a"


def test_it_is_small() -> None:
    assert len((files("livehead.assets") / "face_basis.npz").read_bytes()) <= 300_000


def test_its_rows_are_nearly_of_length_one_and_at_right_angles() -> None:
    basis = load_face_basis()
    rows = basis.rows * basis.scale[:, None]
    np.testing.assert_allclose(rows @ rows.T, np.eye(basis.size), atol=0.03)


def test_a_face_is_split_and_joined(source: Keypoints) -> None:
    basis, points = load_face_basis(), source.points3d()[0]
    pose = basis.fit_pose(points)
    joined = basis.decode(basis.encode(points, pose), pose)
    assert np.linalg.norm(joined - points, axis=1).mean() < 0.3 * 2 / 256


def test_another_basis_has_another_number() -> None:
    basis = load_face_basis()
    other = FaceBasis(basis.mean, basis.rows[::-1].copy(), basis.scale)
    assert other.checksum != basis.checksum


def test_arrays_of_another_shape_are_refused() -> None:
    basis = load_face_basis()
    with pytest.raises(ValueError, match="int8"):
        FaceBasis(basis.mean, basis.rows[:5], basis.scale)
