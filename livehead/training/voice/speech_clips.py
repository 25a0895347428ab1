"""Clips of people who speak, as the voice model is trained on them: their sound and the motion of the face.

The motion is normalised by person: displacements in the frame of the mean face, from that person's own closed mouth,
and with the same spread of the mouth's opening for everybody (within limits).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from livehead.errors import CaptureError, ConfigError, NoFaceError
from livehead.models.voice.network import STEP_S
from livehead.motion.face.head import fit_head_motion
from livehead.motion.face.lips import LipDeformer, lip_gaps
from livehead.motion.face.mean_face import load_mean_face
from livehead.motion.face.mesh import FACE_MESH
from livehead.motion.face.speech_basis import speech_weights
from livehead.motion.keypoints import Array
from livehead.perception.talking_clip import TalkingClip, read_talking_clip
from livehead.storage import replace_file
from livehead.untrusted_files import DamagedFileError, parse_arrays, read_untrusted, set_aside

_log = logging.getLogger(__name__)

_CLOSED_ONE_IN = 8  # the mouth counts as closed in one of so many frames, those with the smallest gap of the lips
_LIP_WEIGHT, _INNER_LIP_WEIGHT = 2.0, 3.0  # of the points when the basis is built
_REFERENCE_SPREAD = 0.025  # standard deviation of a speaking mouth's opening, over the face's height
_SCALE_LIMITS = (0.5, 2.0)  # of the factor that brings a clip to the reference spread
_MAX_BASIS_FRAMES = 6000
_MAX_CACHE_BYTES = 1 << 31  # of one tracked clip; a minute has about twenty megabytes


@dataclass(frozen=True, eq=False)
class SpeechClip:
    """The face's ``displacements`` [T, 478, 3] at ``times`` [T] in seconds, and the ``sound`` [N] from time 0 on."""

    name: str
    person: str
    times: Array
    displacements: Array
    sound: Array

    def delay_video(self, seconds: float) -> SpeechClip:
        """The same clip with its pictures so many seconds later against its sound."""
        return replace(self, times=self.times + np.float32(seconds))


def speaker_of(name: str) -> str:
    """The person who speaks in the clip ``name``: the name without the number at its end."""
    return re.sub(r"[_-]\d+$", "", name)


def read_clips(folder: Path, names: Sequence[str], cache: Path) -> list[SpeechClip]:
    """Read the clips ``names`` of ``folder``; those without sound or a face are left out.

    Faces are tracked once and kept in the folder ``cache``.

    Raises: ConfigError when no clip is left, or one is missing.
    """
    cache.mkdir(parents=True, exist_ok=True)
    clips = []
    for name in tqdm(names, desc="tracking faces", unit="clip", disable=None):
        path = folder / name
        if not path.is_file():
            raise ConfigError(f"there is no clip {path}", "give --data the folder of the listed clips", subject=name)
        talk = _read_or_track(path, cache / f"{path.stem}.npz")
        if talk is not None:
            clips.append(_make_speech_clip(talk))
    if not clips:
        raise ConfigError(f"no clip of {folder} has both a face and sound", "give clips of people who speak")
    return clips


def _read_or_track(path: Path, cache_file: Path) -> TalkingClip | None:
    """The clip as it was tracked before, or is tracked now; None for a useless one, which an empty file remembers."""
    if cache_file.is_file() and cache_file.stat().st_mtime >= path.stat().st_mtime:
        if not cache_file.stat().st_size:
            return None
        try:
            return read_untrusted(cache_file, partial(_parse_clip, path.stem), max_bytes=_MAX_CACHE_BYTES)
        except (OSError, DamagedFileError) as error:
            set_aside(cache_file)
            _log.warning("%s cannot be used and is made again (%s)", cache_file, error)
    try:
        talk = read_talking_clip(path)
    except (CaptureError, NoFaceError):
        cache_file.touch()
        return None
    with replace_file(cache_file, suffix=".npz") as unfinished:
        np.savez(unfinished, times=talk.times, meshes=talk.meshes, seen=talk.face_seen, sound=talk.sound)
    return talk


def _parse_clip(name: str, content: bytes) -> TalkingClip:
    stored = parse_arrays(content, max_bytes=_MAX_CACHE_BYTES)
    return TalkingClip(name, stored["times"], stored["meshes"], stored["seen"], stored["sound"])


def _make_speech_clip(talk: TalkingClip) -> SpeechClip:
    moves = normalized_displacements(talk.meshes)
    return SpeechClip(talk.name, speaker_of(talk.name), talk.times.astype(np.float32), moves, talk.sound)


def normalized_displacements(meshes: Array) -> Array:
    """The normalised displacements [T, 478, 3] of the points that speech moves, of one person's ``meshes``."""
    mean = load_mean_face()
    shapes = np.stack([fit_head_motion(mean, mesh).inverse().apply(mesh) for mesh in meshes])
    opened = np.array([lip_gaps(shape).mean() for shape in shapes])
    calm = np.argsort(opened)[: max(3, len(opened) // _CLOSED_ONE_IN)]
    closed = LipDeformer(shapes[calm].mean(axis=0)).closed
    moves = (shapes - closed) * speech_weights()[:, None]
    height = float(np.linalg.norm(mean[FACE_MESH.chin] - mean[FACE_MESH.forehead]))
    factor = np.clip(_REFERENCE_SPREAD * height / max(float(opened.std()), 1e-6), *_SCALE_LIMITS)
    return np.asarray(moves * factor, np.float32)


def mouth_opening(moves: Array) -> Array:
    """The mean distance [...] of the inner lips in displacements [..., 478, 3]; negative where they cross."""
    gaps = moves[..., FACE_MESH.mouth.lower[1:-1], 1] - moves[..., FACE_MESH.mouth.upper[1:-1], 1]
    return np.asarray(gaps.mean(axis=-1), np.float32)


def build_motion_basis(clips: Sequence[SpeechClip], outputs: int) -> Array:
    """The basis [outputs, 478, 3]: the motion that goes with an opening of 1, then principal directions of the rest."""
    moves = np.concatenate([clip.displacements for clip in clips])
    moves = moves[np.random.default_rng(0).permutation(len(moves))[:_MAX_BASIS_FRAMES]]
    opened = mouth_opening(moves)
    first = np.tensordot(opened, moves, axes=1) / float(opened @ opened)
    weights = _point_weights()
    rest = (moves - opened[:, None, None] * first) * weights[:, None]
    _, _, directions = np.linalg.svd(rest.reshape(len(rest), -1), full_matrices=False)
    others = directions[: outputs - 1].reshape(-1, 478, 3) / weights[:, None]
    return np.asarray(np.concatenate([first[None], others]), np.float32)


def project_onto_basis(moves: Array, basis: Array) -> Array:
    """The coefficients [T, K] of displacements ``moves`` [T, 478, 3] in ``basis`` [K, 478, 3]."""
    opened = mouth_opening(moves)
    weights = np.square(_point_weights())[:, None]
    rest = (moves - opened[:, None, None] * basis[0]) * weights
    others = rest.reshape(len(moves), -1) @ basis[1:].reshape(len(basis) - 1, -1).T
    return np.asarray(np.concatenate([opened[:, None], others], axis=1), np.float32)


def _point_weights() -> Array:
    weights = np.ones(478, np.float32)
    weights[FACE_MESH.mouth.lips] = _LIP_WEIGHT
    weights[FACE_MESH.mouth.inner] = _INNER_LIP_WEIGHT
    return weights


def resample_to_steps(clip: SpeechClip, values: Array) -> Array:
    """The ``values`` [T, K] of a clip's pictures at every ``STEP_S`` seconds from its sound's beginning: [N, K]."""
    count = int(min(clip.times[-1], len(clip.sound) / 16_000) / STEP_S) + 1
    steps = np.arange(count) * STEP_S
    return np.stack([np.interp(steps, clip.times, column) for column in values.T], axis=1).astype(np.float32)
