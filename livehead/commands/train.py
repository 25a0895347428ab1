"""``livehead train``: the bundled models, on clips of one's own."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("subject", choices=("compact",), help="which model")
    add("--data", type=Path, required=True, metavar="DIR", help="the cache that scripts/prepare_clips.py made")
    add("--config", type=Path, default=Path("configs/train/compact.toml"), metavar="FILE", help="the recipe")
    add("--out", type=Path, default=Path("runs/compact"), metavar="DIR", help="checkpoints, log, curves, sample sheets")
    add("--resume", action="store_true", help="go on with the run in --out")
    add("--init", type=Path, metavar="FILE", help="start from these weights (safetensors)")


def main(args: argparse.Namespace) -> int:
    """Train until the recipe's end; SIGTERM and Ctrl-C leave a checkpoint to go on from."""
    from livehead.training.compact import run

    run(args.data, args.config, args.out, resume=args.resume, init=args.init)
    return 0
