"""``livehead train``: the bundled model and the published ones, on clips of one's own."""

from __future__ import annotations

import argparse
from pathlib import Path

from livehead.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    data = "a cache that scripts/prepare_clips.py made; but for compact also videos, or VoxCeleb's folders of frames"
    depth = "dagan: face depth, of a depth run or as published; the imported one if absent"
    add("subject", choices=("compact", "depth", "dagan"), help="which model")
    add("--data", type=Path, required=True, metavar="DIR", help=data)
    add("--config", type=Path, metavar="FILE", help="the recipe; configs/train/SUBJECT.toml if absent")
    add("--out", type=Path, metavar="DIR", help="checkpoints, log, curves, sample sheets; runs/SUBJECT if absent")
    add("--resume", action="store_true", help="go on with the run in --out")
    add("--init", type=Path, metavar="FILE", help="start from these weights (safetensors; or a run's latest.pth.tar)")
    add("--vgg", type=Path, metavar="FILE", help="dagan: torchvision's VGG-19, to judge likeness by")
    add("--depth", type=Path, nargs="+", default=[], metavar="FILE", help=depth)


def main(args: argparse.Namespace) -> int:
    """Train until the recipe's end; SIGTERM and Ctrl-C leave a checkpoint to go on from.

    Raises: ConfigError, WeightsError.
    """
    config = args.config or Path(f"configs/train/{args.subject}.toml")
    out = args.out or Path(f"runs/{args.subject}")
    if args.subject != "dagan" and (args.vgg or args.depth):
        raise ConfigError(f"{args.subject} takes neither --vgg nor --depth", "leave them out, or train dagan")
    if args.subject == "compact":
        from livehead.training import compact

        compact.run(args.data, config, out, resume=args.resume, init=args.init)
    elif args.subject == "depth":
        from livehead.training import depth

        depth.run(args.data, config, out, resume=args.resume, init=args.init)
    else:
        from livehead.training import dagan

        dagan.run(args.data, config, out, resume=args.resume, init=args.init, vgg=args.vgg, depth=args.depth)
    return 0
