import numpy as np

from livehead.figure.vertex_colours import normals_to_colours, sample_photo_colours


def test_normals_are_shown_as_half_of_them_plus_a_half():
    shown = normals_to_colours(np.array([[0, 0, 1], [-1, 0, 0]], np.float32))
    np.testing.assert_array_equal(shown, [[128, 128, 255], [0, 128, 128]])


def halves():
    """A person in the middle third of the picture, red on the left and blue on the right, before a green wall."""
    image = np.zeros((90, 90, 3), np.uint8)
    image[:] = (0, 255, 0)
    image[:, 30:45], image[:, 45:60] = (255, 0, 0), (0, 0, 255)
    person = np.zeros((90, 90), np.float32)
    person[:, 30:60] = 1
    return image, person


def test_a_vertex_takes_the_colour_of_its_place_in_front_and_behind():
    image, person = halves()
    places = np.array([[-0.2, 0.5, 0.1], [0.2, -0.5, 0.1], [0.2, -0.5, -0.1]], np.float32)
    np.testing.assert_array_equal(sample_photo_colours(places, image, person), [[255, 0, 0], [0, 0, 255], [0, 0, 255]])


def test_the_background_s_colour_gets_nowhere():
    image, person = halves()
    rng = np.random.default_rng(0)
    shown = sample_photo_colours(rng.uniform(-1, 1, (50_000, 3)).astype(np.float32), image, person)
    assert not shown[:, 1].any()


def test_up_in_the_figure_is_up_in_the_picture():
    image = np.zeros((64, 64, 3), np.uint8)
    image[:32] = 255
    person = np.ones((64, 64), np.float32)
    shown = sample_photo_colours(np.array([[0, 0.9, 0], [0, -0.9, 0]], np.float32), image, person)
    assert shown[0, 0] == 255
    assert shown[1, 0] == 0
