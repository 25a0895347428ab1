import numpy as np
import pytest

from livehead.errors import ConfigError
from livehead.training.cache import LANDMARK_STEPS, decode_landmarks, encode_landmarks, read_index


def test_landmarks_survive_to_within_half_a_step():
    landmarks = np.random.default_rng(0).uniform(-1.2, 1.2, (9, 478, 3)).astype(np.float32)
    assert np.abs(decode_landmarks(encode_landmarks(landmarks)) - landmarks).max() <= 0.5 / LANDMARK_STEPS + 1e-6


def test_errors_of_rounding_do_not_add_up_over_a_long_clip():
    drift = np.full((400, 478, 3), 0.4 / LANDMARK_STEPS, np.float32).cumsum(axis=0)
    assert np.abs(decode_landmarks(encode_landmarks(drift)) - drift).max() <= 0.5 / LANDMARK_STEPS + 1e-6


def test_a_folder_that_is_no_cache_says_how_to_make_one(tmp_path):
    with pytest.raises(ConfigError, match="prepare_clips"):
        read_index(tmp_path)
