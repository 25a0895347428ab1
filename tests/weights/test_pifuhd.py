"""PIFuHD's one file: its networks, its pickled options, and what is no such file."""

import argparse
import json
import subprocess
import sys

import pytest
import torch
from safetensors import safe_open

from livehead.errors import WeightsMismatchError
from livehead.weights.checkpoint import InertNamespace, read_checkpoint
from livehead.weights.checkpoint_store import CheckpointStore
from livehead.weights.convert import load_official, to_official_keys
from livehead.weights.safetensors_file import read_safetensors, write_safetensors

NETWORK = 1_548_198_500  # bytes of the published parameters, with the deeper fine hourglass


def zeros(shapes):
    """Tensors of these shapes that take no memory."""
    return {key: torch.zeros(()).expand(shape) for key, shape in shapes.items()}


def meta(shapes):
    """Tensors of these shapes that have no content at all."""
    return {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}


@pytest.mark.parametrize("depth", [4, 2])
def test_every_key_of_the_published_network_has_its_place(listing, depth):
    shapes = listing(f"pifuhd-finedepth{depth}")
    network = load_official("pifuhd", meta(shapes))
    assert not network.training
    kept = to_official_keys("pifuhd", network.state_dict())
    assert shapes.keys() - kept.keys() == {key for key in shapes if ".downsample.0." in key}
    assert kept.keys() <= shapes.keys()
    if depth == 4:
        assert sum(4 * value.numel() for value in kept.values()) == NETWORK


def test_norms_between_the_layers_are_told_from_the_keys(listing):
    tensors = meta(listing("pifuhd-finedepth4"))
    widths = {"mlp": (512, 256, 128), "netG.mlp": (1024, 512, 256, 128)}
    for mlp, sizes in widths.items():
        for i, width in enumerate(sizes):
            tensors |= {f"{mlp}.norms.{i}.{part}": torch.empty(width, device="meta") for part in ("weight", "bias")}
    network = load_official("pifuhd", tensors)
    assert [norm.num_groups for norm in network.fine_mlp.norms] == [32] * 3
    del tensors["mlp.norms.1.bias"]
    with pytest.raises(WeightsMismatchError, match=r"lacks mlp\.norms\.1\.bias"):
        load_official("pifuhd", tensors)


def test_a_norm_saved_under_two_names_is_read_once_under_either(listing):
    key = "image_filter.conv2.{}.weight"
    tensors = meta(listing("pifuhd-finedepth4"))
    for gone in ("bn4", "downsample.0"):
        load_official("pifuhd", {name: value for name, value in tensors.items() if name != key.format(gone)})
    both = {
        name: value for name, value in tensors.items() if name not in (key.format("bn4"), key.format("downsample.0"))
    }
    with pytest.raises(WeightsMismatchError, match=r"lacks image_filter\.conv2\.bn4\.weight"):
        load_official("pifuhd", both)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda t: t.pop("netG.netB.model.38.bias"), r"lacks netG\.netB\.model\.38\.bias"),
        (lambda t: t.update({"netG.extra": torch.zeros(1)}), r"unknown netG\.extra"),
        (lambda t: t.update({"mlp.filters.0.bias": torch.zeros(3)}), r"another shape of mlp\.filters\.0\.bias"),
    ],
)
def test_anything_else_is_named(listing, change, complaint):
    tensors = meta(listing("pifuhd-finedepth4"))
    change(tensors)
    with pytest.raises(WeightsMismatchError, match=complaint):
        load_official("pifuhd", tensors)


def saved(path, content):
    torch.save(content, path)
    return path


@pytest.fixture
def options():
    return argparse.Namespace(loadSize=1024, mlp_dim=[272, 512, 256, 128, 1], gpu_ids=[0], name="pifuhd", lr=1e-3)


def test_pickled_options_are_read_as_inert_records(tmp_path, options):
    tensors = {"a": torch.ones(3)}
    path = saved(tmp_path / "pifuhd.pt", {"opt": options, "opt_netG": options, "model_state_dict": tensors})
    allowed = torch.serialization.get_safe_globals()
    (found,) = read_checkpoint(path)
    assert found.entry == "model_state_dict"
    assert torch.equal(found.tensors["a"], torch.ones(3))
    with torch.serialization.safe_globals([(InertNamespace, "argparse.Namespace")]):
        record = torch.load(path, weights_only=True)["opt"]
    assert type(record) is InertNamespace
    assert set(torch.serialization.get_safe_globals()) == set(allowed), "nothing stays allowed"


class Hostile:
    """A pickle that writes a file when it is run."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_program_among_the_options_is_not_run(tmp_path, options):
    proof = tmp_path / "it-ran"
    options.gpu_ids = Hostile(proof)
    path = saved(tmp_path / "pifuhd.pt", {"opt": options, "model_state_dict": {"a": torch.ones(3)}})
    with pytest.raises(WeightsMismatchError, match="nothing of it was run"):
        read_checkpoint(path)
    assert not proof.exists()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"opt": argparse.Namespace(), "model_state_dict": {}}, "holds no network"),
        ({"model_state_dict": {"conv.weight": torch.zeros(3)}}, "none of the published networks"),
        (
            {"model_state_dict": {f"{p}image_filter.conv1.weight": torch.zeros(64, 9, 7, 7) for p in ("", "netG.")}},
            "lacks",
        ),
    ],
)
def test_files_of_something_else_are_refused(store, tmp_path, content, complaint):
    with pytest.raises(WeightsMismatchError, match=complaint):
        store.import_files("pifuhd", [saved(tmp_path / "pifuhd.pt", content)])
    assert not store.list_names()


def test_half_precision_is_kept_where_it_can_be(tmp_path):
    tensors = {
        "norm.weight": torch.tensor([1.0, 0.5, -3.25]),
        "huge": torch.tensor([1e6]),
        "count": torch.tensor(7),
        "flags": torch.tensor([True, False, True]),
        "scalar": torch.tensor(0.25),
        "empty": torch.zeros(0, 4),
        "turned": torch.arange(6.0).reshape(2, 3).T,
    }
    write_safetensors(tensors, tmp_path / "half.safetensors", store_float16=True)
    read = read_safetensors(tmp_path / "half.safetensors")
    assert read.keys() == tensors.keys()
    assert {key: value.dtype for key, value in read.items() if value.is_floating_point()} == {
        **dict.fromkeys(("norm.weight", "scalar", "empty", "turned"), torch.float16),
        "huge": torch.float32,
    }
    for key, value in tensors.items():
        assert torch.equal(read[key].to(value.dtype), value), key
    write_safetensors(tensors, tmp_path / "plain.safetensors")
    assert read_safetensors(tmp_path / "plain.safetensors")["turned"].dtype == torch.float32
    with pytest.raises(WeightsMismatchError, match="complex"):
        write_safetensors({"phase": torch.zeros(2, dtype=torch.complex64)}, tmp_path / "none.safetensors")


_IMPORT = """
import sys
from pathlib import Path
from livehead.stats import peak_memory_mb
from livehead.weights.checkpoint_store import CheckpointStore
CheckpointStore(Path(sys.argv[2])).import_files("pifuhd", [Path(sys.argv[1])])
print(peak_memory_mb())
"""


def test_the_whole_file_streams_through_in_little_memory(listing, tmp_path, options):
    """387 million numbers, of which a file with one storage for all of them takes no space."""
    shapes = listing("pifuhd-finedepth4")
    blank = {key: torch.full((), 0.25).expand(shape) for key, shape in shapes.items()}
    content = {"opt": options, "opt_netG": options, "model_state_dict": blank}
    path = saved(tmp_path / "pifuhd.pt", content)
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT, path, tmp_path / "kept"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 1500
    store = CheckpointStore(tmp_path / "kept")
    with safe_open(store.tensors_path("pifuhd"), framework="pt") as file:
        assert {file.get_slice(key).get_dtype() for key in file.keys()} == {"F16"}  # noqa: SIM118 - no mapping
    assert json.loads((store.folder / "pifuhd.json").read_text())["networks"] == {"person": "pifuhd"}
    assert store.tensors_path("pifuhd").stat().st_size < NETWORK / 2 + 200_000
