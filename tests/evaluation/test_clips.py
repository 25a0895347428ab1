"""Clips: which ones, and exactly which frames of them."""

import numpy as np
import pytest

from livehead.errors import CaptureError, ConfigError
from livehead.evaluation.clips import count_frames, driving_indices, list_clips, read_frames


@pytest.fixture(scope="module")
def numbered(tmp_path_factory, write_clip):
    """Ten frames, each as bright as its number says."""
    frames = [np.full((96, 128, 3), 20 * i + 10, np.uint8) for i in range(10)]
    return write_clip(tmp_path_factory.mktemp("clips") / "numbered.mp4", frames)


def test_driving_frames_are_spread_evenly_over_all_but_the_first():
    assert driving_indices(101, 5) == [1, 26, 50, 75, 100]
    assert driving_indices(5, 40) == [1, 2, 3, 4]
    assert driving_indices(1, 40) == []


def test_the_frames_that_are_asked_for_are_the_ones_that_come(numbered):
    frames = read_frames(numbered, [0, 3, 9], side=64)
    assert list(frames) == [0, 3, 9]
    assert [round((frame.mean() - 10) / 20) for frame in frames.values()] == [0, 3, 9]
    assert frames[3].shape == (64, 64, 3)


def test_frames_that_the_clip_lacks_are_left_out(numbered):
    assert count_frames(numbered) == 10
    assert list(read_frames(numbered, [8, 12], side=32)) == [8]


def test_a_file_that_is_no_video_is_told_with_its_name(tmp_path):
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    with pytest.raises(CaptureError, match=r"text\.mp4"):
        count_frames(text)


def test_a_list_names_clips_of_the_folder(numbered, tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("numbered.mp4\n")
    assert list_clips(numbered.parent, names) == [numbered]
    names.write_text("numbered.mp4\nabsent.mp4\n")
    with pytest.raises(ConfigError, match=r"absent\.mp4"):
        list_clips(numbered.parent, names)


def test_missing_folders_lists_and_clips_are_told(numbered, tmp_path):
    with pytest.raises(ConfigError, match="no folder"):
        list_clips(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="no .mp4"):
        list_clips(tmp_path)
    with pytest.raises(ConfigError, match="cannot read the list"):
        list_clips(numbered.parent, tmp_path / "absent.txt")
