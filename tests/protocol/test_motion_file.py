"""Motion goes into a file and comes out of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from livehead.errors import CaptureError, SinkError
from livehead.motion.keypoints import FaceSighting, Keypoints
from livehead.protocol.motion_file import MotionRecorder, load_motion


def moment(index: int, *, jacobian: bool = False, set_name: str = "few") -> Keypoints:
    random = np.random.default_rng(index)
    return Keypoints(
        set_name,
        random.uniform(-1, 1, (1, 5, 2)).astype(np.float32),
        random.uniform(-1, 1, (1, 5)).astype(np.float32),
        random.normal(0, 1, (1, 5, 2, 2)).astype(np.float32) if jacobian else None,
        np.array([index % 2], np.float32),
        10_000 + index * 40_000_000,
    )


@pytest.mark.parametrize("jacobian", [False, True])
def test_what_is_read_is_what_was_written(tmp_path: Path, jacobian: bool) -> None:
    written = [moment(i, jacobian=jacobian) for i in range(650)]
    with MotionRecorder(tmp_path / "motion.npz") as recorder:
        for each in written:
            recorder.add(each)
    read = load_motion(tmp_path / "motion.npz")
    assert len(read) == 650
    for before, after in zip(written, read, strict=True):
        assert after.set == "few"
        assert after.captured_ns == before.captured_ns - 10_000
        np.testing.assert_array_equal(after.confidence, before.confidence)
        np.testing.assert_allclose(after.value, before.value, atol=1e-4)
        np.testing.assert_allclose(after.points3d(), before.points3d(), atol=1e-4)
        assert (after.jacobian is None) == (before.jacobian is None)


def test_a_minute_of_a_face_takes_few_megabytes(tmp_path: Path, source: Keypoints) -> None:
    noise = np.random.default_rng(0)
    with MotionRecorder(tmp_path / "motion.npz") as recorder:
        for _ in range(60):
            recorder.add(
                source.with_points(source.value + noise.normal(0, 0.001, source.value.shape).astype(np.float32))
            )
    assert (tmp_path / "motion.npz").stat().st_size < 60 * 2500


def test_another_set_in_the_middle_is_refused(tmp_path: Path) -> None:
    with MotionRecorder(tmp_path / "motion.npz") as recorder:
        recorder.add(moment(0))
        with pytest.raises(SinkError, match="few.*many"):
            recorder.add(moment(1, set_name="many"))


def test_a_missing_folder_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(SinkError):
        MotionRecorder(tmp_path / "nowhere" / "motion.npz")


def test_anything_else_is_no_recorded_motion(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="there is no"):
        load_motion(tmp_path / "missing.npz")
    (tmp_path / "text.npz").write_text("hello")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(CaptureError, match="holds no"):
        load_motion(tmp_path / "text.npz")
    with pytest.raises(CaptureError, match="holds no"):
        load_motion(tmp_path / "other.npz")
    with MotionRecorder(tmp_path / "empty.npz"):
        pass
    with pytest.raises(CaptureError, match="empty"):
        load_motion(tmp_path / "empty.npz")


def test_a_torso_is_kept_where_it_was_seen(tmp_path: Path) -> None:
    written = [moment(i) for i in range(310)]
    torso = np.random.default_rng(0).uniform(-1, 1, (310, 1, 3, 2)).astype(np.float32)
    written = [replace(each, torso=torso[i]) if i % 3 else each for i, each in enumerate(written)]
    with MotionRecorder(tmp_path / "motion.npz") as recorder:
        for each in written:
            recorder.add(each)
    for before, after in zip(written, load_motion(tmp_path / "motion.npz"), strict=True):
        assert (before.torso is None) == (after.torso is None)
        if before.torso is not None and after.torso is not None:
            np.testing.assert_array_equal(after.torso, before.torso)


def test_a_recording_without_a_torso_has_none(tmp_path: Path) -> None:
    with MotionRecorder(tmp_path / "motion.npz") as recorder:
        recorder.add(moment(1))
    with np.load(tmp_path / "motion.npz") as file:
        assert not [name for name in file.files if name.startswith("torso")]
    assert load_motion(tmp_path / "motion.npz")[0].torso is None


def test_several_persons_and_hidden_lips_are_kept(tmp_path: Path, source: Keypoints) -> None:
    path = tmp_path / "two.npz"
    seen = [FaceSighting(1), FaceSighting(1, lips_hidden=0.5), FaceSighting(2, face_count=2)]
    with MotionRecorder(path) as recorder:
        for number, sighting in enumerate(seen):
            recorder.add(replace(source, captured_ns=number * 40_000_000, sighting=sighting))
    read = load_motion(path)
    assert [motion.performer for motion in read] == [1, 1, 2]
    assert [motion.sighting.lips_hidden for motion in read if motion.sighting] == [0, 0.5, 0]


def test_a_recording_of_one_open_face_is_as_it_was_before(tmp_path: Path, source: Keypoints) -> None:
    with MotionRecorder(tmp_path / "one.npz") as recorder:
        recorder.add(replace(source, sighting=FaceSighting()))
    with np.load(tmp_path / "one.npz") as file:
        assert "sighting.0" not in file
