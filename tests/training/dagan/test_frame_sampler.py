from functools import partial

import cv2
import numpy as np
import pytest
import torch

from livehead.errors import ConfigError
from livehead.training.batches import iterate_batches
from livehead.training.clip_files import DecodedClipCache, find_clips
from livehead.training.dagan.color_jitter import ColorJitter
from livehead.training.dagan.frame_sampler import FrameSampler


def write_frames(folder, count, colour=(0, 0, 0), side=64):
    """Frame ``i`` has a white column at 4 i, so that its place in time can be read off it."""
    folder.mkdir(parents=True)
    for index in range(count):
        picture = np.full((side, side, 3), colour, np.uint8)
        picture[:, 4 * index : 4 * index + 4] = 255
        cv2.imwrite(str(folder / f"{index:07d}.png"), picture)


def write_video(path, count=5, width=96, height=64):
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 25, (width, height))
    for index in range(count):
        writer.write(np.full((height, width, 3), 40 * index, np.uint8))
    writer.release()


def place_in_time(picture):
    """Of [3, S, S]: the number of a frame that ``write_frames`` drew."""
    return int(picture.mean(dim=(0, 1)).argmax()) // 4


def test_a_cache_has_its_own_splits_and_stills_do_not_move(cache):
    assert [clip.name for clip in find_clips(cache, "train")] == ["a", "b"]
    assert [clip.name for clip in find_clips(cache, "val")] == ["v"]


def test_videos_are_found_by_person_and_a_tenth_of_the_persons_is_held_out(tmp_path):
    for person in "abc":
        write_video(tmp_path / person / "one.mp4")
    write_video(tmp_path / "c" / "two.mp4")
    assert [clip.name for clip in find_clips(tmp_path, "train")] == ["a/one.mp4", "b/one.mp4"]
    assert [clip.name for clip in find_clips(tmp_path, "val")] == ["c/one.mp4", "c/two.mp4"]
    count, frame = DecodedClipCache(32).open_clip(find_clips(tmp_path, "train")[0])
    assert count == 5
    assert frame(4).shape == (32, 32, 3)


def test_frames_as_voxceleb_has_them_are_found_with_their_splits(tmp_path):
    write_frames(tmp_path / "train" / "id1#video#000001#000009.mp4", 3)
    write_frames(tmp_path / "train" / "id1#other#000001#000009.mp4", 3)
    write_frames(tmp_path / "train" / "id2" / "clip", 3)
    write_frames(tmp_path / "test" / "id3#video#000001#000009.mp4", 3)
    assert {clip.person for clip in find_clips(tmp_path, "train")} == {"id1", "id2"}
    assert [clip.person for clip in find_clips(tmp_path, "val")] == ["id3"]
    assert FrameSampler(tmp_path, "train", 64).persons == 2


def test_a_folder_without_clips_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no clips"):
        find_clips(tmp_path, "train")
    with pytest.raises(ConfigError, match="no clips"):
        find_clips(tmp_path / "nowhere", "train")


def test_a_broken_video_is_named(tmp_path):
    (tmp_path / "notes.mp4").write_text("no video")
    with pytest.raises(ConfigError, match=r"notes\.mp4"):
        FrameSampler(tmp_path, "train", 64).sample_pairs(1, (0,))


def test_the_same_seed_gives_the_same_batch(cache):
    source = FrameSampler(cache, "train", 64)
    first, again, other = (source.sample_pairs(4, (0, 0, step)) for step in (7, 7, 8))
    assert torch.equal(first.source, again.source)
    assert torch.equal(first.driving, again.driving)
    assert not torch.equal(first.source, other.source)
    three, same = (source.sample_triplets(4, (0, 0, 7)) for _ in range(2))
    assert torch.equal(three.augmented, same.augmented)


def test_batches_are_the_same_whoever_makes_them(cache):
    source = FrameSampler(cache, "train", 64)
    made = [iterate_batches(partial(source.sample_pairs, 2), (5, 0), 3, workers) for workers in (0, 2)]
    for step in range(3, 6):
        expected = source.sample_pairs(2, (5, 0, step))
        for each in made:
            assert torch.equal(next(each).driving, expected.driving)


def test_the_source_is_the_earlier_frame_unless_time_is_reversed(tmp_path):
    write_frames(tmp_path / "one" / "clip", 16)
    pairs = FrameSampler(tmp_path, "train", 64).sample_pairs(64, (3,))
    places = [(place_in_time(a), place_in_time(b)) for a, b in zip(*pairs, strict=True)]
    forward = sum(a < b for a, b in places)
    assert 8 < forward < 56  # a mirrored pair reads backwards too, and reversed ones do


def test_a_triplet_is_a_frame_between_its_neighbours(tmp_path):
    write_frames(tmp_path / "one" / "clip", 16)
    triplets = FrameSampler(tmp_path, "train", 64).sample_triplets(16, (3,))
    assert triplets.original.shape == (16, 3, 3, 64, 64)
    for frames in triplets.original:
        before, middle, after = (place_in_time(frame) for frame in frames)
        assert middle - before == after - middle
        assert abs(middle - before) == 1
    assert not torch.equal(triplets.original, triplets.augmented)


def test_a_clip_of_two_frames_is_long_enough(tmp_path):
    write_frames(tmp_path / "one" / "clip", 2)
    source = FrameSampler(tmp_path, "train", 64)
    assert source.sample_triplets(2, (0,)).original.shape[0] == 2
    assert source.held_out_pairs(8, 1)[0][1].driving.shape[0] == 1


def test_processes_share_the_persons_between_them(tmp_path):
    for person in "abcd":
        write_frames(tmp_path / "train" / person / "clip", 2)
    parts = [FrameSampler(tmp_path, "train", 64, rank, 2) for rank in range(2)]
    names = [sorted(clip.person for group in part._clips_by_person for clip in group) for part in parts]
    assert names == [["a", "c"], ["b", "d"]]
    assert [part.persons for part in parts] == [4, 4]


def test_few_decoded_videos_are_kept(tmp_path):
    for name in "ab":
        write_video(tmp_path / f"{name}.mp4")
    shelf = DecodedClipCache(32, max_bytes=5 * 32 * 32 * 3)
    for clip in find_clips(tmp_path, "train") + find_clips(tmp_path, "val"):
        shelf.open_clip(clip)
    assert len(shelf._videos) == 1


def test_colours_stray_alike_for_all_pictures_and_stay_in_range():
    rng = np.random.default_rng(0)
    pictures = np.repeat(rng.uniform(0, 1, (1, 8, 8, 3)).astype(np.float32), 2, axis=0)
    changed = ColorJitter(0.1, 0.1, 0.1, 0.1).apply(pictures, rng)
    np.testing.assert_array_equal(changed[0], changed[1])
    assert 0 <= changed.min() <= changed.max() <= 1
    assert 0.01 < np.abs(changed - pictures).mean() < 0.3
    np.testing.assert_allclose(ColorJitter(0, 0, 0, 0).apply(pictures, rng), pictures, atol=2e-3)
