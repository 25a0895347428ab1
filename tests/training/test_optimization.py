import math

import pytest
import torch
from torch import nn

from livehead.training.optimization import set_learning_rate, take_optimiser_step


@pytest.fixture
def network():
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 1.0)
    return network


def test_a_step_lowers_the_loss_and_returns_the_norm_before_clipping(network):
    optimiser = torch.optim.SGD(network.parameters(), lr=1.0)
    norm = take_optimiser_step(optimiser, network, 3 * network.weight.sum(), max_norm=0.5)
    assert norm == pytest.approx(3)
    assert network.weight.item() == pytest.approx(0.5, abs=1e-5)


def test_a_step_without_a_finite_gradient_is_left_out(network):
    optimiser = torch.optim.SGD(network.parameters(), lr=1.0)
    assert not math.isfinite(take_optimiser_step(optimiser, network, (network.weight * math.inf).sum()))
    assert network.weight.item() == 1


def test_every_parameter_group_gets_the_rate(network):
    other = nn.Linear(1, 1)
    groups = [{"params": network.parameters()}, {"params": other.parameters(), "lr": 5.0}]
    optimiser = torch.optim.SGD(groups, lr=1.0)
    set_learning_rate(optimiser, 0.25)
    assert [group["lr"] for group in optimiser.param_groups] == [0.25, 0.25]
