#!/usr/bin/env python3
"""What livehead says of the photos of a folder: how many get which hint, show several faces, or are refused.

    scripts/photo_hints.py PHOTOS [PHOTOS ...] [--names]

Run it on photos that you know to be good: each hint at a mask or at dark glasses is then a false alarm.
"""

import argparse
import sys
from collections import defaultdict
from pathlib import Path

from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from livehead.errors import SourceError
from livehead.perception.avatar_photo import read_avatar_photo
from livehead.perception.portrait import prepare_portrait


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, nargs="+", help="folders of photos, animations and videos, or files")
    parser.add_argument("--names", action="store_true", help="name the files behind each number")
    args = parser.parse_args()
    given = [path for each in args.photos for path in (sorted(each.iterdir()) if each.is_dir() else [each])]
    files = [path for path in given if path.is_file()]
    found: dict[str, list[str]] = defaultdict(list)
    for path in tqdm(files, unit="photo", disable=None):
        for sentence in say(path):
            found[sentence].append(path.name)
    print(f"{len(files):5d}  files")
    for sentence, names in sorted(found.items(), key=lambda item: -len(item[1])):
        print(f"{len(names):5d}  {sentence}" + (f"  [{', '.join(names)}]" if args.names else ""))
    return 0


def say(path: Path) -> list[str]:
    """Every sentence about one file, without its name and numbers, so that equal ones are counted together."""
    try:
        portrait = prepare_portrait(read_avatar_photo(path).image, path.name)
    except SourceError as error:
        return [f"refused: {error.problem.replace(str(path), 'it').replace(path.name, 'it').split(' (')[0]}"]
    several = ["several faces"] if portrait.face_note else []
    return several + ["small face" if "pixels high" in hint else hint.split(";")[0] for hint in portrait.hints]


if __name__ == "__main__":
    sys.exit(main())
