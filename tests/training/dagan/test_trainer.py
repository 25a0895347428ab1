import csv
from pathlib import Path

import pytest
import torch

from livehead.cli import EXIT_BAD_INPUT, main
from livehead.errors import ConfigError, WeightsMismatchError, WeightsMissingError
from livehead.training.dagan.frame_sampler import FrameSampler
from livehead.training.dagan.losses import multiscale_gradient_loss
from livehead.training.dagan.perceptual_loss import Vgg19
from livehead.training.dagan.recipe import DaganRecipe
from livehead.training.dagan.state import new_state, read_face_depth, save_state
from livehead.training.dagan.trainer import DaganTrainer, run
from livehead.training.distributed import ProcessGroupInfo
from livehead.training.recipe import read_recipe_as
from livehead.weights.checkpoint_store import CheckpointStore

CONFIGS = Path(__file__).parents[3] / "configs" / "train"

RECIPE = """
side = 64
batch = {batch}
samples = {samples}
rate = {rate}
log_every = 1
scales = [1, 0.5, 0.25]
[sizes]
points = 5
expansion = 8
largest = 32
residuals = 1
motion = {{ expansion = 8, largest = 32, depth = 2 }}
keypoints = {{ expansion = 8, largest = 32, depth = 2 }}
critic = {{ expansion = 4, largest = 16 }}
"""

pytestmark = pytest.mark.usefixtures("one_thread")


def recipe(folder, samples, more="", batch=2, rate=1e-3):
    path = folder / f"recipe-{samples}.toml"
    path.write_text(more + RECIPE.format(samples=samples, batch=batch, rate=rate))
    return path


def column(folder, log, name):
    with (folder / log).open() as rows:
        return [float(row[name]) for row in csv.DictReader(rows)]


def parameters(folder):
    document = torch.load(folder / "latest.pth.tar", weights_only=True)
    parts = ("generator", "kp_detector", "discriminator")
    return {f"{part}/{key}": value for part in parts for key, value in document[part].items()}


def test_held_out_psnr_rises(cache, depth_file, tmp_path, caplog):
    caplog.set_level("INFO")
    run(cache, recipe(tmp_path, 160, batch=4, rate=2e-3), tmp_path / "out", depth=[depth_file])
    copy, before, after = column(tmp_path / "out", "val.csv", "psnr")
    assert after > before + 1
    assert len([record for record in caplog.records if "no VGG-19" in record.getMessage()]) == 1
    assert list((tmp_path / "out" / "sheets").glob("*.png"))
    assert (tmp_path / "out" / "curves.png").is_file()


def test_a_resumed_run_ends_where_an_unbroken_one_ends(cache, depth_file, tmp_path):
    run(cache, recipe(tmp_path, 6), tmp_path / "whole", depth=[depth_file])
    run(cache, recipe(tmp_path, 4), tmp_path / "broken", depth=[depth_file])
    run(cache, recipe(tmp_path, 6), tmp_path / "broken", resume=True, depth=[depth_file])
    whole, broken = (column(tmp_path / name, "train.csv", "loss") for name in ("whole", "broken"))
    assert len(whole) == 3
    assert broken == pytest.approx(whole, rel=1e-4)
    other = parameters(tmp_path / "broken")
    for name, value in parameters(tmp_path / "whole").items():
        torch.testing.assert_close(other[name], value, msg=name)


def test_two_processes_keep_one_network_and_learn_from_the_mean_gradient(cache, depth_file, tmp_path, two_processes):
    path = recipe(tmp_path, 4)
    first, second = two_processes(cache, path, depth_file, tmp_path)
    for name, value in first["weights"].items():
        assert torch.equal(value, second["weights"][name]), name
    alone = [gradients_of(cache, path, depth_file, tmp_path / str(rank), rank) for rank in range(2)]
    for name, value in first["gradients"].items():
        assert torch.equal(value, second["gradients"][name]), name
        torch.testing.assert_close(value, (alone[0][name] + alone[1][name]) / 2, rtol=1e-3, atol=1e-4, msg=name)


def gradients_of(cache, path, depth_file, out, rank):
    """Of one of two processes' first step, all by itself."""
    out.mkdir()
    chosen, place = read_recipe_as(DaganRecipe, path, ""), ProcessGroupInfo(torch.device("cpu"), rank, 1)
    torch.manual_seed(chosen.seed)
    state, source = new_state(chosen, place.device), FrameSampler(cache, "train", chosen.side, rank, 2)
    DaganTrainer(chosen, source, out, place, state, read_face_depth([depth_file]), multiscale_gradient_loss).step()
    networks = {"actors": state.model, "critic": state.critic}
    return {f"{name}.{k}": p.grad for name, network in networks.items() for k, p in network.named_parameters()}


def test_a_checkpoint_of_the_published_size_is_imported_as_the_published_one(tmp_path):
    torch.manual_seed(0)
    state = new_state(DaganRecipe(), torch.device("cpu"))
    save_state(state, tmp_path / "latest.pth.tar")
    library = CheckpointStore(tmp_path / "library")
    assert library.import_files("dagan-vox-256", [tmp_path / "latest.pth.tar"]).networks == {
        "generator": "dagan-generator-15",
        "kp_detector": "dagan-keypoints-rgbd-15",
        "discriminator": "dagan-discriminator-15",
    }
    loaded = library.load("dagan-vox-256", ["generator"])["generator"]
    for name, value in state.model.generator.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[name]), name


def test_a_checkpoint_starts_a_new_run_of_the_same_sizes(tmp_path):
    chosen, path, place = (
        read_recipe_as(DaganRecipe, recipe(tmp_path, 2), ""),
        tmp_path / "latest.pth.tar",
        torch.device("cpu"),
    )
    first = new_state(chosen, place)
    save_state(first, path)
    second = new_state(chosen, place, init=path)
    for name, value in first.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[name]), name
    with pytest.raises(WeightsMismatchError, match="same version"):
        new_state(DaganRecipe(), place, init=path)


def test_vgg_judges_where_its_file_is_named(cache, depth_file, tmp_path, caplog):
    caplog.set_level("INFO")
    torch.manual_seed(0)
    torch.save(Vgg19().state_dict(), tmp_path / "vgg.pth")
    run(cache, recipe(tmp_path, 2), tmp_path / "out", depth=[depth_file], vgg=tmp_path / "vgg.pth")
    assert not [record for record in caplog.records if "no VGG-19" in record.getMessage()]
    assert column(tmp_path / "out", "train.csv", "likeness")[0] > 0


def test_without_face_depth_it_says_how_to_get_it(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("LIVEHEAD_HOME", str(tmp_path))
    with pytest.raises(WeightsMissingError, match="livehead train depth"):
        run(cache, recipe(tmp_path, 2), tmp_path / "out")


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ("sede = 1\n", "sede"),
        ("repeats = 0\n", "repeats"),
        ("[loss]\nperceptive = 1\n", "perceptive"),
        ("seed = [\n", "cannot be read"),
    ],
)
def test_a_wrong_recipe_is_refused_in_one_line(cache, tmp_path, capsys, more, named):
    path = tmp_path / "recipe.toml"
    path.write_text(more)
    assert main(["train", "dagan", "--data", str(cache), "--config", str(path), "--out", str(tmp_path / "out")]) == (
        EXIT_BAD_INPUT
    )
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert named in line


def test_a_side_that_cannot_be_halved_often_enough_is_refused(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text("side = 192\n")
    with pytest.raises(ConfigError, match="no multiple of 128"):
        read_recipe_as(DaganRecipe, path, "configs/train/dagan.toml")


def test_the_recipe_that_ships_is_the_published_one():
    shipped = read_recipe_as(DaganRecipe, CONFIGS / "dagan.toml", "")
    assert shipped == DaganRecipe()
    assert shipped.total_samples(persons=10) == 150 * 75 * 10
