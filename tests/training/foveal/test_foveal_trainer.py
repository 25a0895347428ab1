import csv

import numpy as np
import pytest
import torch

from livehead.errors import ConfigError
from livehead.models.foveal.patch_frame import MOUTH, RIGHT_EYE
from livehead.training.cache import read_clip, read_index
from livehead.training.foveal.patch_cache import cache_clip_patches, write_patch_index
from livehead.training.foveal.patch_sampler import PatchSampler
from livehead.training.foveal.trainer import run

RECIPE = """
log_every = 1
warm_up = 1
[[stages]]
samples = {samples}
batch = 4
rate = 2e-3
last_rate = 2e-3
adversarial = 0.01
"""


@pytest.fixture(scope="module")
def patches(cache, tmp_path_factory):
    """A cache of patches in which the photo itself stands for what a renderer drew."""
    folder = tmp_path_factory.mktemp("patches")
    clips = [read_clip(cache, entry) for entry in read_index(cache) if not entry.still]
    still = [
        cache_clip_patches(clip, lambda clip, source: [clip.frames[source]] * len(clip.frames), folder)
        for clip in clips
    ]
    write_patch_index(folder, still)
    return folder


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # sums in a fixed order
    yield
    torch.set_num_threads(before)


def train(patches, folder, samples, **more):
    path = folder.parent / f"recipe-{samples}.toml"
    path.write_text(RECIPE.format(samples=samples))
    run(patches, path, folder, **{"resume": False, "init": None, "perceptual": None, **more})
    with (folder / "train.csv").open() as rows:
        return [float(row["loss"]) for row in csv.DictReader(rows)]


def test_a_resumed_run_goes_on_with_its_critic_as_an_unbroken_one(patches, tmp_path):
    whole = train(patches, tmp_path / "whole", 16)
    train(patches, tmp_path / "broken", 8)
    broken = train(patches, tmp_path / "broken", 16, resume=True)
    assert len(whole) == 4
    assert broken == pytest.approx(whole, rel=1e-3)


def test_training_lowers_the_loss(patches, tmp_path):
    losses = train(patches, tmp_path / "out", 160)
    assert np.mean(losses[-8:]) < 0.9 * np.mean(losses[:8])


def test_a_run_leaves_figures_of_what_was_drawn_and_of_the_network_with_one_and_with_more_references(patches, tmp_path):
    train(patches, tmp_path / "out", 4)
    with (tmp_path / "out" / "val.csv").open() as rows:
        names = [row["model"] for row in csv.DictReader(rows)]
    assert {"drawn photo", "photo", "drawn enrolled", "enrolled", "drawn eye", "eye"} <= set(names)
    assert list((tmp_path / "out" / "sheets").glob("*.png"))


def test_a_batch_depends_on_its_seed_alone_and_holds_consecutive_frames_with_the_same_references(patches):
    sampler = PatchSampler(patches, "train")
    first, again, other = (sampler.sample_mouths(3, (seed,)) for seed in (1, 1, 2))
    assert torch.equal(first.drawn, again.drawn)
    assert torch.equal(first.references.patches, again.references.patches)
    assert not torch.equal(first.truth, other.truth)
    assert first.truth.shape == (6, 3, MOUTH.height, MOUTH.width)
    assert torch.equal(first.references.known[::2], first.references.known[1::2])
    assert sampler.sample_eyes(2, (1,)).truth.shape == (4, 3, RIGHT_EYE.height, RIGHT_EYE.width)


def test_held_out_samples_are_never_shown_the_half_of_the_clip_that_they_are_of(patches):
    sampler = PatchSampler(patches, "val")
    for entry, (_, batch) in zip(sampler.entries, sampler.held_out_batches(MOUTH, 4, 3), strict=True):
        truths = np.load(patches / f"{entry.name}.npz")["mouth.truth"]
        earlier = torch.from_numpy(truths[: entry.frames // 2]).movedim(-1, 1).float() / 255
        known = batch.references.patches[batch.references.known.bool()]
        for shown in known:
            assert any(torch.allclose(shown, frame, atol=1e-6) for frame in earlier)


def test_a_folder_that_is_no_cache_is_told_with_its_remedy(tmp_path):
    with pytest.raises(ConfigError, match=r"prepare_foveal\.py"):
        PatchSampler(tmp_path, "train")
