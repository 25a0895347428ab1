#!/usr/bin/env python
"""Turn a training cache of clips into one of patches about mouth and eyes.

The format is told in ``livehead/training/foveal/patch_cache.py``.

    scripts/prepare_foveal.py --data CACHE --out PATCHES

Each clip is drawn from two of its frames by the bundled model ``compact``, as a user's photo would be.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tqdm import tqdm

from livehead.frames import Image
from livehead.motion.keypoints import mesh_keypoints
from livehead.perception.pixel_square import PixelSquare
from livehead.perception.portrait import Portrait
from livehead.renderers.compact import CompactRenderer
from livehead.training.cache import CachedClip, read_clip, read_index
from livehead.training.foveal.patch_cache import PatchEntry, cache_clip_patches, write_patch_index


def draw_clip(renderer: CompactRenderer, clip: CachedClip, source: int) -> list[Image]:
    """All frames of ``clip`` as ``renderer`` draws them from the frame ``source``."""
    photo, side = clip.frames[source], clip.frames.shape[1]
    motion = mesh_keypoints(clip.landmarks[source], 1.0, 0)
    portrait = Portrait(clip.entry.name, photo, PixelSquare(0, 0, side), photo, motion, (), clip.entry.name)
    avatar = renderer.prepare(portrait)
    return [renderer.render(avatar, mesh_keypoints(mesh, 1.0, 0), side) for mesh in clip.landmarks]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the cache that scripts/prepare_clips.py made")
    parser.add_argument("--out", type=Path, required=True, help="the folder of the patches")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    clips = [entry for entry in read_index(given.data) if not entry.still]
    renderer = CompactRenderer(full_size=256, threads=1)
    entries: list[PatchEntry] = []
    for entry in tqdm(clips):
        clip = read_clip(given.data, entry)
        entries.append(cache_clip_patches(clip, lambda clip, source: draw_clip(renderer, clip, source), given.out))
    write_patch_index(given.out, entries)


if __name__ == "__main__":
    main()
