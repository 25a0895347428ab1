import json
import pickle

import pytest
import torch
from safetensors.torch import save_file

from livehead.errors import ConfigError, WeightsChecksumError, WeightsMismatchError, WeightsMissingError
from livehead.weights.checkpoint import file_sha256
from livehead.weights.checkpoint_store import OWNER_TRAINED


def test_a_published_checkpoint_is_kept_with_its_licence_and_origin(store, checkpoint, published):
    entry = store.import_files("dagan-vox-256", [checkpoint])
    assert entry.networks == {
        "generator": "dagan-generator-15",
        "kp_detector": "dagan-keypoints-rgbd-15",
        "discriminator": "dagan-discriminator-15",
    }
    about = json.loads((store.folder / "dagan-vox-256.json").read_text())
    assert about["sha256"] == file_sha256(store.tensors_path("dagan-vox-256"))
    assert about["origin"] == {checkpoint.name: file_sha256(checkpoint)}
    assert "CC BY-NC 4.0" in about["licence"]
    assert store.list_names() == ["dagan-vox-256"]
    detector = store.load("dagan-vox-256", ["kp_detector"])["kp_detector"]
    assert torch.equal(detector.kp.weight, published("dagan-kpdetector-rgbd-kp15", 0.8)["kp.weight"])
    assert not list(store.folder.glob(".partial-*"))


def test_several_files_make_one_checkpoint(store, depth_files):
    entry = store.import_files("dagan-depth-18", depth_files)
    assert entry.networks == {"encoder": "dagan-depth-encoder-18", "depth": "dagan-depth-decoder-18"}
    assert "Niantic" in entry.licence
    assert store.load("dagan-depth-18", ["encoder", "depth"]).keys() == {"encoder", "depth"}


def test_weights_of_ones_own_are_kept_under_ones_own_licence(store, depth_files):
    entry = store.import_files("dagan-depth-18", depth_files, "ours, for anything")
    assert (entry.licence, entry.source) == ("ours, for anything", OWNER_TRAINED)
    assert store.read_record("dagan-depth-18") == entry


def test_safetensors_of_several_networks_are_taken_too(store, published, tmp_path):
    """What a training of one's own writes: published keys, the part before a slash."""
    parts = {"encoder": published("dagan-depth18-encoder"), "depth": published("dagan-depth18-decoder")}
    path = tmp_path / "mine.safetensors"
    save_file({f"{part}/{key}": value for part, tensors in parts.items() for key, value in tensors.items()}, path)
    assert store.import_files("dagan-depth-18", [path]).networks.keys() == {"encoder", "depth"}


def test_a_changed_byte_is_noticed_at_the_next_read(store, depth_files):
    store.import_files("dagan-depth-18", depth_files)
    content = bytearray(store.tensors_path("dagan-depth-18").read_bytes())
    content[-1] ^= 1
    store.tensors_path("dagan-depth-18").write_bytes(content)
    for read in (store.verify, lambda name: store.load(name, ["depth"])):
        with pytest.raises(WeightsChecksumError, match="import the weights again"):
            read("dagan-depth-18")


def test_what_was_not_imported_says_how_to(store):
    with pytest.raises(WeightsMissingError, match="livehead weights import DaGAN_vox_adv_256.pth.tar --as dagan-vox"):
        store.load("dagan-vox-256", ["generator"])
    with pytest.raises(ConfigError, match="dagan-vox-256"):
        store.verify("dagan-vox")


def test_one_file_of_two_says_what_is_missing(store, depth_files):
    with pytest.raises(WeightsMismatchError, match=r"no depth inside"):
        store.import_files("dagan-depth-18", depth_files[:1])


def test_a_file_under_a_wrong_name_says_which_is_right(store, depth_files):
    with pytest.raises(WeightsMismatchError, match="import it --as dagan-depth-18"):
        store.import_files("dagan-depth-50", depth_files)


def test_the_same_network_twice_is_refused(store, depth_files):
    with pytest.raises(WeightsMismatchError, match="second encoder"):
        store.import_files("dagan-depth-18", [*depth_files, depth_files[0]])


class Hostile:
    """A pickle that writes a file when it is run."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("save", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))])
def test_a_hostile_pickle_runs_nothing(store, tmp_path, save):
    path, proof = tmp_path / "encoder.pth", tmp_path / "it-ran"
    save({"encoder": Hostile(proof), "x": torch.zeros(1)}, path)
    with pytest.raises(WeightsMismatchError, match="nothing of it was run"):
        store.import_files("dagan-depth-18", [path])
    assert not proof.exists()
    assert store.list_names() == []


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.3, 0.7, 0.99])
def test_a_truncated_file_is_refused(store, depth_files, tmp_path, legacy, share):
    whole = tmp_path / "whole.pth"
    torch.save(torch.load(depth_files[1], weights_only=True), whole, _use_new_zipfile_serialization=not legacy)
    part = tmp_path / "depth.pth"
    part.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * share)])
    with pytest.raises(WeightsMismatchError, match="depth.pth"):
        store.import_files("dagan-depth-18", [depth_files[0], part])


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"model": {"w": torch.zeros(2)}}, "none of the published networks"),
        ({"epoch": 3}, "holds no network"),
        ([1, 2], "holds no network"),
        (torch.zeros(3), "holds no network"),
    ],
)
def test_a_checkpoint_of_something_else_is_refused(store, tmp_path, content, complaint):
    path = tmp_path / "other.pth"
    torch.save(content, path)
    with pytest.raises(WeightsMismatchError, match=complaint):
        store.import_files("dagan-vox-256", [path])


def test_a_renamed_key_is_named(store, depth_files, tmp_path):
    tensors = torch.load(depth_files[1], weights_only=True)
    tensors["decoder.99.weight"] = tensors.pop("decoder.3.conv.conv.weight")
    path = tmp_path / "depth.pth"
    torch.save(tensors, path)
    with pytest.raises(WeightsMismatchError, match=r"lacks decoder\.3\.conv\.conv\.weight"):
        store.import_files("dagan-depth-18", [depth_files[0], path])


def test_numbers_that_are_none_are_refused(store, depth_files, tmp_path):
    tensors = torch.load(depth_files[1], weights_only=True)
    tensors["decoder.0.conv.conv.bias"][0] = float("nan")
    torch.save(tensors, tmp_path / "depth.pth")
    with pytest.raises(WeightsMismatchError, match="no numbers"):
        store.import_files("dagan-depth-18", [depth_files[0], tmp_path / "depth.pth"])


def test_a_file_that_is_not_there(store, tmp_path):
    with pytest.raises(WeightsMissingError, match="no file"):
        store.import_files("dagan-vox-256", [tmp_path / "none.pth"])
