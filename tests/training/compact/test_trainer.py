import csv
import hashlib
import json
from importlib.resources import files
from pathlib import Path

import pytest
import torch

from livehead.errors import ConfigError
from livehead.models.compact.build import build_compact
from livehead.models.quantize import split_ranges
from livehead.training.compact.export import averaged_half_weights, export_compact
from livehead.training.compact.recipe import read_compact_recipe
from livehead.training.compact.state import new_state
from livehead.training.compact.trainer import run
from livehead.weights.safetensors_file import load_strict_state, read_safetensors

RECIPE = """
log_every = 1
warm_up = 1
[[stages]]
side = 64
samples = {samples}
batch = 2
rate = 1e-3
last_rate = 1e-3
"""


def recipe(folder, samples, more=""):
    path = folder / f"recipe-{samples}.toml"
    path.write_text(RECIPE.format(samples=samples) + more)
    return path


def losses(folder):
    with (folder / "train.csv").open() as rows:
        return [float(row["loss"]) for row in csv.DictReader(rows)]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # sums in a fixed order
    yield
    torch.set_num_threads(before)


def test_a_resumed_run_goes_on_as_an_unbroken_one(cache, tmp_path):
    run(cache, recipe(tmp_path, 8), tmp_path / "whole")
    run(cache, recipe(tmp_path, 4), tmp_path / "broken")
    run(cache, recipe(tmp_path, 8), tmp_path / "broken", resume=True)
    whole, broken = losses(tmp_path / "whole"), losses(tmp_path / "broken")
    assert len(whole) == 4
    assert broken == pytest.approx(whole, rel=1e-4)


def test_an_adversarial_run_resumes_with_its_critic(cache, tmp_path):
    run(cache, recipe(tmp_path, 6, "adversarial = 0.1"), tmp_path / "whole")
    run(cache, recipe(tmp_path, 4, "adversarial = 0.1"), tmp_path / "broken")
    run(cache, recipe(tmp_path, 6, "adversarial = 0.1"), tmp_path / "broken", resume=True)
    assert losses(tmp_path / "broken") == pytest.approx(losses(tmp_path / "whole"), rel=1e-3)
    plain = recipe(tmp_path, 2)
    run(cache, plain, tmp_path / "plain")
    assert losses(tmp_path / "whole")[0] > losses(tmp_path / "plain")[0]


def test_a_run_leaves_figures_of_the_source_the_untrained_model_and_the_trained_with_and_without_torso(cache, tmp_path):
    run(cache, recipe(tmp_path, 2), tmp_path / "out")
    with (tmp_path / "out" / "val.csv").open() as rows:
        assert [row["model"] for row in csv.DictReader(rows)] == ["copy", "untrained", "average", "untold"]
    assert list((tmp_path / "out" / "sheets").glob("*.png"))


def test_half_weights_start_a_new_run(cache, tmp_path):
    from safetensors.torch import save_file

    run(cache, recipe(tmp_path, 2), tmp_path / "first")
    tensors, samples = averaged_half_weights(tmp_path / "first" / "latest.pt")
    assert samples == 2
    save_file(tensors, tmp_path / "half.safetensors")
    run(cache, recipe(tmp_path, 2), tmp_path / "second", init=tmp_path / "half.safetensors")
    assert len(losses(tmp_path / "second")) == 1


def test_an_export_has_checksum_summary_and_ranges_for_every_convolution(cache, tmp_path):
    run(cache, recipe(tmp_path, 2), tmp_path / "run")
    path = export_compact(tmp_path / "run" / "latest.pt", tmp_path, cache, "after {samples} samples")
    [entry] = json.loads((tmp_path / "weights.json").read_text()).values()
    assert entry["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert entry["summary"] == "after 2 samples"
    weights, ranges = split_ranges(read_safetensors(path))
    load_strict_state(network := build_compact(), weights, path.name)
    convolutions = {name for name, module in network.named_modules() if isinstance(module, torch.nn.Conv2d)}
    assert set(ranges) == convolutions
    assert all(low <= 0 <= high for low, high in ranges.values())


def test_resuming_without_a_checkpoint_says_so(cache, tmp_path):
    with pytest.raises(ConfigError, match="no checkpoint"):
        run(cache, recipe(tmp_path, 2), tmp_path / "none", resume=True)


def test_an_unknown_setting_is_refused_by_name(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text("sede = 1\n" + RECIPE.format(samples=1))
    with pytest.raises(ConfigError, match="sede"):
        read_compact_recipe(path)


def test_the_bundled_weights_are_a_start(tmp_path):
    bundled = Path(str(files("livehead.assets") / "compact.safetensors"))
    state = new_state(read_compact_recipe(recipe(tmp_path, 2)), torch.device("cpu"), init=bundled)
    stored, _ = split_ranges(read_safetensors(bundled))
    assert all(torch.equal(value, stored[name].float()) for name, value in state.model.named_parameters())
