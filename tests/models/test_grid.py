import torch
import torch.nn.functional as F

from livehead.models.grid import identity_grid, resize_flow, sample_features, warp


def picture(channels=12, height=16, width=24):
    return torch.rand(2, channels, height, width, generator=torch.Generator().manual_seed(1))


def some_flow(height, width):
    return 0.3 * torch.randn(2, height, width, 2, generator=torch.Generator().manual_seed(2))


def test_no_motion_gives_every_pixel_back():
    image = picture()
    assert torch.allclose(warp(image, torch.zeros(2, 16, 24, 2)), image, atol=1e-6)


def test_a_flow_of_one_pixel_points_backwards():
    image = picture()
    flow = torch.zeros(2, 16, 24, 2)
    flow[..., 0] = 2 / 24
    assert torch.allclose(warp(image, flow)[..., :-1], image[..., 1:], atol=1e-5)


def test_gathering_without_gradients_equals_sampling_with_them():
    image, flow = picture(), some_flow(10, 14)
    sampled = warp(image, flow)
    with torch.no_grad():
        gathered = warp(image.contiguous(memory_format=torch.channels_last), flow)
    assert torch.allclose(gathered, sampled, atol=1e-5)
    assert torch.allclose(
        sampled,
        F.grid_sample(image, identity_grid(10, 14, image) + flow, padding_mode="border", align_corners=False),
        atol=1e-5,
    )


def test_half_precision_features_keep_full_precision_places():
    image, flow = picture(), some_flow(16, 24)
    with torch.no_grad():
        half = warp(image.bfloat16(), flow)
        full = warp(image, flow)
    assert half.dtype == torch.bfloat16
    assert (half.float() - full).abs().max() < 0.02


def test_a_constant_flow_stays_constant_at_every_size():
    flow = torch.full((1, 16, 16, 2), 0.25)
    for side in (8, 16, 40):
        assert torch.allclose(resize_flow(flow, side, side), torch.full((1, side, side, 2), 0.25))


def test_beyond_the_border_there_is_nothing_where_that_is_asked_for():
    image = picture()
    places = identity_grid(10, 14, image) + 4 * some_flow(10, 14)
    expected = F.grid_sample(image, places, padding_mode="zeros", align_corners=False)
    assert torch.allclose(sample_features(image, places, "zeros"), expected)
    with torch.no_grad():
        assert torch.allclose(sample_features(image, places, "zeros"), expected, atol=1e-5)
