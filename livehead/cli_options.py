"""Options that several commands share, and how settings are made from them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from livehead.assembly.settings import merge_settings
from livehead.config import GainSettings, RunSettings
from livehead.environment import TURN_PASSWORD_VARIABLE
from livehead.registry import list_names

if TYPE_CHECKING:
    from livehead.assembly.profiles import CallProfile

GAIN_REGIONS = tuple(GainSettings.model_fields)


def print_status(line: str) -> None:
    """Print a line for the person, above a progress bar if there is one."""
    print(line, file=sys.stderr, flush=True)


def add_picture_arguments(
    parser: argparse.ArgumentParser, *, default_size: str = "", allow_transparent: bool = False
) -> None:
    """Add the options for how the avatar looks; one that is not given comes from --config, else from the defaults.

    ``default_size`` is what the help names as the picture's size, if that is not the settings' own.
    ``allow_transparent`` is for commands that can show a picture without a background.
    """
    absent: Any = argparse.SUPPRESS
    add, defaults = parser.add_argument, RunSettings()
    picture, (width, height) = defaults.picture, defaults.stream.size
    models = ", ".join(list_names("renderers"))
    add("--model", default=absent, metavar="NAME", help=f"the renderer: auto (the default) or one of {models}")
    size = f"size of the picture in pixels (default: {default_size or f'{width}x{height}'})"
    add("--size", default=absent, metavar="WxH", help=size)
    add(
        "--fit",
        default=absent,
        choices=("fit", "crop", "blur"),
        help="how the photo fills a picture of another shape: with bars, cropped to head and shoulders, or with "
        f"blurred sides (default: {picture.fit})",
    )
    face = "which face of a photo with several becomes the avatar: largest, left, right or a number from the left "
    add("--face", default=absent, metavar="WHICH", help=face + f"(default: {picture.face})")
    kinds = "keep, blur, a colour (#rrggbb or a name)" + (", none" if allow_transparent else "")
    background = f"what stands behind the person: {kinds} or the path of an image (default: {picture.background})"
    add("--background", default=absent, metavar="WHAT", help=background)
    add("--badge", action="store_true", default=absent, help='write "avatar" into the picture')
    render_size = f"side of the square that the renderer draws, in pixels (default: {defaults.render_size})"
    add("--render-size", type=int, default=absent, metavar="N", help=render_size)
    add(
        "--precision",
        default=absent,
        choices=("auto", "fp32", "bf16", "int8"),
        help=f"number format in which the networks compute (default: {defaults.precision}, the quickest here)",
    )
    add(
        "--gain",
        action="append",
        default=absent,
        metavar="REGION=X",
        help="how strongly a region of the face follows the performer, from 0 to 3 (default: 1, and 0 for "
        f"gaze_to_camera); the regions are {', '.join(GAIN_REGIONS)}; may be given several times",
    )
    relative = "move the photo as far as the performer has moved from a neutral face (the default)"
    add("--relative", dest="mode", action="store_const", const="relative", default=absent, help=relative)
    absolute = "put the performer's own pose and expression onto the photo"
    add("--absolute", dest="mode", action="store_const", const="absolute", default=absent, help=absolute)
    add("--config", type=Path, metavar="FILE", help="TOML file with any of these settings")


def add_webrtc_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of WebRTC connections: the encoder, and STUN and TURN servers."""
    absent: Any = argparse.SUPPRESS
    add, defaults = parser.add_argument, RunSettings().stream
    add(
        "--encoder",
        default=absent,
        choices=("auto", "software"),
        help=f"H.264 encoder for WebRTC: auto takes the graphics card's where it works (default: {defaults.encoder})",
    )
    add(
        "--ice-server",
        action="append",
        default=absent,
        metavar="URL",
        help="STUN or TURN server for WebRTC, where peers do not reach each other by themselves: stun:HOST, turn:HOST "
        "or turns:HOST; may be given several times",
    )
    username = f"user name for the TURN servers; its password is read from {TURN_PASSWORD_VARIABLE}"
    add("--ice-username", default=absent, metavar="NAME", help=username)
    relay_only = "send all WebRTC media through a TURN server, so that the peers do not learn each other's address"
    add("--relay-only", action="store_true", default=absent, help=relay_only)


def settings_from_args(args: argparse.Namespace, profile: CallProfile | None = None) -> RunSettings:
    """Merge the defaults, ``--config``, a profile and the command line, in this order. Raises: ConfigError."""
    return merge_settings(vars(args), args.config, profile)
