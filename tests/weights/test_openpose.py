"""OpenPose's published files become its networks, by whichever names their keys have."""

import pytest
import torch
from safetensors.torch import save_file

from livehead.errors import WeightsMismatchError
from livehead.weights.catalog import identify_network
from livehead.weights.checkpoint_store import CheckpointStore
from livehead.weights.convert import load_official, to_official_keys

LISTINGS = {
    "openpose-body25-caffe": "openpose-body25",
    "openpose-coco18-caffe": "openpose-coco18",
    "openpose-mpi15-caffe": "openpose-mpi15",
    "openpose-hand21-caffe": "openpose-hand21",
    "openpose-face70-caffe": "openpose-face70",
    "openpose-body_pose_model.pth": "openpose-coco18",
    "openpose-hand_pose_model.pth": "openpose-hand21",
    "openpose-body_pytorch-openpose-module": "openpose-coco18",
    "openpose-hand_pytorch-openpose-module": "openpose-hand21",
}


def zeros(shapes):
    """Tensors of these shapes that take no memory."""
    return {key: torch.zeros(()).expand(shape) for key, shape in shapes.items()}


@pytest.mark.parametrize(("listing_name", "network"), LISTINGS.items())
def test_every_key_of_every_file_has_its_place(listing, listing_name, network):
    tensors = zeros(listing(listing_name))
    assert identify_network(tensors) == network
    load_official(network, tensors)


@pytest.mark.parametrize("name", [f"openpose-{net}" for net in ("body25", "coco18", "mpi15", "hand21", "face70")])
def test_our_keys_go_back_to_the_published_ones(listing, name):
    shapes = listing(f"{name}-caffe")
    network = load_official(name, zeros(shapes))
    assert to_official_keys(name, network.state_dict()).keys() == shapes.keys()


def test_a_missing_slope_is_named(listing):
    tensors = zeros(listing("openpose-body25-caffe"))
    del tensors["prelu4_2.weight"]
    with pytest.raises(WeightsMismatchError, match=r"lacks prelu4_2\.weight"):
        load_official("openpose-body25", tensors)


def test_the_four_stage_file_is_refused_as_incomplete(listing):
    tensors = zeros(listing("openpose-mpi15-4stages-caffe"))
    assert identify_network(tensors) == "openpose-mpi15"
    with pytest.raises(WeightsMismatchError, match="lacks Mconv1_stage5"):
        load_official("openpose-mpi15", tensors)


def test_a_hand_is_no_body(tmp_path, listing):
    path = tmp_path / "hand.safetensors"
    save_file({key: torch.zeros(shape) for key, shape in listing("openpose-hand21-caffe").items()}, path)
    with pytest.raises(WeightsMismatchError, match="import it --as openpose-hand21"):
        CheckpointStore(tmp_path / "weights").import_files("openpose-body25", [path])
