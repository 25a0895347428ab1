"""Lists of pairs as they are published, and what is said of a model that is tried on one."""

import cv2
import numpy as np
import pytest

from livehead.errors import CaptureError, ConfigError, NoFaceError
from livehead.evaluation.frame_pairs import read_pairs
from livehead.evaluation.image_metrics import PSNR_OF_IDENTICAL
from livehead.evaluation.self_reenactment import METRICS, POSE_KEY, copy_baseline, evaluate_pairs

CLIP = "id1#video#000001#000009.mp4"
ELSEWHERE = "/data/somebody/vox1_frames/test"


@pytest.fixture
def frames(tmp_path, astronaut):
    """A clip as a folder of frames."""
    folder = tmp_path / "test" / CLIP
    folder.mkdir(parents=True)
    for index, turn in enumerate((0, 10)):
        cv2.imwrite(str(folder / f"{index:07d}.png"), astronaut(turn=turn)[..., ::-1])
    cv2.imwrite(str(folder / "0000002.png"), np.full((256, 256, 3), 127, np.uint8))
    return tmp_path / "test"


def write_list(folder, *rows, header="source,driving,frame"):
    path = folder / "pairs.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def row(first, second):
    return f"{ELSEWHERE}/{CLIP}/{first:07d}.png,{ELSEWHERE}/{CLIP}/{second:07d}.png"


def test_frames_are_found_whatever_the_authors_folders_are_called(frames, tmp_path):
    (pair,) = read_pairs(write_list(tmp_path, row(0, 1)), frames)
    assert pair.source.path == frames / CLIP / "0000000.png"
    assert pair.name == f"{CLIP}/0000000 by {CLIP}/0000001"
    assert pair.source.read(128).shape == (128, 128, 3)
    assert read_pairs(write_list(tmp_path, row(0, 1)), tmp_path)[0].driving.path.parent.parent == frames.parent / "test"


def test_frames_of_a_video_are_found_by_their_number(tmp_path, write_clip, astronaut):
    write_clip(tmp_path / CLIP, [np.full((64, 64, 3), 30 * i, np.uint8) for i in range(4)])
    (pair,) = read_pairs(write_list(tmp_path, row(1, 3)), tmp_path)
    assert abs(int(pair.driving.read(64).mean()) - 90) < 4
    assert pair.driving.name == f"{CLIP}/0000003"
    (beyond,) = read_pairs(write_list(tmp_path, row(1, 9)), tmp_path)
    with pytest.raises(CaptureError, match="no frame 9"):
        beyond.driving.read(64)


@pytest.mark.parametrize(
    ("rows", "header", "told"),
    [
        ([], "source,driving", "lists no pairs"),
        (["a.png,b.png"], "first,second", "cannot read"),
        ([row(0, 77)], "source,driving", "is not in"),
        (["only"], "source,driving", "is not in"),
    ],
)
def test_a_list_that_cannot_be_used_is_refused(frames, tmp_path, rows, header, told):
    with pytest.raises(ConfigError, match=told):
        read_pairs(write_list(tmp_path, *rows, header=header), frames)
    with pytest.raises(ConfigError, match="cannot read"):
        read_pairs(tmp_path / "nowhere.csv", frames)


def test_every_pair_and_mean_has_every_figure(frames, tmp_path, finder):
    pairs = read_pairs(write_list(tmp_path, row(0, 1), row(1, 1)), frames)
    results = evaluate_pairs(pairs, {"copy": copy_baseline}, finder)["copy"]
    moved, still = (results.clips[pair.name] for pair in pairs)
    assert tuple(results.mean) == (*METRICS, POSE_KEY)
    assert still["psnr"] == PSNR_OF_IDENTICAL
    assert still[POSE_KEY] == pytest.approx(0, abs=0.5)
    assert moved[POSE_KEY] == pytest.approx(10, abs=2)
    assert results.mean[POSE_KEY] == pytest.approx((moved[POSE_KEY] + still[POSE_KEY]) / 2)
    assert np.isnan(results.mean["flicker"])


def test_a_frame_without_a_face_is_told(frames, tmp_path, finder):
    with pytest.raises(NoFaceError, match="0000002"):
        evaluate_pairs(read_pairs(write_list(tmp_path, row(0, 2)), frames), {"copy": copy_baseline}, finder)
