"""Clips of people who talk: the face mesh and the time of every picture, and the sound."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from livehead.errors import CaptureError, NoFaceError
from livehead.frames import Samples
from livehead.motion.keypoints import Array
from livehead.perception.audio_blocks import read_audio_blocks
from livehead.perception.av_files import decode_frames, open_media
from livehead.perception.face_mesh import FaceMeshTracker

RATE = 16_000
"""Sample rate of the sound in Hz."""


@dataclass(frozen=True, slots=True, eq=False)
class TalkingClip:
    """A clip: the ``times`` [T] s of its pictures, counted from the first one, and the ``meshes`` [T, 478, 3] in them.

    Where no face was seen (``face_seen`` [T]), the mesh repeats the one before. ``sound`` is float32 [N], mono at
    ``RATE``, with sample 0 at time 0.
    """

    name: str
    times: npt.NDArray[np.float64]
    meshes: Array
    face_seen: npt.NDArray[np.bool_]
    sound: Samples


def read_talking_clip(path: Path) -> TalkingClip:
    """Decode a clip and track its face. Raises: CaptureError without picture or sound, NoFaceError without a face."""
    sound = np.concatenate(list(read_audio_blocks(path, RATE)), axis=1)[0]
    times, meshes, face_seen = track_meshes(path)
    return TalkingClip(path.stem, times, meshes, face_seen, sound)


def track_meshes(path: Path) -> tuple[npt.NDArray[np.float64], Array, npt.NDArray[np.bool_]]:
    """``times``, ``meshes`` and ``face_seen`` of a clip, as in ``TalkingClip``. Raises: CaptureError, NoFaceError."""
    times: list[float] = []
    found: list[Array | None] = []
    with FaceMeshTracker() as mesh, open_media(path) as container:
        if not container.streams.video:
            raise CaptureError(f"{path} has no video stream", "give a clip with a picture", subject=str(path))
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        step = 1.0 / float(stream.average_rate or 25)
        for frame in decode_frames(container, stream):
            if frame is not None:
                faces = mesh.detect(_to_rgb(frame))
                times.append(frame.time if frame.time is not None else (times[-1] + step if times else 0.0))
                found.append(faces[0].points3d()[0] if faces else None)
    face_seen = np.array([each is not None for each in found], bool)
    if not face_seen.any():
        raise NoFaceError(f"no face in {path}", "leave the clip out of the list", subject=str(path))
    last = next(each for each in found if each is not None)
    meshes = []
    for each in found:
        last = last if each is None else each
        meshes.append(last)
    return np.array(times) - times[0], np.stack(meshes).astype(np.float32), face_seen


def _to_rgb(frame: Any) -> npt.NDArray[np.uint8]:
    return np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
