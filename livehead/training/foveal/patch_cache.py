"""The training cache of the foveal network: patches of clips as they are and as a renderer draws them.

    index.json          format, clips: name, split, frames
    NAME.npz            for each part of ``FOVEAL_PARTS``: ``PART.truth`` uint8 [T, H, W, 3], ``PART.drawn`` the same
                        from each of ``SOURCES`` photos [N, T, H, W, 3], and ``PART.curves``, ``PART.corners``,
                        ``PART.pupil``, ``PART.state``
    ``sources``         [N] the frames that were the photos

It is made from the cache of ``livehead.training.cache`` by ``scripts/prepare_foveal.py``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from livehead.errors import ConfigError
from livehead.frames import Image
from livehead.models.foveal.patch_frame import FOVEAL_PARTS, FovealPart, PatchFrame, cut_patch, measure_patch_frame
from livehead.motion.keypoints import Array
from livehead.storage import replace_file, write_atomically
from livehead.training.cache import CachedClip

PATCH_FORMAT = 1
SOURCES = 2
"""Photos from which each clip is drawn: its first frame, and the one whose mouth is the most open or the most shut."""

SHAPE_FIELDS = ("curves", "corners", "pupil", "state")

DrawClip = Callable[[CachedClip, int], list[Image]]
"""Draws all frames of a clip from its frame of that number: uint8 [S, S, 3] each."""


@dataclass(frozen=True)
class PatchEntry:
    """One clip of the index; ``split`` is ``train`` or ``val``."""

    name: str
    split: str
    frames: int


def cache_clip_patches(clip: CachedClip, draw: DrawClip, out: Path) -> PatchEntry:
    """Write the patches of ``clip`` into the folder ``out``."""
    frames = {part: [measure_patch_frame(mesh, part) for mesh in clip.landmarks] for part in FOVEAL_PARTS}
    sources = choose_sources(frames[FOVEAL_PARTS[0]])
    drawn = [draw(clip, source) for source in sources]
    arrays: dict[str, Array] = {"sources": np.array(sources)}
    for part, places in frames.items():
        arrays |= _part_arrays(part, places, list(clip.frames), drawn)
    with replace_file(out / f"{clip.entry.name}.npz") as partial, partial.open("wb") as file:
        np.savez(file, **arrays)
    return PatchEntry(clip.entry.name, clip.entry.split, len(clip.frames))


def choose_sources(mouths: list[PatchFrame]) -> list[int]:
    """The first frame, and the one whose mouth is the farthest from it."""
    openings = np.array([frame.state[0] for frame in mouths])
    return [0, int(np.abs(openings - openings[0]).argmax())]


def _part_arrays(
    part: FovealPart, places: list[PatchFrame], truth: list[Image], drawn: list[list[Image]]
) -> dict[str, Array]:
    def cut(pictures: list[Image]) -> Array:
        return np.stack([cut_patch(picture, place, part) for picture, place in zip(pictures, places, strict=True)])

    arrays = {f"{part.name}.truth": cut(truth), f"{part.name}.drawn": np.stack([cut(each) for each in drawn])}
    for field in SHAPE_FIELDS:
        arrays[f"{part.name}.{field}"] = np.stack([getattr(place, field) for place in places])
    return arrays


def write_patch_index(folder: Path, entries: list[PatchEntry]) -> None:
    """Write ``index.json`` last: a cache without it is unfinished."""
    document = {"format": PATCH_FORMAT, "clips": [asdict(entry) for entry in entries]}
    write_atomically(folder / "index.json", json.dumps(document, indent=1))


def read_patch_index(folder: Path) -> list[PatchEntry]:
    """The clips of a cache. Raises: ConfigError when ``folder`` is not a finished cache of this format."""
    path = folder / "index.json"
    document = json.loads(path.read_text()) if path.is_file() else {}
    if document.get("format") != PATCH_FORMAT:
        raise ConfigError(f"{folder} is not a cache of patches", "make one with scripts/prepare_foveal.py")
    return [PatchEntry(**entry) for entry in document["clips"]]
