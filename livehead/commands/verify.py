"""``livehead verify``: whether a video says that it shows an avatar, and whether it is as it was signed."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from livehead.errors import LiveheadError
from livehead.reporting.report import write_json
from livehead.sinks.provenance import ManifestSigner


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("films", type=Path, nargs="+", metavar="FILE", help="MP4 files to check")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the findings as JSON")


def main(args: argparse.Namespace) -> int:
    """Gives 0 when all videos are unchanged, 1 when one is not or says nothing. Raises: ConfigError."""
    signer, found, whole = ManifestSigner(), {}, True
    for film in args.films:
        try:
            provenance = signer.verify(film)
        except LiveheadError as error:
            if not film.is_file() or len(args.films) == 1:
                raise
            print(error)
            whole = False
            continue
        found[str(film)] = asdict(provenance)
        whole &= provenance.intact
        state = "unchanged" if provenance.intact else f"CHANGED ({provenance.why})"
        by = "this installation" if provenance.own else f"signer {provenance.signer}"
        drawn = f"{provenance.tool}, {provenance.model or 'model not told'}, {provenance.when}"
        print(f"{film}: {state}; an avatar by {drawn}, {by}")
    if args.json:
        write_json({"films": found}, args.json)
    return 0 if whole else 1
