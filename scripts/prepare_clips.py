#!/usr/bin/env python
"""Turn folders of head videos (and portraits) into a compact training cache, see ``livehead/training/cache.py``.

    scripts/prepare_clips.py --clips DIR --list train.txt --val-list val.txt --portraits DIR --out CACHE

Videos are taken as they are when square, else cut about the face of the first frame in which one is found. Frames
without a face are left out.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from livehead.errors import LiveheadError
from livehead.training.cache import write_index
from livehead.training.cache_builder import CacheSettings, cache_media_file


def list_files(folder: Path, names: Path | None) -> list[Path]:
    """The files of ``folder`` that ``names`` lists one a line, or all of them."""
    if names is None:
        return sorted(path for path in folder.iterdir() if path.is_file())
    return [folder / line.strip() for line in names.read_text(encoding="utf-8").splitlines() if line.strip()]


def parse_arguments() -> argparse.Namespace:
    default = CacheSettings()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=Path, required=True, help="folder of videos")
    parser.add_argument("--list", type=Path, help="names of the training clips in it, one a line (default: all)")
    parser.add_argument("--val-list", type=Path, help="names of the held-out clips in it")
    parser.add_argument("--portraits", type=Path, help="folder of photos, used as static training samples")
    parser.add_argument("--portrait-list", type=Path, help="names of the training photos in it (default: all)")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--side", type=int, default=default.side)
    parser.add_argument("--stride", type=int, default=default.stride, help="take every n-th frame")
    parser.add_argument("--crf", type=int, default=default.crf, help="H.264 quality, lower is better and bigger")
    parser.add_argument("--minimum", type=int, default=default.min_frames, help="fewest frames with a face in a clip")
    return parser.parse_args()


def main() -> int:
    given = parse_arguments()
    settings = CacheSettings(given.side, given.stride, given.crf, given.minimum)
    given.out.mkdir(parents=True, exist_ok=True)
    held_out = list_files(given.clips, given.val_list) if given.val_list else []
    training = [path for path in list_files(given.clips, given.list) if path not in held_out]
    training += list_files(given.portraits, given.portrait_list) if given.portraits else []
    work = [(path, "train") for path in training] + [(path, "val") for path in held_out]
    try:
        found = [cache_media_file(path, split, given.out, settings) for path, split in tqdm(work)]
    except LiveheadError as error:
        print(error, file=sys.stderr)
        return 2
    entries = [entry for entry in found if entry is not None]
    write_index(given.out, given.side, entries)
    for split in ("train", "val"):
        chosen = [entry for entry in entries if entry.split == split]
        size = sum((given.out / f"{e.name}.{kind}").stat().st_size for e in chosen for kind in ("mp4", "npz"))
        print(f"{split}: {len(chosen)} clips, {sum(e.frames for e in chosen)} frames, {size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
