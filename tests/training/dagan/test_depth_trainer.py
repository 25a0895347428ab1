import csv

import pytest
import torch

from livehead.training.dagan.depth_losses import depth_losses
from livehead.training.dagan.depth_state import load_state, new_state, save_state
from livehead.training.dagan.depth_trainer import neighbour_views, run
from livehead.training.dagan.recipe import DepthRecipe
from livehead.weights.checkpoint_store import CheckpointStore

RECIPE = """
side = 64
batch = {batch}
samples = {samples}
rate = {rate}
log_every = 1
"""

pytestmark = pytest.mark.usefixtures("one_thread")


def recipe(folder, samples, batch=2, rate=1e-4):
    path = folder / f"recipe-{samples}.toml"
    path.write_text(RECIPE.format(samples=samples, batch=batch, rate=rate))
    return path


def column(folder, log, name):
    with (folder / log).open() as rows:
        return [float(row[name]) for row in csv.DictReader(rows)]


def test_held_out_frames_come_to_look_like_their_neighbours(cache, tmp_path):
    run(cache, recipe(tmp_path, 24), tmp_path / "out")
    before, after = column(tmp_path / "out", "val.csv", "photometric")
    assert after < before
    assert list((tmp_path / "out" / "sheets").glob("*.png"))


def test_a_resumed_run_goes_on_as_an_unbroken_one(cache, tmp_path):
    run(cache, recipe(tmp_path, 4), tmp_path / "whole")
    run(cache, recipe(tmp_path, 2), tmp_path / "broken")
    run(cache, recipe(tmp_path, 4), tmp_path / "broken", resume=True)
    whole, broken = (column(tmp_path / name, "train.csv", "loss") for name in ("whole", "broken"))
    assert len(whole) == 2
    assert broken == pytest.approx(whole, rel=1e-4)


def test_the_lens_is_learned_too():
    """The published training cuts intrinsics to whole numbers, and nothing reaches them."""
    torch.manual_seed(0)
    state = new_state(DepthRecipe(side=64), torch.device("cpu"))
    frames = torch.rand(1, 3, 3, 64, 64)
    sight = state.model(frames)
    terms = depth_losses(frames[:, 1], sight.disparities, neighbour_views(sight, frames), None)
    terms.photometric.backward()
    for head in state.model.pose.net:
        assert head.weight.grad.abs().max() > 0


def test_a_checkpoint_is_imported_as_the_published_one(tmp_path):
    torch.manual_seed(0)
    state = new_state(DepthRecipe(), torch.device("cpu"))
    save_state(state, 18, tmp_path / "latest.pth.tar")
    entry = CheckpointStore(tmp_path / "library").import_files("dagan-depth-18", [tmp_path / "latest.pth.tar"])
    assert set(entry.networks) == {"encoder", "depth", "pose_encoder", "pose"}
    other = new_state(DepthRecipe(seed=1), torch.device("cpu"), init=tmp_path / "latest.pth.tar")
    load_state(other, 18, tmp_path / "latest.pth.tar")
    for name, value in state.model.state_dict().items():
        assert torch.equal(value, other.model.state_dict()[name]), name
