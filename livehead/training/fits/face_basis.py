"""Learns the linear basis of ``livehead.motion.face.face_basis`` from the meshes of a training cache.

The rows are principal components of the difference between each mesh, once its skull is aligned to the mean face's, and
that mean face. A clip of T frames weighs as much as sqrt(T) stills: its frames show how a face moves, but only one
person's.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from livehead.clock import NS
from livehead.errors import ConfigError
from livehead.motion.face.face_basis import FaceBasis
from livehead.motion.face.head import fit_head_motion
from livehead.motion.keypoints import Array, mesh_keypoints
from livehead.protocol.motion_packets import MotionPacketDecoder, MotionPacketEncoder
from livehead.training.cache import ClipEntry, read_index, read_tracks

BASIS_ROWS = 112
_HALF_SIDE = 128  # pixels of a picture of 256 in one unit of points
_ALIGNMENT_ROUNDS = 3  # of fitting all faces to their mean; the third changes it by less than 1e-3


def read_meshes(folder: Path, entry: ClipEntry) -> Array:
    """Read the meshes [T, 478, 3] of one clip, without its pictures."""
    landmarks, _ = read_tracks(folder, entry)
    return landmarks


def learn_face_basis(folder: Path, rows: int = BASIS_ROWS) -> FaceBasis:
    """Learn a basis of so many ``rows`` from the training clips of the cache ``folder``.

    Raises: ConfigError when the folder is no cache, or too small.
    """
    clips = [read_meshes(folder, entry) for entry in read_index(folder) if entry.split == "train"]
    if sum(map(len, clips)) < rows:
        raise ConfigError(f"{folder} has too few faces for a basis of {rows} rows", "prepare more clips")
    mean = _mean_face(clips)
    left = [_align_to_mean(clip, mean) - mean for clip in clips]
    weighted = [part.reshape(len(part), -1).astype(np.float64) / len(part) ** 0.25 for part in left]
    covariance = sum((part.T @ part for part in weighted), np.zeros((mean.size, mean.size)))
    _, components = np.linalg.eigh(covariance)
    return _quantize_basis(mean, components[:, ::-1][:, :rows].T)


def _mean_face(clips: list[Array]) -> Array:
    """The mean face [478, 3] of the clips' first frames; its middle is 0 and its size 1."""
    firsts = np.stack([clip[0] for clip in clips])
    mean: Array = firsts[0]
    for _ in range(_ALIGNMENT_ROUNDS):
        mean = _align_to_mean(firsts, mean).mean(axis=0)
        mean = mean - mean.mean(axis=0)
        mean = np.asarray(mean / np.sqrt((mean**2).sum(axis=1).mean()), np.float32)
    return mean


def _align_to_mean(meshes: Array, mean: Array) -> Array:
    return np.stack([fit_head_motion(mesh, mean).apply(mesh) for mesh in meshes])


def _quantize_basis(mean: Array, components: npt.NDArray[np.float64]) -> FaceBasis:
    """``components`` [K, 1434] as bytes; the largest number of each row becomes positive, so that signs are fixed."""
    largest = components[np.arange(len(components)), np.abs(components).argmax(axis=1)]
    scale = largest / 127
    return FaceBasis(mean, np.rint(components / scale[:, None]).astype(np.int8), np.abs(scale).astype(np.float32))


@dataclass(frozen=True, slots=True)
class MotionCodingErrors:
    """The errors of faces that were sent as motion packets: distances in the picture's plane, in pixels at 256."""

    frames: int
    mean: float
    worst_clip: float  # mean of the worst clip
    worst_frame: float  # mean of the worst frame
    p95: float  # of points
    largest: float  # of points
    depth: float  # mean absolute error
    bytes_per_second: float  # at 30 packets a second


def measure_coding_errors(folder: Path) -> MotionCodingErrors:
    """Encode and decode the held-out clips of the cache ``folder`` by the bundled basis, and compare.

    Raises: ConfigError when the folder is no cache, or has no held-out clips.
    """
    errors, depths, packets = [], [], []
    for entry in read_index(folder):
        if entry.split != "val":
            continue
        sent = [mesh_keypoints(mesh, 1.0, number * NS // 30) for number, mesh in enumerate(read_meshes(folder, entry))]
        encoder = MotionPacketEncoder(sent[0], 30)
        decoder = MotionPacketDecoder(encoder.header.pack())
        encoded = [encoder.encode(each) for each in sent]
        packets += encoded
        decoded = [each for each in map(decoder.decode, encoded) if each is not None]
        before = np.stack([each.points3d()[0] for each in sent])
        after = np.stack([each.points3d()[0] for each in decoded])
        errors.append(np.linalg.norm(before[..., :2] - after[..., :2], axis=-1) * _HALF_SIDE)
        depths.append(np.abs(before[..., 2] - after[..., 2]) * _HALF_SIDE)
    if not errors:
        raise ConfigError(f"{folder} has no held-out clips", "prepare them with --val-list")
    points = np.concatenate(errors)
    return MotionCodingErrors(
        frames=len(points),
        mean=float(points.mean()),
        worst_clip=max(float(clip.mean()) for clip in errors),
        worst_frame=float(points.mean(axis=1).max()),
        p95=float(np.percentile(points, 95)),
        largest=float(points.max()),
        depth=float(np.mean(np.concatenate(depths))),
        bytes_per_second=30 * sum(map(len, packets)) / len(packets),
    )
