import hashlib
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from livehead.errors import WeightsChecksumError, WeightsMismatchError, WeightsMissingError
from livehead.weights.bundled import bundled_weights, find_weights
from livehead.weights.safetensors_file import load_strict_state, read_entry, read_safetensors, read_weights


@dataclass
class Entry:
    """An entry outside the package."""

    path: Path
    sha256: str
    name: str = "mine"
    file: str = "mine.safetensors"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.safetensors"
    save_file({"weight": torch.ones(2, 3), "bias": torch.zeros(2)}, path)
    return path


def test_a_file_with_the_recorded_checksum_is_read(file):
    entry = Entry(file, hashlib.sha256(file.read_bytes()).hexdigest())
    assert set(read_entry(entry)) == {"weight", "bias"}


def test_a_damaged_file_is_refused(file):
    entry = Entry(file, hashlib.sha256(file.read_bytes()).hexdigest())
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(WeightsChecksumError, match="damaged"):
        read_entry(entry)


def test_unknown_weights_are_answered_with_what_there_is():
    with pytest.raises(WeightsMissingError, match="bundled are"):
        find_weights("nobody")


def test_tensors_go_into_the_network_whatever_their_precision(file):
    network = nn.Linear(3, 2)
    load_strict_state(network, {name: value.half() for name, value in read_safetensors(file).items()}, "mine")
    assert network.weight.dtype == torch.float32
    assert (network.weight == 1).all()


@pytest.mark.parametrize(
    ("network", "complaint"),
    [(nn.Linear(4, 2), "another shape of weight"), (nn.Linear(3, 2, bias=False), "unknown bias")],
)
def test_a_tensor_that_does_not_fit_is_named(file, network, complaint):
    with pytest.raises(WeightsMismatchError, match=complaint):
        load_strict_state(network, read_safetensors(file), "mine")


def test_what_is_no_safetensors_file_is_refused(tmp_path):
    path = tmp_path / "weights.bin"
    path.write_bytes(b"not tensors")
    with pytest.raises(WeightsMismatchError, match="no safetensors"):
        read_safetensors(path)


@pytest.mark.parametrize("name", sorted(bundled_weights()))
def test_bundled_weights_are_whole_small_and_described(name):
    entry = find_weights(name)
    assert read_weights(name)
    assert len(entry.path.read_bytes()) <= 10e6
    assert entry.licence
    assert (entry.path.parent / entry.card).is_file()
