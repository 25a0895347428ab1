"""Our PIFuHD gives what the published one gives, from the same weights."""

import numpy as np
import pytest
import torch

from livehead.models.pifuhd import octree
from livehead.models.pifuhd.marching_cubes import extract_surface
from livehead.models.pifuhd.normals import NormalNet
from livehead.weights.convert import load_official


def same(found, expected, atol=1e-4, rtol=1e-4):
    torch.testing.assert_close(found, expected, atol=atol, rtol=rtol)


@torch.inference_mode()
def test_a_tiny_normal_net(parity):
    fixture = parity("pifuhd-normalnet-tiny")
    config = fixture["config"]
    network = NormalNet(config["ngf"], config["n_downsample"], config["n_blocks"]).eval()
    network.load_state_dict({key[3:]: value for key, value in fixture.items() if key.startswith("sd/")})
    same(network(fixture["x"]), fixture["y"])


@pytest.fixture(scope="module")
def coarse(published):
    """The coarse half's tensors, which both published layouts share: 380 of 387 million numbers."""
    return {key: value for key, value in published("pifuhd-finedepth4", 0.8).items() if key.startswith("netG.")}


@pytest.mark.parametrize("depth", [4, 2])
@torch.inference_mode()
def test_the_whole_network_at_the_published_size(parity, published, coarse, depth):
    fixture = parity("pifuhd-full")
    fine = published(f"pifuhd-finedepth{depth}", 0.8, wanted=lambda key: not key.startswith("netG."))
    network = load_official("pifuhd", coarse | fine)
    code = network.encode(fixture["img_coarse"], fixture["img_fine"])
    same(code.front, fixture["nmlF"])
    same(code.back, fixture["nmlB"])
    same(code.coarse.mean(dim=(2, 3)), fixture["coarse_feat_mean"])
    same(code.fine.mean(dim=(2, 3)), fixture[f"fine_feat_mean_d{depth}"])
    same(code.coarse[:, ::4, ::4, ::4], fixture["coarse_feat_crop"])
    same(code.fine[:, :, ::8, ::8], fixture[f"fine_feat_crop_d{depth}"])
    found = network.query(code, fixture["points"])
    same(found.coarse, fixture["coarse_pred"])
    same(found.embedding[..., :60], fixture["phi"])
    same(found.fine, fixture[f"fine_pred_d{depth}"])
    same(network(fixture["img_coarse"], fixture["img_fine"], fixture["points"]).fine, found.fine)
    # Differences of a thousandth in float32: the fixture's own rounding moves a few of the 900 numbers by 4e-3 (found
    # by computing them in float64), and which ones depends on how many threads a product is split over.
    error = (network.surface_normals(code, fixture["points"]) - fixture[f"fine_normals_d{depth}"]).abs()
    assert error.max() < 8e-3
    assert (error > 2e-3).sum() <= 9
    assert error.mean() < 3e-4


@pytest.mark.parametrize("resolution", [64, 128])
def test_the_published_octree_with_its_quirks(parity, body, resolution):
    fixture = parity("pifuhd-octree")
    grid = octree.evaluate_octree(body, resolution, first=int(fixture["init_resolution"]), published=True)
    assert grid.evaluated == int(fixture[f"evals_octree_{resolution}"])
    step = resolution // 64  # the fixture keeps every other sample of the finer one
    np.testing.assert_allclose(grid.values[::step, ::step, ::step], fixture[f"grid_{resolution}"], atol=1e-6)
    mesh = extract_surface(grid)
    assert len(mesh.vertices) == int(fixture[f"verts_{resolution}"])
    assert mesh.volume() == pytest.approx(float(fixture[f"volume_{resolution}"]), rel=1e-6)
    box = np.stack([mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)])
    np.testing.assert_allclose(box, fixture[f"bbox_{resolution}"], atol=1e-6)
