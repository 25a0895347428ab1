import numpy as np

from livehead.figure.rasterizer import rasterize

SQUARE = np.array([[2, 8, 0], [8, 8, 0], [8, 2, 0], [2, 2, 0]], np.float32)  # pixels, y down
FRONT = np.array([[0, 1, 2], [0, 2, 3]], np.int32)


def picture(fragments, width, height):
    drawn = np.full((height, width), -1)
    drawn[fragments.rows, fragments.columns] = fragments.face_indices
    return drawn


def test_a_square_covers_its_pixels_once():
    fragments = rasterize(SQUARE, FRONT, 10, 12)
    drawn = picture(fragments, 10, 12)
    assert (drawn[2:8, 2:8] >= 0).all()
    assert (drawn >= 0).sum() == 36 == len(fragments.face_indices)
    assert set(drawn[2:8, 2:8].ravel()) == {0, 1}


def test_backs_are_not_seen():
    assert not len(rasterize(SQUARE, FRONT[:, ::-1], 10, 12).face_indices)


def test_the_nearer_face_hides_the_other_whatever_the_order():
    near = SQUARE + np.array([1, 1, 5], np.float32)
    for first, second in ((SQUARE, near), (near, SQUARE)):
        drawn = picture(rasterize(np.vstack([first, second]), np.vstack([FRONT, FRONT + 4]), 10, 10), 10, 10)
        nearest = {0, 1} if first is near else {2, 3}
        assert set(drawn[3:9, 3:9].ravel()) == nearest


def test_values_are_mixed_between_corners():
    fragments = rasterize(SQUARE, FRONT, 10, 10)
    mixed = fragments.interpolate(SQUARE, FRONT)
    np.testing.assert_allclose(mixed[:, 0], fragments.columns + 0.5, atol=1e-5)
    np.testing.assert_allclose(mixed[:, 1], fragments.rows + 0.5, atol=1e-5)


def test_what_reaches_out_of_the_picture_is_cut():
    drawn = picture(rasterize(SQUARE * 4 - 12, FRONT, 10, 10), 10, 10)
    assert (drawn >= 0).all()
    assert not len(rasterize(SQUARE + 100, FRONT, 10, 10).face_indices)


def test_large_and_tiny_faces_together():
    rng = np.random.default_rng(1)
    corners = rng.uniform(0, 64, (300, 1, 3)) + rng.normal(0, 1, (300, 3, 3)) * rng.choice([0.4, 3, 20], (300, 1, 1))
    points, faces = corners.reshape(-1, 3).astype(np.float32), np.arange(900, dtype=np.int32).reshape(-1, 3)
    drawn = picture(rasterize(points, faces, 64, 64), 64, 64)
    np.testing.assert_array_equal(drawn >= 0, _by_hand(points, faces, 64) >= 0)
    assert (drawn != _by_hand(points, faces, 64)).mean() < 0.002, "but where depths are equal to a billionth"


def _by_hand(points, faces, side):
    """One pixel after the other."""
    drawn, depth = np.full((side, side), -1), np.full((side, side), -np.inf)
    rows, columns = np.mgrid[:side, :side] + 0.5
    for number, (a, b, c) in enumerate(points[faces].astype(np.float64)):
        area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        if area >= 0:
            continue
        v = ((columns - a[0]) * (c[1] - a[1]) - (rows - a[1]) * (c[0] - a[0])) / area
        w = ((b[0] - a[0]) * (rows - a[1]) - (b[1] - a[1]) * (columns - a[0])) / area
        z = (1 - v - w) * a[2] + v * b[2] + w * c[2]
        nearer = (v >= 0) & (w >= 0) & (v + w <= 1) & (z > depth)
        drawn[nearer], depth[nearer] = number, z[nearer]
    return drawn
