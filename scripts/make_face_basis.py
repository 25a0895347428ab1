#!/usr/bin/env python
"""Learn the basis by which face meshes are sent, from a training cache (``scripts/prepare_clips.py``), or measure it.

    scripts/make_face_basis.py --cache CACHE --out livehead/assets/face_basis.npz
    scripts/make_face_basis.py --cache CACHE --check

Senders and receivers have to have the same basis, so another one makes another version of docs/motion-format.md.
``--check`` sends the held-out clips by the bundled basis and prints what is lost.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np

from livehead.errors import LiveheadError
from livehead.training.fits.face_basis import BASIS_ROWS, learn_face_basis, measure_coding_errors


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, required=True, help="folder of scripts/prepare_clips.py")
    parser.add_argument("--rows", type=int, default=BASIS_ROWS)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--out", type=Path, help="file to write")
    what.add_argument("--check", action="store_true", help="measure the bundled basis instead")
    given = parser.parse_args()
    try:
        if given.check:
            print(
                "\n".join(f"{name} {value:.4g}" for name, value in asdict(measure_coding_errors(given.cache)).items())
            )
            return 0
        basis = learn_face_basis(given.cache, given.rows)
    except LiveheadError as error:
        print(error, file=sys.stderr)
        return 2
    np.savez_compressed(given.out, mean=basis.mean, rows=basis.rows, scale=basis.scale)
    print(f"{given.out}: {basis.size} rows, number {basis.checksum:08x}, {given.out.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
