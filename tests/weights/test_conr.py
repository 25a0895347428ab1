"""CoNR's four published files: recognised by what is in them, and nothing else taken for them."""

import pytest
import torch

from livehead.errors import WeightsMismatchError
from livehead.weights.catalog import identify_network
from livehead.weights.convert import load_official, to_official_keys

PARTS = ("udpparsernet", "target_pose_encoder", "shader", "rgbadecodernet")


def zeros(shapes):
    return {key: torch.zeros(()).expand(shape) for key, shape in shapes.items()}


@pytest.mark.parametrize("part", PARTS)
def test_every_key_has_its_place(part, listing):
    tensors = zeros(listing(f"conr-{part}"))
    assert identify_network(tensors) == f"conr-{part}"
    network = load_official(f"conr-{part}", tensors)
    assert not network.training
    assert to_official_keys(f"conr-{part}", network.state_dict()).keys() == tensors.keys()


@pytest.mark.parametrize("part", PARTS)
def test_a_key_too_few_or_too_many_is_named(part, listing):
    tensors = zeros(listing(f"conr-{part}"))
    key, value = tensors.popitem()
    with pytest.raises(WeightsMismatchError, match=f"lacks {key}"):
        load_official(f"conr-{part}", tensors)
    with pytest.raises(WeightsMismatchError, match="unknown extra"):
        load_official(f"conr-{part}", tensors | {key: value, "extra": torch.zeros(1)})


def decoder(published):
    return published("conr-rgbadecodernet")


@pytest.mark.parametrize(
    "keys",
    [
        {"conv_rgba.weight": (4, 64, 3, 3), "conv_rgba.bias": (4,), "bottleneck.r0.norm1.weight": (64, 64, 1, 1)},
        {"net.0.main.0.weight": (96, 75, 3, 3), "net.3.main.1.main.0.weight": (192, 96, 3, 3)},
    ],
    ids=["decoder", "renderer"],
)
def test_files_of_the_successor_are_refused_with_the_reason(store, tmp_path, keys):
    path = tmp_path / "rgbadecodernet.pth"
    torch.save({key: torch.zeros(shape) for key, shape in keys.items()}, path)
    with pytest.raises(WeightsMismatchError, match="Live3D-v2") as told:
        store.import_files("conr", [path])
    assert "rgbadecodernet.pth" in str(told.value)


def test_one_file_of_four_says_which_are_missing(store, tmp_path, published):
    path = tmp_path / "rgbadecodernet.pth"
    torch.save(decoder(published), path)
    with pytest.raises(WeightsMismatchError, match="no udpparsernet and no target_pose_encoder and no shader inside"):
        store.import_files("conr", [path])
    with pytest.raises(WeightsMismatchError, match="import it --as conr"):
        store.import_files("dagan-vox-256", [path])


def test_another_width_is_refused_by_its_first_key(store, tmp_path, published):
    path = tmp_path / "rgbadecodernet.pth"
    torch.save(decoder(published) | {"bottleneck.r0.conv1.weight": torch.zeros(32, 32, 3, 3)}, path)
    with pytest.raises(WeightsMismatchError, match=r"another shape of bottleneck\.r0\.conv1\.weight"):
        store.import_files("conr", [path])
