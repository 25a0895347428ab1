import numpy as np

from livehead.motion.retarget.best_frame import find_best_frame, shape_distances


def test_the_best_frame_is_the_published_one(parity):
    fixture = parity("dagan-bestframe")
    source, *frames = fixture["landmarks"].numpy()
    np.testing.assert_allclose(shape_distances(source, frames), fixture["scores"].numpy(), rtol=1e-5)
    assert find_best_frame(source, frames) == int(fixture["best"])


def test_neither_place_nor_size_of_the_face_counts():
    rng = np.random.default_rng(0)
    shape, other = rng.normal(size=(2, 68, 2))
    assert find_best_frame(shape, [other, 3 * shape + np.array([5, -2]), shape + 0.3 * other]) == 1
