"""``livehead train``: the bundled model and the published ones, on clips of one's own."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from livehead.errors import ConfigError
from livehead.signals import finish_file
from livehead.unfinished_files import is_same_file

_DATA_HELP = (
    "the clips to train on: a training cache that scripts/prepare_clips.py made, which compact needs; for depth and "
    "dagan also a folder of videos, or of folders of frames as VoxCeleb is cut; for voice a folder of videos of people "
    "who speak"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``livehead train``."""
    add = parser.add_argument
    models = ("compact", "depth", "dagan", "voice")
    add("subject", choices=models, metavar="MODEL", help=f"one of {', '.join(models)}")
    add("--data", type=Path, required=True, metavar="DIR", help=_DATA_HELP)
    add("--config", type=Path, metavar="FILE", help="the recipe (default: the one of MODEL that ships)")
    out = "the folder for checkpoints, logs, curves and sample sheets (default: runs/MODEL)"
    add("--out", type=Path, metavar="DIR", help=out)
    add("--resume", action="store_true", help="go on with the run in --out")
    init = "compact: a safetensors file of weights to start from; depth and dagan: a run's latest.pth.tar to start from"
    add("--init", type=Path, metavar="FILE", help=f"{init} (default: random weights)")
    names = "voice: a file with the names of the training clips, one a line (default: all but --val-list)"
    add("--list", type=Path, metavar="FILE", help=names)
    held_out = "voice: a file with the names of the clips to validate on (default: there is no validation)"
    add("--val-list", type=Path, metavar="FILE", help=held_out)
    vgg = "dagan: torchvision's VGG-19, for the perceptual loss (default: the recipe's, else multi-scale gradients)"
    add("--vgg", type=Path, metavar="FILE", help=vgg)
    depth = "dagan: the files of face depth, from a depth run or as published (default: the imported ones)"
    add("--depth", type=Path, nargs="+", default=[], metavar="FILE", help=depth)


def main(args: argparse.Namespace) -> int:
    """Train until the recipe's end; SIGTERM and Ctrl-C leave a checkpoint to go on from.

    Raises: ConfigError, WeightsError.
    """
    from livehead.training.recipe import find_recipe

    config = args.config or find_recipe(args.subject)
    out = args.out or Path(f"runs/{args.subject}")
    _check_options(args)
    _check_not_overwritten(out, (args.init, args.vgg, *args.depth), args.data)
    with finish_file():  # a step under way and its checkpoint may take longer than the end of another command
        _train(args, config, out)
    return 0


def _train(args: argparse.Namespace, config: Path, out: Path) -> None:
    if args.subject == "voice":
        from livehead.training.voice import trainer as voice

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


def _check_not_overwritten(out: Path, weights: Sequence[Path | None], data: Path) -> None:
    """Refuse a folder for the run that holds weights or data which the run reads. Raises: ConfigError."""
    written = [file for file in out.glob("*") if file.is_file()]
    for given in weights:
        if given is not None and any(is_same_file(file, given) for file in written):
            problem = f"{given} lies in {out}, where the run writes checkpoints"
            raise ConfigError(problem, "give another --out", subject=str(given))
    if out.is_dir() and data.is_dir() and out.samefile(data):
        raise ConfigError(f"{out} holds the data", "give another --out", subject=str(out))


def _check_options(args: argparse.Namespace) -> None:
    """Refuse the options that the chosen model does not have. Raises: ConfigError."""
    if args.subject != "dagan" and (args.vgg or args.depth):
        raise ConfigError(f"{args.subject} takes neither --vgg nor --depth", "leave them out, or train dagan")
    if args.subject != "voice" and (args.list or args.val_list):
        raise ConfigError(
            f"{args.subject} takes neither --list nor --val-list: its data say which clips are held out",
            "leave them out, see docs/training.md",
        )
    if args.subject == "voice" and args.init:
        raise ConfigError("voice takes no --init: it is trained in minutes", "leave it out")
