#!/usr/bin/env python3
"""Animate portraits by clips of other persons with ``livehead animate``, and look for the face in every frame.

    scripts/check_pairs.py --data ../shared/data --out DIR [--model warp] [--pairs 20] [--splits val,test] [--absolute]

Portraits in profile are left out and named, since ``animate`` refuses them. Writes ``pairs.json`` and contact sheets of
the worst pairs to DIR. Exit status 1 when a pair fails or faces are lost.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

from livehead.evaluation.clips import count_frames, read_all_frames, read_frames
from livehead.evaluation.cross_identity import (
    CrossIdentityFigures,
    CrossIdentityPair,
    choose_pairs,
    evaluate_pair,
    is_profile,
)
from livehead.frames import Image
from livehead.perception.face_mesh import FaceMeshTracker
from livehead.perception.photo import read_photo
from livehead.perception.segmentation import SelfieSegmenter
from livehead.reporting.contact_sheet import SheetRow, save_sheet, spread_indices
from livehead.reporting.report import JsonReport, format_table, write_json

SPARE_PAIRS = 5  # pairs chosen beyond those asked for, in place of profiles
MIN_FOUND_SHARE = 0.99  # share of output frames in which the face must be found again
COLUMNS = ("frames", "found", "identity", "expression_akd", "pose_error", "background", "seconds")


def main() -> int:
    args = parse_arguments()
    args.out.mkdir(parents=True, exist_ok=True)
    settings = {"model": args.model, "pairs": args.pairs, "splits": args.splits, "relative": not args.absolute}
    report = JsonReport("animate", settings)
    rows: dict[str, dict[str, float]] = {}
    judged: list[tuple[CrossIdentityFigures, CrossIdentityPair]] = []
    failed: list[str] = []
    profiles: list[str] = []
    with FaceMeshTracker(static=True) as finder, SelfieSegmenter(refine=False) as segmentation:
        for pair in choose_pairs(args.data, args.splits.split(","), args.pairs + SPARE_PAIRS):
            if len(judged) + len(failed) == args.pairs:
                break
            if is_profile(read_photo(pair.portrait), finder):
                profiles.append(pair.portrait.stem)
                continue
            start = time.monotonic()
            if not run_animate(pair, output_path(args.out, pair), args):
                failed.append(pair.name)
                continue
            seconds = time.monotonic() - start
            driving, outputs = read_matching_frames(pair, output_path(args.out, pair), args.every)
            figures = evaluate_pair(read_photo(pair.portrait), driving, outputs, finder, segmentation)
            judged.append((figures, pair))
            rows[pair.name] = {**asdict(figures), "seconds": seconds}
            print(f"{pair.name}: found {figures.found:.3f}, identity {figures.identity:.2f}", flush=True)
    judged.sort(key=lambda one: one[0].worst_first_key, reverse=True)
    for rank, (_, pair) in enumerate(judged[: args.sheets]):
        draw_sheet(pair, output_path(args.out, pair), args.out / f"worst{rank + 1}.png")
    mean = (
        {name: float(np.nanmean([[row[name] or np.nan for row in rows.values()]])) for name in COLUMNS[1:]}
        if rows
        else {}
    )
    found = sum(f.found * f.frames for f, _ in judged) / max(sum(f.frames for f, _ in judged), 1)
    write_json(
        report.finish({"pairs": rows, "mean": mean, "found": found, "failed": failed, "profiles_left_out": profiles}),
        args.out / "pairs.json",
    )
    print(format_table({**rows, "mean": mean}, COLUMNS, "pair"))
    print(f"face found again in {found:.2%} of the frames looked at; {len(failed)} pairs failed {failed or ''}")
    print(f"left out as profiles: {', '.join(profiles) or 'none'}")
    return 0 if not failed and found >= MIN_FOUND_SHARE else 1


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with portraits, clips and PROVENANCE.tsv")
    parser.add_argument("--out", type=Path, required=True, help="folder for videos, sheets and figures")
    parser.add_argument("--model", default="auto")
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--splits", default="val,test")
    parser.add_argument("--every", type=int, default=1, help="look at every n-th output frame")
    parser.add_argument("--sheets", type=int, default=4, help="contact sheets of that many worst pairs")
    parser.add_argument("--absolute", action="store_true", help="absolute transfer instead of relative")
    return parser.parse_args()


def output_path(folder: Path, pair: CrossIdentityPair) -> Path:
    return folder / f"{pair.portrait.stem}--{pair.clip.stem}.mp4"


def run_animate(pair: CrossIdentityPair, out: Path, args: argparse.Namespace) -> bool:
    """Run the command as a stranger would; its own words are passed on when it fails."""
    command = [sys.executable, "-m", "livehead", "animate", "--avatar", str(pair.portrait), "--driving", str(pair.clip)]
    command += ["--out", str(out), "--model", args.model, "--absolute" if args.absolute else "--relative"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        print(f"{pair.name}: exit status {done.returncode}\n{done.stderr[-2000:]}", file=sys.stderr)
    return done.returncode == 0


def read_matching_frames(pair: CrossIdentityPair, out: Path, every: int) -> tuple[list[Image], list[Image]]:
    """Driving frames and the output frames that answer them, every n-th."""
    outputs = read_all_frames(out, every=every)
    driving = read_frames(pair.clip, range(0, count_frames(pair.clip), every), 256)
    both = min(len(outputs), len(driving))
    return list(driving.values())[:both], outputs[:both]


def draw_sheet(pair: CrossIdentityPair, out: Path, path: Path) -> None:
    driving, outputs = read_matching_frames(pair, out, 1)
    chosen = spread_indices(8, len(outputs))
    rows = [
        SheetRow("portrait", [read_photo(pair.portrait)]),
        SheetRow("driving", [driving[i] for i in chosen], [f"frame {i}" for i in chosen]),
        SheetRow("output", [outputs[i] for i in chosen]),
    ]
    save_sheet(rows, path, cell=256, title=pair.name)


if __name__ == "__main__":
    sys.exit(main())
