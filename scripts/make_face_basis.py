#!/usr/bin/env python
"""Learn the basis by which face meshes are sent, from a training cache (``scripts/prepare_clips.py``), and measure it.

    scripts/make_face_basis.py --cache CACHE --out livehead/assets/face_basis.npz

Prints the error on the held-out clips. Senders and receivers have to have the same basis: making it anew is a new
version of the wire format for meshes.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from livehead.errors import LiveheadError
from livehead.training.face_basis import ROWS, learn_face_basis


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=ROWS)
    given = parser.parse_args()
    try:
        basis = learn_face_basis(given.cache, given.rows)
    except LiveheadError as error:
        print(error, file=sys.stderr)
        return 2
    np.savez_compressed(given.out, mean=basis.mean, rows=basis.rows, scale=basis.scale)
    print(f"{given.out}: {basis.size} rows, number {basis.number:08x}, {given.out.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
