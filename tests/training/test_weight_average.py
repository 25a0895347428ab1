"""The moving average against the update it replaced, and the checkpoints of earlier runs."""

import copy

import pytest
import torch
from torch import nn

from livehead.training.compact.mouth_adversary import MouthAdversary
from livehead.training.compact.recipe import CompactRecipe, TrainingPhase
from livehead.training.compact.state import new_state
from livehead.training.weight_average import WeightAverage

DECAY = 0.995


def small_network(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))


def train_a_little(network, generator):
    for value in network.parameters():
        value.data += 0.1 * torch.randn(value.shape, generator=generator)
    network[1].running_mean += 1
    network[1].num_batches_tracked += 1


@torch.no_grad()
def former_update(average, model, step):
    """The update that runs were trained with before PyTorch's own took its place."""
    decay = min(DECAY, (1 + step) / (10 + step))
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)
    for mine, theirs in zip(average.buffers(), model.buffers(), strict=True):
        mine.copy_(theirs)


def test_it_is_bit_for_bit_the_average_that_earlier_runs_had():
    network, generator = small_network(0), torch.Generator().manual_seed(1)
    average, former = WeightAverage(network, DECAY), copy.deepcopy(network)
    for step in range(2500):  # from where the decay grows to where it stays
        train_a_little(network, generator)
        average.update(network)
        former_update(former, network, step)
    for name, value in former.state_dict().items():
        assert torch.equal(average.module.state_dict()[name], value), name


def test_an_average_that_is_read_from_a_checkpoint_goes_on_as_one_that_never_stopped():
    network, generator = small_network(0), torch.Generator().manual_seed(1)
    average = WeightAverage(network, DECAY)
    for _ in range(3):
        train_a_little(network, generator)
        average.update(network)
    other = WeightAverage(small_network(2), DECAY)
    other.load_state_dict(average.module.state_dict(), updates=3)
    train_a_little(network, generator)
    for each in (average, other):
        each.update(network)
    for name, value in average.module.state_dict().items():
        assert torch.equal(other.module.state_dict()[name], value), name


def test_it_is_in_evaluation_mode_and_no_gradient_reaches_it():
    average = WeightAverage(small_network(0).train(), DECAY)
    assert not any(module.training for module in average.module.modules())
    assert not any(value.requires_grad for value in average.module.parameters())


@pytest.fixture
def state():
    torch.manual_seed(0)
    recipe = CompactRecipe(stages=(TrainingPhase(samples=1),))
    return new_state(recipe, torch.device("cpu"))


def test_a_checkpoint_of_an_earlier_run_is_read_and_written_under_the_same_keys(state, tmp_path):
    """``average`` is a plain state dict of the model, as it was before."""
    keys = list(state.model.state_dict())
    document = {
        "model": state.model.state_dict(),
        "average": {key: value + 1 for key, value in state.model.state_dict().items()},
        "optimiser": state.optimiser.state_dict(),
        "counts": {"step": 7, "samples": 42, "seconds": 1.5},
    }
    torch.save(document, tmp_path / "earlier.pt")
    state.load(tmp_path / "earlier.pt", MouthAdversary)
    assert (state.step, state.samples, state.seconds) == (7, 42, 1.5)
    state.save(tmp_path / "now.pt")
    written = torch.load(tmp_path / "now.pt", weights_only=True)
    assert written.keys() == document.keys()
    assert written["counts"] == document["counts"]
    assert list(written["average"]) == keys
    for key, value in document["average"].items():
        assert torch.equal(written["average"][key], value), key
