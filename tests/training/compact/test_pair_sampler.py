from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from livehead.motion.face.mean_face import load_mean_face
from livehead.motion.face.mesh import FACE_MESH
from livehead.training.cache import CachedClip, ClipEntry, encode_landmarks, write_index
from livehead.training.compact import pair_sampler
from livehead.training.compact.pair_sampler import AugmentationRanges, PairSampler

NOTHING = AugmentationRanges(zoom=(1, 1), turn=0, shift=0, colour=0)
LEAN = 0.03  # a frame, to the right
SIDE = 128


def leaning_clip(frames, seed=0):
    """A still face over a patterned body that moves to the right: pictures, and meshes [T, 478, 3]."""
    mesh = load_mean_face() * 0.4 - np.array([0, 0.35, 0], np.float32)
    hull = cv2.convexHull(((mesh[:, :2] + 1) * SIDE / 2).astype(np.int32))
    noise = np.random.default_rng(seed).uniform(0, 255, (SIDE // 8, 2 * SIDE // 8, 3)).astype(np.float32)
    cloth = cv2.resize(noise, (2 * SIDE, SIDE), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)
    pictures = []
    for number in range(frames):
        start = SIDE // 2 - number * LEAN * SIDE / 2
        shift = np.array([[1, 0, -start], [0, 1, 0]])
        picture = cv2.warpAffine(cloth, shift, (SIDE, SIDE))
        picture[: SIDE // 2] = 128
        pictures.append(cv2.fillConvexPoly(picture, hull, (200, 150, 120)))
    return np.stack(pictures), np.repeat(mesh[None], frames, axis=0).astype(np.float32)


@pytest.fixture(scope="module")
def leaning_cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("leaning")
    entries = []
    for seed, (name, split) in enumerate((("a", "train"), ("v", "val"))):
        pictures, mesh = leaning_clip(5, seed)
        writer = cv2.VideoWriter(str(folder / f"{name}.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 8, (SIDE, SIDE))
        for picture in pictures:
            writer.write(np.ascontiguousarray(picture[..., ::-1]))
        writer.release()
        masks = np.full((5, 64, 64), 15, np.uint8)
        np.savez_compressed(folder / f"{name}.npz", landmarks=encode_landmarks(mesh), masks=masks)
        entries.append(ClipEntry(name, split, 5, 8.0, False))
    write_index(folder, SIDE, entries)
    return folder


@pytest.fixture
def cut_clip():
    pictures, mesh = leaning_clip(3)
    low = mesh + np.array([0, 1.02 - mesh[0, FACE_MESH.chin, 1], 0], np.float32)
    clip = CachedClip(ClipEntry("cut", "train", 3, 8.0, False), pictures, mesh, np.full((3, 64, 64), 255, np.uint8))
    return replace(clip, landmarks=low)


def test_the_same_seed_gives_the_same_batch(cache):
    source = PairSampler(cache, "train", 64)
    first, again, other = (source.sample_batch(4, AugmentationRanges(), (0, 0, step)) for step in (7, 7, 8))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first.source, other.source)


def test_processes_share_the_clips_between_them(cache):
    every = PairSampler(cache, "train", 64)
    parts = [PairSampler(cache, "train", 64, rank, 2) for rank in range(2)]
    names = [sorted(clip.entry.name for clip in part._video_clips) for part in parts]
    assert sorted(sum(names, [])) == sorted(clip.entry.name for clip in every._video_clips)


def test_points_move_with_the_picture(cache):
    """Whatever the augmentation, the dark spot that was drawn on the nose lies where the nose's point lies."""
    batch = PairSampler(cache, "train", 64).sample_batch(16, AugmentationRanges(colour=0), (1,))
    for image, points in zip(batch.target, batch.target_points, strict=True):
        column, row = (((points[4, :2] + 1) * 64 - 1) / 2).round().long().tolist()
        assert image[:, row, column].max() < 0.35


def test_held_out_pairs_begin_with_the_first_frame(cache):
    ((name, batch),) = PairSampler(cache, "val", 64).held_out_batches(3)
    assert name == "v"
    assert batch.source.shape == (3, 3, 64, 64)
    assert torch.equal(batch.source[0], batch.source[2])
    assert not np.allclose(batch.target[0], batch.target[2])


def test_mouths_that_differ_are_chosen_more_often_than_chance_would():
    mesh = np.repeat(load_mean_face()[None], 40, axis=0).astype(np.float32)
    mesh[::10, 14, 1] += 0.3  # one mouth of ten is open
    rng = np.random.default_rng(0)
    chosen = [pair_sampler._choose_frames(mesh, rng) for _ in range(600)]
    differ = np.mean([(first % 10 == 0) != (second % 10 == 0) for first, second in chosen])
    assert differ > 0.3 > 2 * 0.1 * 0.9


def flat(batch):
    """Per pair the affine map [2, 3] from the driving torso's points to the source's."""
    ones = torch.ones_like(batch.target_torso[..., :1])
    return torch.linalg.solve(torch.cat([batch.target_torso, ones], -1), batch.source_torso).transpose(1, 2)


def test_the_torso_is_followed_through_a_clip(leaning_cache):
    ((_, batch),) = PairSampler(leaning_cache, "val", 64).held_out_batches(4)
    assert (batch.torso_known == 1).all()
    for number, matrix in enumerate(flat(batch), start=1):
        assert torch.allclose(matrix[:, :2], torch.eye(2), atol=0.05)
        middle = matrix @ torch.tensor([0.0, 0.7, 1.0])
        assert torch.allclose(middle, torch.tensor([-number * LEAN, 0.7]), atol=0.02)


def test_the_torso_moves_with_the_picture_whatever_the_augmentation(leaning_cache):
    """The driving picture under the torso's map is the source picture, below the chin."""
    source = PairSampler(leaning_cache, "train", 64)
    batch = source.sample_batch(24, AugmentationRanges(colour=0, shift=0.02, zoom=(0.95, 1.05)), (3,))
    matrices = flat(batch)
    better = []
    for i in range(24):
        if not batch.torso_known[i] or torch.allclose(batch.source[i], batch.target[i], atol=0.05):
            continue
        grid = F.affine_grid(matrices[i : i + 1], (1, 3, 64, 64), align_corners=False)
        moved = F.grid_sample(batch.source[i : i + 1], grid, padding_mode="border", align_corners=False)[0]
        lower = (slice(None), slice(-14, -4), slice(16, -16))
        told, untold = ((each[lower] - batch.target[i][lower]).abs().mean() for each in (moved, batch.source[i]))
        better.append(told < 0.6 * untold or untold < 0.01)
    assert len(better) > 5
    assert all(better)


def test_some_pairs_come_without_the_torso(leaning_cache):
    known = torch.cat(
        [PairSampler(leaning_cache, "train", 64).sample_batch(50, NOTHING, (n,)).torso_known for n in range(4)]
    )
    assert set(known.tolist()) == {0.0, 1.0}
    assert 0.15 < 1 - known.mean() < 0.45


def test_a_clip_cut_at_the_chin_has_no_torso(cut_clip):
    assert pair_sampler.track_torso(cut_clip) is None
