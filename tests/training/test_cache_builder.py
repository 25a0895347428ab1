import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
import pytest

from livehead.errors import CaptureError
from livehead.motion.face.mesh import FACE_MESH
from livehead.training.cache import read_clip, write_index
from livehead.training.cache_builder import CacheSettings, cache_media_file

SETTINGS = CacheSettings(stride=1, min_frames=3)


@pytest.fixture(scope="module")
def photo():
    return Path(str(files("livehead.assets") / "astronaut.png"))


@pytest.fixture(scope="module")
def video(photo, tmp_path_factory):
    """The astronaut drifting through a picture that is not square."""
    path = tmp_path_factory.mktemp("clips") / "drift.mp4"
    bgr = cv2.imread(str(photo))[:360, :480]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 25, (480, 360))
    for shift in range(4):
        writer.write(np.roll(bgr, 2 * shift, axis=1))
    writer.release()
    return path


def test_a_video_becomes_a_clip_of_head_crops(video, tmp_path):
    entry = cache_media_file(video, "train", tmp_path, SETTINGS)
    assert (entry.name, entry.split, entry.frames, entry.still) == ("drift", "train", 4, False)
    clip = read_clip(tmp_path, entry)
    assert clip.frames.shape == (4, 256, 256, 3)
    height = clip.landmarks[0, FACE_MESH.chin, 1] - clip.landmarks[0, FACE_MESH.forehead, 1]
    assert 0.3 < height / 2 < 0.8
    row, column = ((clip.landmarks[0, FACE_MESH.nose, 1::-1] + 1) * 32).astype(int)
    assert clip.masks[0, row, column] > 200  # the nose belongs to the person
    drift = clip.landmarks[-1, :, 0].mean() - clip.landmarks[0, :, 0].mean()
    assert drift > 0.01


def test_a_photo_becomes_a_still(photo, tmp_path):
    entry = cache_media_file(photo, "train", tmp_path, SETTINGS)
    assert entry.still
    assert entry.frames == 1
    write_index(tmp_path, 256, [entry])
    assert read_clip(tmp_path, entry).frames.shape == (1, 256, 256, 3)


def test_a_video_without_a_face_is_left_out(tmp_path):
    path = tmp_path / "grey.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 25, (128, 128))
    for _ in range(4):
        writer.write(np.full((128, 128, 3), 90, np.uint8))
    writer.release()
    assert cache_media_file(path, "train", tmp_path, SETTINGS) is None


def test_what_is_no_video_is_refused(tmp_path):
    path = tmp_path / "notes.mp4"
    path.write_text("not a video")
    with pytest.raises(CaptureError, match="no video"):
        cache_media_file(path, "train", tmp_path, SETTINGS)


def test_a_cache_is_read_without_mediapipe():
    """Training must run where only torch is: neither the cache nor the trainers import what needs MediaPipe."""
    names = (
        *("cache", "losses", "clip_files", "compact.pair_sampler", "compact.trainer", "compact.state"),
        *("dagan.frame_sampler", "dagan.depth_trainer", "dagan.trainer"),
    )
    program = f"""
import importlib, sys
for name in {names}:
    importlib.import_module(f"livehead.training.{{name}}")
print(*sorted(name for name in sys.modules if name.startswith(("mediapipe", "livehead.perception."))))
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    rooms = ("photo_formats", "picture_files", "torso_tracker")
    assert run.stdout.split() == [f"livehead.perception.{name}" for name in rooms]
