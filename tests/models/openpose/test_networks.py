"""The five published networks, number by number."""

import pytest
import torch

from livehead.models.openpose.build import BranchSizes, DenseSizes, build_branch_network, build_dense_network
from livehead.models.openpose.skeletons import BODY_25, COCO_18, MPI_15
from livehead.weights.convert import load_official

NETWORKS = ("body25", "coco18", "mpi15", "hand21", "face70")


@pytest.mark.parametrize("name", NETWORKS)
def test_maps_are_the_published_ones(name, parity, published):
    fixture = parity(f"openpose-net-{name}")
    tensors = published(f"openpose-{name}-caffe", float(fixture["gain"]), float(fixture["onedim"]))
    network = load_official(f"openpose-{name}", tensors)
    with torch.inference_mode():
        torch.testing.assert_close(network(fixture["x"]), fixture["net_output"], atol=1e-4, rtol=1e-4)


def test_every_stage_of_body_25_is_the_published_one(parity, published):
    fixture = parity("openpose-net-body25")
    network = load_official("openpose-body25", published("openpose-body25-caffe", 1.0, 0.25))
    seen = {}
    for branch, level in ((network.fields, "L2"), (network.heats, "L1")):
        for number, stage in enumerate(branch):
            name = f"stage_Mconv7_stage{number}_{level}"
            stage.register_forward_hook(lambda _, __, output, name=name: seen.update({name: output}))
    with torch.inference_mode():
        network(fixture["x"])
    assert seen.keys() == {key for key in fixture if key.startswith("stage_")}
    for name, maps in seen.items():
        torch.testing.assert_close(maps, fixture[name], atol=1e-4, rtol=1e-4)


TINY = {"vgg": (4, None, 4, None, 4, None, 4), "neck": 4, "features": 4}


@pytest.mark.parametrize(
    ("network", "skeleton"),
    [
        (build_dense_network(BODY_25, DenseSizes(**TINY, first=(4, 4), later=(4, 4))), BODY_25),
        (build_branch_network(COCO_18, BranchSizes(**TINY)), COCO_18),
    ],
    ids=["dense", "branches"],
)
def test_an_odd_side_is_rounded_up_at_every_pool(network, skeleton):
    maps = network(torch.zeros(2, 3, 33, 41))
    assert maps.shape == (2, skeleton.heat_planes + skeleton.field_planes, 5, 6)


def test_the_quick_mpi_network_is_the_beginning_of_the_full_one(listing):
    network = build_branch_network(MPI_15, BranchSizes(**TINY))
    quick = network.truncate_stages(4)
    x = torch.rand(1, 3, 32, 32)
    seen = []
    network.heats[3].register_forward_hook(lambda _, __, output: seen.append(output))
    network(x)
    assert torch.equal(quick(x)[:, : MPI_15.heat_planes], seen[0])
    layers = {key for key in listing("openpose-mpi15-caffe") if "stage5" not in key and "stage6" not in key}
    assert layers == listing("openpose-mpi15-4stages-caffe").keys()
