"""pytorch-openpose's decoder."""

import numpy as np

from livehead.models.openpose.pytorch_openpose import assemble_smoothed, decode_smoothed, resize_for_network


def test_people_are_pytorch_openpose_s(parity):
    fixture = parity("openpose-decoder-pytorch-openpose-coco18")
    size = tuple(fixture["image_size"].tolist())
    peaks, persons = assemble_smoothed(fixture["net_output"].numpy(), size)
    candidates, subset = fixture["candidate"].numpy(), fixture["subset"].numpy()
    found = np.stack([peaks.x, peaks.y, peaks.score], axis=1)
    np.testing.assert_allclose(found, candidates[:, :3], atol=1e-4)
    np.testing.assert_array_equal(persons.peaks, subset[:, :18])
    np.testing.assert_allclose(persons.score, subset[:, 18], atol=1e-4)
    np.testing.assert_array_equal(persons.count, subset[:, 19])


def test_its_input_is_184_pixels_high_and_padded_with_grey():
    pixels = resize_for_network(np.zeros((240, 320, 3), np.uint8))
    assert pixels.shape == (3, 184, 248)
    assert pixels[0, 0, 0] == -0.5
    assert pixels[0, 0, 247] == 0


def test_empty_maps_show_nobody():
    assert len(decode_smoothed(np.zeros((57, 23, 31), np.float32), (320, 240)).score) == 0
