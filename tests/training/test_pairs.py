import numpy as np
import torch

from livehead.models.dagan.surface import mean_face
from livehead.training import pairs
from livehead.training.pairs import Augmentation, PairSource

NOTHING = Augmentation(zoom=(1, 1), turn=0, shift=0, colour=0)


def test_the_same_seed_gives_the_same_batch(cache):
    source = PairSource(cache, "train", 64)
    first, again, other = (source.batch(4, Augmentation(), (0, 0, step)) for step in (7, 7, 8))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first.source, other.source)


def test_processes_share_the_clips_between_them(cache):
    every = PairSource(cache, "train", 64)
    parts = [PairSource(cache, "train", 64, rank, 2) for rank in range(2)]
    names = [sorted(clip.entry.name for clip in part._moving) for part in parts]
    assert sorted(sum(names, [])) == sorted(clip.entry.name for clip in every._moving)


def test_points_move_with_the_picture(cache):
    """Whatever the augmentation, the dark spot that was drawn on the nose lies where the nose's point lies."""
    batch = PairSource(cache, "train", 64).batch(16, Augmentation(colour=0), (1,))
    for image, points in zip(batch.target, batch.target_points, strict=True):
        column, row = (((points[4, :2] + 1) * 64 - 1) / 2).round().long().tolist()
        assert image[:, row, column].max() < 0.35


def test_held_out_pairs_begin_with_the_first_frame(cache):
    ((name, batch),) = PairSource(cache, "val", 64).held_out(3)
    assert name == "v"
    assert batch.source.shape == (3, 3, 64, 64)
    assert torch.equal(batch.source[0], batch.source[2])
    assert not np.allclose(batch.target[0], batch.target[2])


def test_mouths_that_differ_are_chosen_more_often_than_chance_would():
    mesh = np.repeat(mean_face()[0][None], 40, axis=0).astype(np.float32)
    mesh[::10, 14, 1] += 0.3  # one mouth of ten is open
    rng = np.random.default_rng(0)
    chosen = [pairs._chosen(mesh, rng) for _ in range(600)]
    differ = np.mean([(first % 10 == 0) != (second % 10 == 0) for first, second in chosen])
    assert differ > 0.3 > 2 * 0.1 * 0.9
