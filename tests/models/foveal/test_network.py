import pytest
import torch

from livehead.models.foveal.curve_warp import PatchShape, band_coordinate, warp_between_shapes
from livehead.models.foveal.network import FovealNetwork, FovealReferences

HEIGHT, WIDTH = 40, 48


def shape(*heights, batch=1, corners=(10.0, 37.0)):
    curves = torch.tensor(heights)[None, :, None].expand(batch, 4, WIDTH).contiguous()
    ends, middle = torch.tensor([corners]).expand(batch, 2), torch.tensor([[WIDTH / 2, HEIGHT / 2]]).expand(batch, 2)
    return PatchShape(curves, ends, middle, torch.zeros(batch, 3))


def references(batch, known):
    count = len(known)
    generator = torch.Generator().manual_seed(3)
    patches = torch.rand(batch, count, 3, HEIGHT, WIDTH, generator=generator)
    flags = torch.tensor([known]).expand(batch, count).float()
    return FovealReferences(patches, shape(8.0, 16.0, 24.0, 32.0, batch=batch * count), flags, torch.zeros_like(flags))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = FovealNetwork().eval()
    for layer in (network.colours, network.own_shares, network.reference_shares):
        torch.nn.init.normal_(layer.weight, std=0.05)
    return network


@torch.no_grad()
def draw(network, refs, batch=1):
    picture = torch.rand(batch, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1))
    return network(picture, shape(8.0, 15.0, 25.0, 32.0, batch=batch), refs, torch.zeros(batch))


def test_a_patch_warped_to_its_own_shape_stays_as_it_is():
    picture, own = torch.rand(1, 3, HEIGHT, WIDTH), shape(8.0, 16.0, 24.0, 32.0)
    torch.testing.assert_close(warp_between_shapes(picture, own, own), picture, atol=1e-4, rtol=0)


def test_warping_carries_each_band_to_its_new_place():
    rows = torch.arange(HEIGHT).float()[None, None, :, None].expand(1, 1, HEIGHT, WIDTH) / HEIGHT
    warped = warp_between_shapes(rows, shape(8.0, 16.0, 24.0, 32.0), shape(4.0, 12.0, 30.0, 36.0))[0, 0, :, 20]
    for wanted, own in ((4, 8), (12, 16), (21, 20), (30, 24), (36, 32)):
        assert float(warped[wanted]) * HEIGHT == pytest.approx(own, abs=0.3)


def test_a_shut_mouth_has_an_inside_that_is_thin_and_finite():
    bands = band_coordinate(shape(15.0, 20.0, 20.0, 25.0), HEIGHT)
    assert torch.isfinite(bands).all()
    warped = warp_between_shapes(
        torch.rand(1, 3, HEIGHT, WIDTH), shape(15.0, 20.0, 20.0, 25.0), shape(9.0, 12.0, 30.0, 33.0)
    )
    assert torch.isfinite(warped).all()


def test_untrained_it_draws_mostly_the_picture_it_was_given():
    picture = torch.rand(1, 3, HEIGHT, WIDTH)
    output = FovealNetwork().eval()(picture, shape(8.0, 16.0, 24.0, 32.0), references(1, [0, 0, 0]), torch.zeros(1))
    torch.testing.assert_close(output.image, picture, atol=0.02, rtol=0)


def test_what_an_unknown_reference_shows_does_not_matter(network):
    first = references(1, [1, 0, 0])
    other = first._replace(patches=torch.cat([first.patches[:, :1], torch.zeros_like(first.patches[:, 1:])], dim=1))
    torch.testing.assert_close(draw(network, first).image, draw(network, other).image)


def test_the_order_of_the_references_does_not_matter(network):
    refs = references(1, [1, 1, 1])
    turned = refs._replace(patches=refs.patches.flip(1))
    torch.testing.assert_close(draw(network, refs).image, draw(network, turned).image, atol=1e-5, rtol=1e-4)


def test_each_sample_of_a_batch_is_drawn_as_if_it_were_alone(network):
    whole = draw(network, references(2, [1, 1, 0]), batch=2)
    refs = references(2, [1, 1, 0])
    second = FovealReferences(
        refs.patches[1:], PatchShape(*(part[3:] for part in refs.shapes)), refs.known[1:], refs.live[1:]
    )
    picture = torch.rand(2, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1))[1:]
    with torch.no_grad():
        alone = network(picture, shape(8.0, 15.0, 25.0, 32.0), second, torch.zeros(1))
    torch.testing.assert_close(whole.image[1:], alone.image, atol=1e-5, rtol=1e-4)
