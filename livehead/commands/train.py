"""``livehead train``: the bundled model and the published ones, on clips of one's own."""

from __future__ import annotations

import argparse
from pathlib import Path

from livehead.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    data = "a cache that scripts/prepare_clips.py made; but for compact also videos, or VoxCeleb's folders of frames; "
    data += "for voice videos of people who speak"
    depth_trainer = "dagan: face depth, of a depth run or as published; the imported one if absent"
    add("subject", choices=("compact", "depth", "dagan", "voice"), help="which model")
    add("--data", type=Path, required=True, metavar="DIR", help=data)
    add("--config", type=Path, metavar="FILE", help="the recipe; configs/train/SUBJECT.toml if absent")
    add("--out", type=Path, metavar="DIR", help="checkpoints, log, curves, sample sheets; runs/SUBJECT if absent")
    add("--resume", action="store_true", help="go on with the run in --out")
    add("--init", type=Path, metavar="FILE", help="start from these weights (safetensors; or a run's latest.pth.tar)")
    add("--list", type=Path, metavar="FILE", help="voice: names of the training clips, one a line; all if absent")
    add("--val-list", type=Path, metavar="FILE", help="voice: names of the held-out clips")
    add("--vgg", type=Path, metavar="FILE", help="dagan: torchvision's VGG-19, to judge likeness by")
    add("--depth", type=Path, nargs="+", default=[], metavar="FILE", help=depth_trainer)


def main(args: argparse.Namespace) -> int:
    """Train until the recipe's end; SIGTERM and Ctrl-C leave a checkpoint to go on from.

    Raises: ConfigError, WeightsError.
    """
    config = args.config or Path(f"configs/train/{args.subject}.toml")
    out = args.out or Path(f"runs/{args.subject}")
    if args.subject != "dagan" and (args.vgg or args.depth):
        raise ConfigError(f"{args.subject} takes neither --vgg nor --depth", "leave them out, or train dagan")
    if args.subject != "voice" and (args.list or args.val_list):
        raise ConfigError(f"{args.subject} takes no --list: a cache has one", "see scripts/prepare_clips.py")
    if args.subject == "voice":
        from livehead.training.voice import trainer as voice

        if args.init:
            raise ConfigError("voice takes no --init: it is trained in minutes", "leave it out")
        voice.run(args.data, config, out, train=args.list, val=args.val_list, resume=args.resume)
    elif args.subject == "compact":
        from livehead.training.compact import trainer as compact

        compact.run(args.data, config, out, resume=args.resume, init=args.init)
    elif args.subject == "depth":
        from livehead.training.dagan import depth_trainer

        depth_trainer.run(args.data, config, out, resume=args.resume, init=args.init)
    else:
        from livehead.training.dagan import trainer as dagan

        dagan.run(args.data, config, out, resume=args.resume, init=args.init, vgg=args.vgg, depth=args.depth)
    return 0
