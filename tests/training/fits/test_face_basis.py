"""A basis is learned from a cache, and by what it loses it is judged."""

import numpy as np
import pytest

from livehead.errors import ConfigError
from livehead.motion.face.face_basis import load_face_basis
from livehead.motion.face.head import HeadMotion, rotation_matrix
from livehead.training.cache import ClipEntry, encode_landmarks, write_index
from livehead.training.fits.face_basis import learn_face_basis, measure_coding_errors


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """Faces that differ in six ways only, turned and moved about."""
    folder, rng = tmp_path_factory.mktemp("faces"), np.random.default_rng(0)
    bundled = load_face_basis()
    ways = bundled.rows[:6] * bundled.scale[:6, None]
    entries = []
    for name, split, frames in (("a", "train", 30), ("b", "train", 30), ("v", "val", 10)):
        meshes = []
        for _ in range(frames):
            face = bundled.mean + (rng.normal(0, 0.5, 6) @ ways).reshape(478, 3)
            turn = rotation_matrix(*rng.uniform(-20, 20, 3))
            meshes.append(HeadMotion(0.4, turn, rng.normal(0, 0.1, 3).astype(np.float32)).apply(face))
        landmarks = encode_landmarks(np.stack(meshes))
        np.savez_compressed(folder / f"{name}.npz", landmarks=landmarks, masks=np.zeros((frames, 64, 64), np.uint8))
        entries.append(ClipEntry(name, split, frames, 8.0, False))
    write_index(folder, 64, entries)
    return folder


def test_six_ways_in_which_faces_differ_need_little_more_than_six_rows(faces) -> None:
    basis = learn_face_basis(faces, rows=12)
    rng = np.random.default_rng(1)
    bundled = load_face_basis()
    for _ in range(5):
        other = bundled.mean + (rng.normal(0, 0.3, 6) @ (bundled.rows[:6] * bundled.scale[:6, None])).reshape(478, 3)
        pose = basis.fit_pose(other.astype(np.float32))
        joined = basis.decode(basis.encode(other, pose), pose)
        assert np.abs(joined - other).mean() < 0.01


def test_it_is_learned_the_same_twice(faces) -> None:
    first, second = (learn_face_basis(faces, rows=12) for _ in range(2))
    assert first.checksum == second.checksum


def test_what_sending_costs_is_measured_on_the_held_out_clips(faces) -> None:
    sent = measure_coding_errors(faces)
    assert sent.frames == 10
    assert sent.bytes_per_second <= 6000
    assert 0 < sent.mean <= sent.worst_frame <= sent.largest < 1


def test_too_few_faces_are_told(faces) -> None:
    with pytest.raises(ConfigError, match="too few"):
        learn_face_basis(faces, rows=100)
