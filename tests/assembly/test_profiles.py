"""A profile comes back as it was saved, and nothing that happens on the way loses it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from livehead.assembly.profiles import CallProfile, ProfileStore
from livehead.config import GainSettings, PictureSettings
from livehead.errors import ConfigError
from livehead.motion.keypoints import mesh_keypoints
from livehead.motion.retarget.calibration import NeutralCalibration


@pytest.fixture
def profiles(tmp_path: Path) -> ProfileStore:
    return ProfileStore(tmp_path / "profiles")


def test_a_profile_comes_back_as_it_was_saved(profiles: ProfileStore) -> None:
    profile = CallProfile(
        avatars=(Path("/photos/ada.jpg"), Path("mia.png")),
        mode="absolute",
        gains=GainSettings(mouth=1.3, gaze_to_camera=0.5),
        picture=PictureSettings(fit="crop", background="#204060", badge=True),
    )
    profiles.save("office", profile)
    assert profiles.load("office") == profile
    assert profiles.list_names() == ["office"]


def test_a_calibration_survives_the_way_to_disk_and_back(profiles: ProfileStore) -> None:
    face = np.random.default_rng(1).normal(0, 0.2, (478, 3)).astype(np.float32)
    saved = NeutralCalibration(mesh_keypoints(face, 1.0, 0)).to_json()
    assert saved is not None
    profiles.save("ada", CallProfile(calibration=dict(saved)))
    again = profiles.load("ada").calibration
    assert again is not None
    neutral = NeutralCalibration.from_json(again).neutral
    assert neutral is not None
    assert np.allclose(neutral.points3d()[0], face, atol=1e-5)


def test_an_unknown_name_brings_the_nearest_known_one(profiles: ProfileStore) -> None:
    with pytest.raises(ConfigError, match="none was saved yet"):
        profiles.load("office")
    profiles.save("office", CallProfile())
    profiles.save("holiday", CallProfile())
    with pytest.raises(ConfigError, match="did you mean 'office'"):
        profiles.load("ofice")


def test_an_unknown_key_brings_the_nearest_known_one(profiles: ProfileStore) -> None:
    path = profiles.save("office", CallProfile())
    path.write_text(json.dumps({"gains": {"mouht": 1.0}}))
    with pytest.raises(ConfigError, match="mouht.*mouth"):
        profiles.load("office")


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", "\x00\x01", '{"gains": 3}'])
def test_a_damaged_profile_is_named_and_stays_for_mending(profiles: ProfileStore, content: str) -> None:
    path = profiles.save("office", CallProfile())
    path.write_text(content)
    with pytest.raises(ConfigError, match="office"):
        profiles.load("office")
    assert path.read_text() == content


def test_bytes_that_are_no_text_are_a_damaged_profile(profiles: ProfileStore) -> None:
    profiles.save("office", CallProfile()).write_bytes(b"\xff\xfe\x00\xff")
    with pytest.raises(ConfigError, match="not JSON"):
        profiles.load("office")


@pytest.mark.parametrize("name", ["", "../evil", "a/b", ".hidden", "x" * 65, "con\n"])
def test_a_name_that_is_no_file_name_is_refused(profiles: ProfileStore, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot name a profile"):
        profiles.save(name, CallProfile())
    with pytest.raises(ConfigError, match="cannot name a profile"):
        profiles.load(name)


def test_a_save_that_fails_half_way_leaves_the_old_profile(
    profiles: ProfileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = CallProfile(avatars=(Path("ada.jpg"),))
    profiles.save("office", old)

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match="No space left"):
        profiles.save("office", CallProfile(avatars=(Path("mia.jpg"),)))
    assert profiles.load("office") == old
    assert [path.name for path in profiles.folder.iterdir()] == ["office.json"]


def test_a_folder_that_cannot_be_made_says_where_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match="LIVEHEAD_HOME"):
        ProfileStore(tmp_path / "file" / "profiles").save("office", CallProfile())


def test_the_home_variable_moves_the_profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVEHEAD_HOME", str(tmp_path))
    ProfileStore().save("office", CallProfile())
    assert (tmp_path / "profiles" / "office.json").exists()
