from fractions import Fraction

import av
import numpy as np
import pytest

from livehead.errors import CaptureError, ConfigError
from livehead.figure.mannequin import RELAXED_POSE, MannequinPose, draw_mannequin
from livehead.perception.dense_pose import (
    frame_dense_pose,
    is_dense_pose_folder,
    open_dense_pose_sequence,
    quantize_pose,
    read_dense_pose,
)
from livehead.perception.figure_framing import square_window


def save_exr(path, pose):
    height, width = pose.shape[:2]
    coder = av.CodecContext.create("exr", "w")
    coder.width, coder.height, coder.pix_fmt, coder.time_base = width, height, "gbrapf32le", Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(pose, format="gbrapf32le")
    path.write_bytes(b"".join(bytes(packet) for packet in [*coder.encode(frame), *coder.encode(None)]))


@pytest.fixture(scope="module")
def pose():
    return draw_mannequin(MannequinPose(left_arm=0.8, right_arm=-0.5), 96).pose


@pytest.fixture
def folder(tmp_path, pose):
    np.savez(tmp_path / "0001.npz", i=pose)
    np.savez(tmp_path / "0002.npz", i=draw_mannequin(RELAXED_POSE, 96).pose)
    return tmp_path


def test_npz_and_exr_hold_the_same_pose(tmp_path, pose):
    np.savez_compressed(tmp_path / "a.npz", i=pose)
    save_exr(tmp_path / "b.exr", pose)
    assert np.array_equal(read_dense_pose(tmp_path / "a.npz"), pose)
    assert np.array_equal(read_dense_pose(tmp_path / "b.exr"), pose)
    assert is_dense_pose_folder(tmp_path)


def test_axes_say_what_the_channels_hold(tmp_path, pose):
    np.savez(tmp_path / "zxy.npz", i=pose[..., [2, 0, 1, 3]])
    assert np.array_equal(read_dense_pose(tmp_path / "zxy.npz", "zxy"), pose)
    assert not np.array_equal(read_dense_pose(tmp_path / "zxy.npz"), pose)
    for wrong in ("xy", "xyy", "abc", "XYZ"):
        with pytest.raises(ConfigError, match="xzy"):
            open_dense_pose_sequence(tmp_path, wrong)


def test_a_sequence_has_one_window_for_all_its_poses(folder):
    sequence = open_dense_pose_sequence(folder)
    boxes = []
    for file in sequence.files:
        rows, columns = np.nonzero(read_dense_pose(file)[..., 3])
        boxes.append((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
    low, high = np.min(boxes, axis=0), np.max(boxes, axis=0)
    assert sequence.window == square_window((low[0], low[1], high[2], high[3]))
    assert sequence.size == (96, 96)
    assert sequence.empty_files == 0
    first, second = (sequence.read_pose(number, 7) for number in range(2))
    assert first.value.shape == (256, 256, 4)
    assert first.captured_ns == 7
    assert not np.array_equal(first.value, second.value)


def test_framing_makes_up_no_coordinates(pose):
    framed = frame_dense_pose(pose, square_window((20, 10, 80, 90)), 0)
    known = {tuple(name) for name in pose[..., :3].reshape(-1, 3)} | {(0, 0, 0)}
    assert {tuple(name) for name in framed.value[..., :3].reshape(-1, 3)} <= known


def test_empty_poses_among_others_are_counted(folder):
    np.savez(folder / "0003.npz", i=np.zeros((96, 96, 4), np.float32))
    sequence = open_dense_pose_sequence(folder)
    assert sequence.empty_files == 1
    assert not sequence.read_pose(2, 0).seen


def test_a_sequence_of_nothing_is_refused(tmp_path):
    np.savez(tmp_path / "0001.npz", i=np.zeros((96, 96, 4), np.float32))
    with pytest.raises(CaptureError, match="shows anything"):
        open_dense_pose_sequence(tmp_path)


def test_rounding_beyond_the_range_is_clipped_and_more_is_refused(tmp_path, pose):
    np.savez(tmp_path / "near.npz", i=pose * np.float32(1.01))
    assert read_dense_pose(tmp_path / "near.npz").max() == 1
    for wrong, text in ((pose * 255, "255"), (pose - 0.5, "-0.5")):
        np.savez(tmp_path / "far.npz", i=wrong)
        with pytest.raises(CaptureError, match=rf"from .*{text}.*scale|from {text}"):
            read_dense_pose(tmp_path / "far.npz")


def test_numbers_behind_the_figure_do_not_matter(tmp_path, pose):
    odd = np.where(pose[..., 3:] > 0, pose, np.array([9, -3, np.nan, 0], np.float32))
    np.savez(tmp_path / "odd.npz", i=odd)
    assert np.array_equal(read_dense_pose(tmp_path / "odd.npz"), pose)


@pytest.mark.parametrize(
    "content",
    [
        {"i": np.zeros((8, 8, 3), np.float32)},
        {"i": np.zeros((8, 8), np.float32)},
        {"i": np.array([["a"]])},
        {"i": np.zeros((0, 8, 4), np.float32)},
        {"j": np.zeros((8, 8, 4), np.float32)},
        {"i": np.array([{"pickled": 1}], dtype=object)},
        {"i": np.full((8, 8, 4), np.nan, np.float32)},
    ],
    ids=["three planes", "one plane", "text", "no pixels", "other name", "pickle", "no numbers"],
)
def test_an_npz_of_something_else_is_named(tmp_path, content):
    np.savez(tmp_path / "x.npz", **content)
    with pytest.raises(CaptureError, match=r"x\.npz"):
        read_dense_pose(tmp_path / "x.npz")


@pytest.mark.parametrize("name", ["x.npz", "x.exr"])
@pytest.mark.parametrize("content", [b"", b"no picture", b"v/1\x01\x02\x00\x00\x00", b"PK\x03\x04"])
def test_a_damaged_file_is_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CaptureError, match=name):
        read_dense_pose(tmp_path / name)


def test_a_truncated_file_is_named(tmp_path, pose):
    np.savez(tmp_path / "whole.npz", i=pose)
    content = (tmp_path / "whole.npz").read_bytes()
    (tmp_path / "x.npz").write_bytes(content[: len(content) // 2])
    with pytest.raises(CaptureError, match=r"x\.npz"):
        read_dense_pose(tmp_path / "x.npz")


def test_frames_of_several_sizes_are_refused(folder):
    np.savez(folder / "0003.npz", i=draw_mannequin(RELAXED_POSE, 64).pose)
    with pytest.raises(CaptureError, match="one size"):
        open_dense_pose_sequence(folder)


def test_a_preview_rounds_down(pose):
    assert quantize_pose(pose).dtype == np.uint8
    assert quantize_pose(np.full((1, 1, 4), 0.999, np.float32)).max() == 254
