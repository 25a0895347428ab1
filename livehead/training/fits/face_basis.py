"""Learns the linear basis of ``livehead.motion.face.face_basis`` from the meshes of a training cache.

Principal components of what is left of each mesh once its skull is carried to that of the mean face. A clip of T frames
weighs as much as sqrt(T) stills: its frames tell how a face moves, but of one person only.
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
from livehead.training.cache import ClipEntry, decode_landmarks, read_index

BASIS_ROWS = 112
_HALF_SIDE = 128  # pixels of a picture of 256 in the unit of points
_ALIGNMENT_ROUNDS = 3  # of fitting all faces to their mean; the third changes it by less than 1e-3


def read_meshes(folder: Path, entry: ClipEntry) -> Array:
    """The meshes [T, 478, 3] of one clip, without its pictures."""
    with np.load(folder / f"{entry.name}.npz") as stored:
        return decode_landmarks(stored["landmarks"])


def learn_face_basis(folder: Path, rows: int = BASIS_ROWS) -> FaceBasis:
    """From the training clips of the cache ``folder``. Raises: ConfigError when it is none, or too small."""
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
    """Of the clips' first frames; its middle is 0 and its size 1."""
    firsts = np.stack([clip[0] for clip in clips])
    mean = firsts[0]
    for _ in range(_ALIGNMENT_ROUNDS):
        mean = _align_to_mean(firsts, mean).mean(axis=0)
        mean = mean - mean.mean(axis=0)
        mean = (mean / np.sqrt((mean**2).sum(axis=1).mean())).astype(np.float32)
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
    """What sending the held-out faces does to them. Errors are distances in the picture's plane, in pixels at 256."""

    frames: int
    mean: float
    worst_clip: float  # mean of the clip that is worst
    worst_frame: float  # mean of the frame that is worst
    p95: float  # of points
    largest: float  # of points
    depth: float  # mean absolute error
    bytes_per_second: float  # at 30 packets a second


def measure_coding_errors(folder: Path) -> MotionCodingErrors:
    """Send the held-out clips of the cache ``folder`` by the bundled basis, and look at what arrives."""
    errors, depths, packets = [], [], []
    for entry in read_index(folder):
        if entry.split != "val":
            continue
        sent = [mesh_keypoints(mesh, 1.0, number * NS // 30) for number, mesh in enumerate(read_meshes(folder, entry))]
        writer = MotionPacketEncoder(sent[0], 30)
        reader = MotionPacketDecoder(writer.header.pack())
        packets += [writer.encode(each) for each in sent]
        got = [reader.decode(packet) for packet in packets[-len(sent) :]]
        errors.append(np.stack([_pixel_distances(a.value[0] - b.value[0]) for a, b in zip(sent, got, strict=True)]))
        depths.append(np.stack([np.abs(a.depth - b.depth) * _HALF_SIDE for a, b in zip(sent, got, strict=True)]))
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


def _pixel_distances(difference: Array) -> Array:
    return np.linalg.norm(difference, axis=1) * _HALF_SIDE
