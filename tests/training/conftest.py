"""A tiny training cache, drawn: shapes that move with a face mesh, so that no clip of a person is needed."""

import cv2
import numpy as np
import pytest

from livehead.models.dagan.surface import mean_face
from livehead.training.cache import ClipEntry, encode_landmarks, write_index

SIDE = 64


def drawn_clip(rng, frames):
    mesh = np.repeat(mean_face()[0][None] * 0.5, frames, axis=0)
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
