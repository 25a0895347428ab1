"""The command line: arguments to settings, errors to one line and an exit status."""

from __future__ import annotations

import argparse
import contextlib
import errno
import importlib
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from livehead import __version__
from livehead.errors import LiveheadError, LostRecordingError
from livehead.signals import handle_interrupts

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130
_FULL_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG} if hasattr(errno, "EDQUOT") else {errno.ENOSPC}


@dataclass(frozen=True, slots=True)
class _CommandSpec:
    """A command's module, which has ``add_arguments(parser)`` and ``main(args) -> int``, and its words in the help.

    The module is imported only when the command is used.
    """

    module: str
    summary: str
    example: str


COMMANDS = {
    "run": _CommandSpec(
        "livehead.commands.run",
        "animate a photo live: camera in, virtual camera, window or file out",
        "livehead run --avatar me.jpg --sink virtualcam --sink window",
    ),
    "animate": _CommandSpec(
        "livehead.commands.animate",
        "animate a photo by a recorded video or by speech, into a file",
        "livehead animate --avatar me.jpg --driving talk.mp4 --out avatar.mp4",
    ),
    "serve": _CommandSpec(
        "livehead.commands.serve",
        "serve the studio page: an avatar in the browser, by WebRTC",
        "livehead serve --avatar me.jpg",
    ),
    "demo": _CommandSpec(
        "livehead.commands.demo",
        "show the main job with no camera, microphone or GPU: a video, a contact sheet and the latency",
        "livehead demo --out out",
    ),
    "reconstruct": _CommandSpec(
        "livehead.commands.reconstruct",
        "turn a photo of a person into a 3D figure, by PIFuHD",
        "livehead reconstruct --image person.jpg --out person.glb",
    ),
    "doctor": _CommandSpec(
        "livehead.commands.doctor",
        "tell what works on this machine and how to mend what does not",
        "livehead doctor --json doctor.json",
    ),
    "devices": _CommandSpec(
        "livehead.commands.devices",
        "list the cameras, microphones, sound outputs and virtual cameras of this machine",
        "livehead devices",
    ),
    "pose": _CommandSpec(
        "livehead.commands.pose",
        "find the people in a photo or a video: OpenPose's JSON, and a picture of their poses",
        "livehead pose --in street.jpg --out street.json street-pose.png",
    ),
    "evaluate": _CommandSpec(
        "livehead.commands.evaluate",
        "measure how true the pictures are, on clips of talking heads",
        "livehead evaluate --clips clips --model warp --json warp.json --plot warp.png",
    ),
    "bench": _CommandSpec(
        "livehead.commands.bench",
        "measure speed and latency on this machine",
        "livehead bench pipeline --json pipeline.json --plot pipeline.png",
    ),
    "weights": _CommandSpec(
        "livehead.commands.weights",
        "list the checkpoints, import published ones, and check that all are whole",
        "livehead weights import DaGAN_vox_adv_256.pth.tar --as dagan-vox-256",
    ),
    "verify": _CommandSpec(
        "livehead.commands.verify",
        "tell whether a video says that it shows an avatar, and whether it is as it was signed",
        "livehead verify avatar.mp4",
    ),
    "train": _CommandSpec(
        "livehead.commands.train",
        "train a model on clips of your own",
        "livehead train compact --data cache --out runs/mine",
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give its exit status: 0 done, 2 bad input, 130 interrupted, 1 a fault of livehead's own."""
    limit_blas_threads()
    try:
        with handle_interrupts():  # also while the modules are imported, which takes a second on a busy machine
            return _run_command(list(sys.argv[1:] if argv is None else argv))
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _run_command(arguments: list[str]) -> int:
    """Run the command that ``arguments`` name, and tell its errors in one line each; gives the exit status."""
    parser = _build_parser(arguments)
    if not arguments:
        parser.print_help()
        return EXIT_BAD_INPUT
    args, unknown = parser.parse_known_args(arguments)
    if unknown:
        parser.exit(EXIT_BAD_INPUT, _describe_refusal(f"livehead {args.command}", f"there is no {' '.join(unknown)}"))
    logging.basicConfig(level=logging.DEBUG if args.debug else logging.INFO, format="%(message)s", stream=sys.stderr)
    quiet_loggers()
    try:
        status: int = importlib.import_module(COMMANDS[args.command].module).main(args)
        sys.stdout.flush()  # here, so that what cannot be written is told below
    except LiveheadError as error:
        if args.debug:
            traceback.print_exc()
        print(f"livehead {args.command}: {error}", file=sys.stderr)
        return 1 if isinstance(error, LostRecordingError) else EXIT_BAD_INPUT
    except BrokenPipeError:
        _drop_output()
        return 0
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _FULL_DISK_ERRORS:
            _drop_output()
            print(f"livehead {args.command}: cannot write ({error.strerror}): make room on the disk", file=sys.stderr)
            return EXIT_BAD_INPUT
        if args.debug:
            traceback.print_exc()
        print(
            f"livehead {args.command}: {type(error).__name__}: {error} (a fault of livehead's own: please report it "
            "with the output of the same command with --debug)",
            file=sys.stderr,
        )
        return 1
    return status


def _drop_output() -> None:
    """Send what is still to be printed nowhere, or Python would fail at it once more at the end of the process."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def limit_blas_threads() -> None:
    """Keep NumPy's matrix library on one thread, unless the user has set a number; called before NumPy is imported.

    The library's other threads wait for work in a busy loop. At thirty small products a second they never stop: on two
    cores that took more time than tracking and drawing together.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def quiet_loggers() -> None:
    """Show only the errors of libraries that log much, or that log addresses of the other side."""
    for noisy in ("matplotlib", "PIL", "asyncio", "libav", "aioice", "aiortc"):
        logging.getLogger(noisy).setLevel(logging.ERROR)


class _CommandParser(argparse.ArgumentParser):
    """Tells what is wrong with the arguments in one line, where argparse prints the whole usage before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_BAD_INPUT, _describe_refusal(self.prog, message))


def _describe_refusal(command: str, message: str) -> str:
    return f"{command}: {message} ({command} --help lists what can be written)\n"


class DefaultsHelpFormatter(argparse.HelpFormatter):
    """Shows the defaults of options that a person would want to know: neither None, nor those of switches."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        default = action.default
        told = default is None or default is argparse.SUPPRESS or isinstance(default, bool) or default == []
        if not action.help or told or not action.option_strings:
            return action.help
        return f"{action.help} (default: %(default)s)"


def to_local_path(text: str) -> Path:
    """The path that an option gives; an address is refused, since ``Path`` would take a slash away from it.

    Raises: argparse.ArgumentTypeError.
    """
    if "://" in text:
        raise argparse.ArgumentTypeError(f"{text} is an address, not a file: download it and give the file's path")
    return Path(text)


def _build_parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """Make the parser; only the command that ``arguments`` name is imported, so that ``--help`` is quick."""
    parser = _CommandParser(prog="livehead", description="A talking avatar from one photo, live.")
    parser.add_argument("--version", action="version", version=f"livehead {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    named = next((argument for argument in arguments if not argument.startswith("-")), None)
    for name, command in COMMANDS.items():
        sub = commands.add_parser(
            name,
            help=command.summary,
            description=command.summary[0].upper() + command.summary[1:] + ".",
            epilog=f"example: {command.example}",
            formatter_class=DefaultsHelpFormatter,
        )
        sub.register("type", Path, to_local_path)
        sub.add_argument("--debug", action="store_true", help="log more, and show the traceback of an error")
        if name == named:
            importlib.import_module(command.module).add_arguments(sub)
    return parser
