"""A tiny training cache, drawn: shapes that move with a face mesh, so that no clip of a person is needed."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from livehead.models.dagan.build import build_face_depth
from livehead.motion.face.mean_face import load_mean_face
from livehead.training.cache import ClipEntry, encode_landmarks, write_index
from livehead.weights.convert import to_official_keys

SIDE = 64


def drawn_clip(rng, frames):
    mesh = np.repeat(load_mean_face()[None] * 0.5, frames, axis=0)
    mesh[..., :2] += np.cumsum(rng.normal(0, 0.02, (frames, 1, 2)), axis=0)
    colour = rng.uniform(0, 255, 3)
    pictures = []
    for points in mesh:
        picture = np.full((SIDE, SIDE, 3), 128, np.uint8)
        hull = cv2.convexHull(((points[:, :2] + 1) * SIDE / 2).astype(np.int32))
        cv2.fillConvexPoly(picture, hull, colour.tolist())
        for point in points[[33, 263, 13, 4]]:
            cv2.circle(picture, tuple(((point[:2] + 1) * SIDE / 2).astype(int).tolist()), 3, (0, 0, 0), -1)
        pictures.append(picture)
    return pictures, mesh.astype(np.float32)


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    rng = np.random.default_rng(0)
    entries = []
    for name, split, frames in (("a", "train", 6), ("b", "train", 6), ("still-c", "train", 1), ("v", "val", 5)):
        pictures, mesh = drawn_clip(rng, frames)
        writer = cv2.VideoWriter(str(folder / f"{name}.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 8, (SIDE, SIDE))
        for picture in pictures:
            writer.write(picture)
        writer.release()
        masks = np.full((frames, 64, 64), 15, np.uint8)
        np.savez_compressed(folder / f"{name}.npz", landmarks=encode_landmarks(mesh), masks=masks)
        entries.append(ClipEntry(name, split, frames, 8.0, frames == 1))
    write_index(folder, SIDE, entries)
    return folder


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # sums in a fixed order
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def depth_file(tmp_path_factory):
    """Face depth of the published size, untrained, in the published layout."""
    torch.manual_seed(0)
    network = build_face_depth(18)
    document = {
        "encoder": to_official_keys("dagan-depth-encoder-18", network.encoder.state_dict()),
        "depth": to_official_keys("dagan-depth-decoder-18", network.decoder.state_dict()),
    }
    path = tmp_path_factory.mktemp("depth") / "depth.pth.tar"
    torch.save(document, path)
    return path


@pytest.fixture
def two_processes():
    """``two_processes(cache, recipe, depth, folder)``: weights and gradients of both after a step, over gloo."""

    def together(*arguments):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        script = str(Path(__file__).with_name("two_ranks.py"))
        paths = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
        common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "CUDA_VISIBLE_DEVICES": ""}
        processes = [
            subprocess.Popen(
                [sys.executable, script, *map(str, arguments)],
                env={**os.environ, **common, "PYTHONPATH": paths, "RANK": str(rank), "OMP_NUM_THREADS": "1"},
            )
            for rank in range(2)
        ]
        assert [process.wait(timeout=180) for process in processes] == [0, 0]
        return [torch.load(arguments[-1] / f"rank{rank}.pt", weights_only=True) for rank in range(2)]

    return together
