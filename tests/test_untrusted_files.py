"""Whatever is stored may be damaged anywhere: every reader answers with its format's one error, in bounded time."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from livehead.assembly.profiles import CallProfile, ProfileStore
from livehead.avatars.archive import ArchiveError, read_archive, write_archive
from livehead.config import RunSettings, load_settings
from livehead.errors import ConfigError, LiveheadError
from livehead.motion.keypoints import Keypoints
from livehead.motion.retarget.calibration import NeutralCalibration
from livehead.perception.dense_pose import read_dense_pose
from livehead.protocol.motion_file import MotionRecorder, load_motion
from livehead.protocol.openpose_json import parse_people
from livehead.training.cache import ClipEntry, encode_landmarks, read_index, read_tracks, write_index
from livehead.training.checkpoint import read_checkpoint as read_run_checkpoint
from livehead.training.checkpoint import write_checkpoint
from livehead.training.compact.recipe import read_compact_recipe
from livehead.untrusted_files import DamagedFileError, guard_parser, parse_arrays, read_untrusted, set_aside
from livehead.weights.checkpoint import read_checkpoint
from livehead.weights.checkpoint_store import CheckpointStore
from livehead.weights.safetensors_file import read_safetensors, write_safetensors
from tests.fixtures.mutations import mutate

MUTATIONS = 1500
SLOWEST_READ_S = 2.0

ROOT = Path(__file__).parents[1]


def few_points(index: int = 0) -> Keypoints:
    value = np.random.default_rng(index).uniform(-1, 1, (1, 5, 2)).astype(np.float32)
    return Keypoints("few", value, value[..., 0].copy(), None, np.ones(1, np.float32), index * 40_000_000)


def write_motion(path: Path) -> None:
    with MotionRecorder(path) as recorder:
        for index in range(40):
            recorder.add(few_points(index))


def write_profile(path: Path) -> None:
    calibration = NeutralCalibration(few_points()).to_json()
    profile = CallProfile(avatars=(Path("ada.jpg"),), calibration=dict(calibration or {}))
    ProfileStore(path.parent).save(path.stem, profile)


def load_profile(path: Path) -> object:
    profile = ProfileStore(path.parent).load(path.stem)
    return NeutralCalibration.from_json(profile.calibration) if profile.calibration else None


def write_record(path: Path) -> None:
    texts = {"licence": "MIT", "source": "x", "imported": "2026-01-01", "name": path.stem, "sha256": "0" * 64}
    path.write_text(json.dumps({**texts, "networks": {"a": "b"}, "origin": {"c": "d"}}))


def write_clip_index(path: Path) -> None:
    write_index(path.parent, 256, [ClipEntry("a", "train", 3, 25.0, still=False)] * 5)


ENTRY = ClipEntry("clip", "train", 3, 25.0, still=False)


def write_tracks(path: Path) -> None:
    landmarks = np.random.default_rng(0).uniform(-1, 1, (3, 478, 3)).astype(np.float32)
    np.savez_compressed(path, landmarks=encode_landmarks(landmarks), masks=np.zeros((3, 8, 8), np.uint8))


READERS: dict[str, tuple[str, Callable[[Path], object], Callable[[Path], object]]] = {
    "portrait": ("a.npz", lambda path: write_archive(path, few_points()), lambda path: read_archive(Keypoints, path)),
    "motion": ("a.npz", write_motion, load_motion),
    "profile": ("office.json", write_profile, load_profile),
    "settings": (
        "run.toml",
        lambda path: path.write_bytes((ROOT / "configs" / "run" / "gpu-server.toml").read_bytes()),
        lambda path: load_settings(RunSettings, path),
    ),
    "recipe": (
        "compact.toml",
        lambda path: path.write_bytes((ROOT / "configs" / "train" / "compact.toml").read_bytes()),
        read_compact_recipe,
    ),
    "record of weights": (
        "dagan-vox-256.json",
        write_record,
        lambda path: CheckpointStore(path.parent).read_record(path.stem),
    ),
    "safetensors": (
        "a.safetensors",
        lambda path: write_safetensors({"a": torch.ones(4), "b": torch.zeros(2, 2)}, path),
        read_safetensors,
    ),
    "checkpoint": ("a.pth", lambda path: torch.save({"a.weight": torch.ones(3)}, path), read_checkpoint),
    "old checkpoint": (
        "a.pth",
        lambda path: torch.save({"a.weight": torch.ones(3)}, path, _use_new_zipfile_serialization=False),
        read_checkpoint,
    ),
    "training run": (
        "a.pt",
        lambda path: write_checkpoint({"step": 3, "net": {"w": torch.ones(3)}}, path),
        read_run_checkpoint,
    ),
    "training index": ("index.json", write_clip_index, lambda path: read_index(path.parent)),
    "training tracks": ("clip.npz", write_tracks, lambda path: read_tracks(path.parent, ENTRY)),
    "pose": (
        "a.npz",
        lambda path: np.savez_compressed(path, i=np.random.default_rng(0).random((16, 16, 4)).astype(np.float32)),
        read_dense_pose,
    ),
}


def complaint_of(read: Callable[[Path], object], path: Path) -> str:
    """What the reader's own error says; empty where the damage changed nothing. Any other error ends the test."""
    try:
        read(path)
    except (LiveheadError, ArchiveError) as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", READERS)
def test_damage_anywhere_is_one_line_in_bounded_time(name: str, tmp_path: Path) -> None:
    file_name, write, read = READERS[name]
    path = tmp_path / file_name
    write(path)
    read(path)
    whole, slowest = path.read_bytes(), 0.0
    for content in mutate(whole, MUTATIONS):
        path.write_bytes(content)
        started = time.perf_counter()
        said = complaint_of(read, path)
        slowest = max(slowest, time.perf_counter() - started)
        assert "\n" not in said
        assert len(said) < 400 + len(str(path))
    assert slowest < SLOWEST_READ_S


@pytest.mark.parametrize("name", ["profile", "record of weights", "training index"])
def test_json_nested_too_deeply_is_one_line(name: str, tmp_path: Path) -> None:
    file_name, _, read = READERS[name]
    (tmp_path / file_name).write_bytes(b'{"a":' * 200_000)
    with pytest.raises(LiveheadError, match="import|mend|prepare"):
        read(tmp_path / file_name)


@pytest.mark.parametrize("name", ["settings", "recipe"])
def test_toml_nested_too_deeply_is_one_line(name: str, tmp_path: Path) -> None:
    file_name, _, read = READERS[name]
    (tmp_path / file_name).write_bytes(b"a = " + b"[" * 100_000)
    with pytest.raises(ConfigError):
        read(tmp_path / file_name)


def test_poses_of_openpose_may_be_anything() -> None:
    with pytest.raises(LiveheadError):
        parse_people("[" * 200_000, "body25")


def test_a_zip_that_unpacks_to_more_than_memory_is_refused_before_it_is_unpacked() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", bytes(4 << 20))
    with pytest.raises(ValueError, match="unpacks to"):
        parse_arrays(packed.getvalue(), max_bytes=1 << 20)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b" " * 101)
    with pytest.raises(DamagedFileError, match="more than 100 bytes"):
        read_untrusted(tmp_path / "a.json", json.loads, max_bytes=100)


@pytest.mark.parametrize(
    "fault", [NotImplementedError("compression 99"), RecursionError(), MemoryError(), StopIteration()]
)
def test_whatever_a_parser_raises_is_one_kind_of_error(fault: Exception) -> None:
    with pytest.raises(DamagedFileError, match="."), guard_parser():
        raise fault


def test_errors_of_livehead_s_own_and_interrupts_pass() -> None:
    for passing in (ConfigError("of a later format", "update"), KeyboardInterrupt()):
        with pytest.raises(type(passing)), guard_parser():
            raise passing


def test_only_the_newest_damaged_files_are_kept(tmp_path: Path) -> None:
    for number in range(6):
        path = tmp_path / f"{number}.npz"
        path.write_bytes(b"damaged")
        assert set_aside(path) is not None
        assert not path.exists()
    assert len(list(tmp_path.iterdir())) == 3
    assert set_aside(tmp_path / "none.npz") is None
