import pytest
import torch
from torch import nn

from livehead.models.blocks import Hourglass
from livehead.models.quantize import (
    FakeQuantizedConv,
    fake_quantize,
    observe_ranges,
    ranges_to_tensors,
    select_ranges,
    split_ranges,
)


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.body = Hourglass(8, 4, 16, 2)
        self.unused = nn.Conv2d(3, 3, 1)

    def forward(self, x):
        return self.body(torch.relu(self.first(x)))


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Network().eval()


def pictures(count):
    torch.manual_seed(1)
    return [torch.randn(1, 3, 16, 16) for _ in range(count)]


@torch.no_grad()
def ranges_of(network, inputs):
    return observe_ranges(network, lambda: [network(x) for x in inputs])


def test_a_range_is_the_mean_of_the_calls_extremes_and_holds_zero(network):
    low, high = torch.full((1, 3, 16, 16), 2.0), torch.full((1, 3, 16, 16), 4.0)
    assert ranges_of(network, [low, high])["first"] == (0.0, 3.0)


def test_convolutions_that_were_not_called_have_no_range(network):
    ranges = ranges_of(network, pictures(2))
    assert "unused" not in ranges
    assert {"first", "body.encoder.down_blocks.0.conv", "body.decoder.up_blocks.1.conv"} <= ranges.keys()


def test_observing_leaves_no_hook_behind(network):
    ranges_of(network, pictures(1))
    assert all(not module._forward_pre_hooks for module in network.modules())


def test_a_rounded_network_stays_within_a_few_steps_of_the_exact_one(network):
    inputs = pictures(4)
    eight = fake_quantize(network, ranges_of(network, inputs))
    with torch.no_grad():
        exact = torch.cat([network(x) for x in inputs])
        error = torch.cat([eight(x) for x in inputs]) - exact
    assert 0 < error.square().mean().sqrt() < 0.03 * exact.std()


def test_rounding_is_done_to_256_levels():
    conv = nn.Conv2d(1, 1, 1, bias=False)
    conv.weight.data.fill_(1.0)
    levels = FakeQuantizedConv(conv, (-1.0, 1.0))(torch.linspace(-1, 1, 5000).view(1, 1, 1, -1)).unique()
    assert 250 <= len(levels) <= 256


@pytest.mark.parametrize("span", [(-1.0, 0.5), (0.0, 2.0)])
def test_a_transposed_convolution_rounds_about_zero(span):
    layer = nn.Sequential(nn.ConvTranspose2d(1, 1, 1, bias=False))
    layer[0].weight.data.fill_(1.0)
    x = torch.linspace(*span, 5000).view(1, 1, 1, -1)
    with torch.no_grad():
        ranges = observe_ranges(layer, lambda: layer(x))
        found = fake_quantize(layer, ranges)(x)
        assert fake_quantize(layer, ranges)(torch.zeros(1, 1, 1, 1)).item() == 0
    assert ranges == {"0": span}
    assert len(found.unique()) > 180
    assert (found - x).abs().max() <= 1 / 127


def test_rounding_leaves_the_given_network_alone(network):
    before = network.first
    fake_quantize(network, {"first": (0.0, 1.0)})
    assert network.first is before


def test_ranges_lie_beside_weights_and_come_back(network):
    ranges = {"first": (-0.5, 1.5), "body.encoder.down_blocks.0.conv": (0.0, 2.0)}
    weights = {"first.weight": torch.ones(1)}
    kept, found = split_ranges(weights | ranges_to_tensors(ranges))
    assert found == ranges
    assert kept == weights
    assert select_ranges(found, "body") == {"encoder.down_blocks.0.conv": (0.0, 2.0)}
