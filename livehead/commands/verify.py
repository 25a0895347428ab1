"""``livehead verify``: whether a video says that it shows an avatar, and whether it is as it was signed."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from livehead.assembly.input_checks import check_input_file, check_output_file
from livehead.errors import LiveheadError
from livehead.reporting.report import write_json
from livehead.sinks.provenance import ManifestSigner


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("videos", type=Path, nargs="+", metavar="FILE", help="MP4 files to check")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the findings as JSON")


def main(args: argparse.Namespace) -> int:
    """Gives 0 when all videos are unchanged, 1 when one is not or says nothing. Raises: ConfigError."""
    for video in args.videos:
        check_input_file(video)
    if args.json:
        check_output_file(args.json, inputs=args.videos)
    signer, found, whole = ManifestSigner(), {}, True
    for video in args.videos:
        try:
            provenance = signer.verify(video)
        except LiveheadError as error:
            if len(args.videos) == 1:
                raise
            print(error)
            whole = False
            continue
        found[str(video)] = asdict(provenance)
        whole &= provenance.intact
        state = "unchanged" if provenance.intact else f"CHANGED ({provenance.why})"
        by = "this installation" if provenance.own else f"signer {provenance.signer}"
        drawn = f"{provenance.tool}, {provenance.model or 'model not told'}, {provenance.when}"
        print(f"{video}: {state}; an avatar by {drawn}, {by}")
    if args.json:
        write_json({"films": found}, args.json)
    return 0 if whole else 1
