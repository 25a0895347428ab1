"""Options that several commands share, and how they become settings."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from livehead.assembly.profiles import CallProfile
from livehead.config import GainSettings, IceSettings, RunSettings, ServeSettings, load_settings, parse_settings
from livehead.registry import list_names

if TYPE_CHECKING:
    from livehead.webrtc.ice import IceServers

TOKEN_VARIABLE = "LIVEHEAD_TOKEN"
"""Environment variable: the token of ``serve`` and ``run --render-at``, so that it stands on no command line."""
TURN_PASSWORD_VARIABLE, TURN_SECRET_VARIABLE = "LIVEHEAD_TURN_PASSWORD", "LIVEHEAD_TURN_SECRET"
"""Environment variables: what TURN servers want; a password, or the secret that passwords are made from."""

_OPTION_GROUPS = (
    ("stream", ("size", "fps", "encoder")),
    ("picture", ("fit", "background", "badge")),
    ("serve", tuple(key for key in ServeSettings.model_fields if key != "avatar")),  # which run has too
)
"""Options that stand in a table of the file under the same name."""

GAIN_REGIONS = tuple(GainSettings.model_fields)


def print_status(line: str) -> None:
    """A line for the person, beside whatever progress bar there is."""
    print(line, file=sys.stderr, flush=True)


def add_picture_arguments(parser: argparse.ArgumentParser) -> None:
    """What decides how the avatar looks; anything not given comes from --config, else from the defaults."""
    absent: Any = argparse.SUPPRESS
    add = parser.add_argument
    add("--model", default=absent, metavar="NAME", help=f"auto or one of: {', '.join(list_names('renderers'))}")
    add("--size", default=absent, metavar="WxH", help="size of the picture, as 1280x720")
    add("--fit", default=absent, choices=("fit", "crop", "blur"), help="bars, head and shoulders, or blurred sides")
    add(
        "--background",
        default=absent,
        metavar="WHAT",
        help="keep, blur, a colour (#rrggbb or a name), an image, or none (serve)",
    )
    add("--badge", action="store_true", default=absent, help='write "avatar" into the picture')
    add("--render-size", type=int, default=absent, metavar="N", help="side of the rendered square in pixels")
    add("--precision", default=absent, choices=("auto", "fp32", "bf16", "int8"), help="of the networks")
    add("--encoder", default=absent, choices=("auto", "software"), help="of WebRTC: the graphics card's if it works")
    add(
        "--gain",
        action="append",
        default=absent,
        metavar="REGION=X",
        help=f"how strongly it follows: {', '.join(GAIN_REGIONS)}",
    )
    add("--relative", dest="mode", action="store_const", const="relative", default=absent, help="motion since neutral")
    add(
        "--absolute", dest="mode", action="store_const", const="absolute", default=absent, help="the performer's points"
    )
    add(
        "--ice-server",
        action="append",
        default=absent,
        metavar="URL",
        help="of WebRTC: stun:HOST, turn:HOST or turns:HOST, where peers do not reach each other by themselves",
    )
    add("--ice-username", default=absent, metavar="NAME", help=f"for TURN; its password in {TURN_PASSWORD_VARIABLE}")
    add("--relay-only", action="store_true", default=absent, help="of WebRTC: all through TURN, addresses stay hidden")
    add("--config", type=Path, metavar="FILE", help="TOML with any of these settings")


def settings_from_args(args: argparse.Namespace, profile: CallProfile | None = None) -> RunSettings:
    """Defaults, under those of ``--config``, a profile and the command line, in this order. Raises: ConfigError."""
    base = load_settings(RunSettings, args.config) if args.config else RunSettings()
    tree = base.model_dump()
    if profile is not None:
        tree |= profile.model_dump(include={"mode", "gains", "picture"})
    given = vars(args)
    for key in ("model", "driver", "capture", "microphone", "sound_out", "mode", "render_size", "precision"):
        if key in given:
            tree[key] = given[key]
    if given.get("sink"):
        tree["sinks"] = given["sink"]
    for group, keys in _OPTION_GROUPS:
        tree[group].update({key: given[key] for key in keys if key in given})
    ice = {"ice_server": "servers", "ice_username": "username", "relay_only": "relay_only"}
    tree["stream"]["ice"].update({name: given[key] for key, name in ice.items() if key in given})
    for item in given.get("gain", ()):
        region, _, value = item.partition("=")
        tree["gains"][region] = value
    for key, name in (("budget_ms", "frame_ms"), ("machine_share", "machine_share")):
        if key in given:
            tree["budget"][name] = given[key]
    return parse_settings(
        RunSettings, tree, where="command line" if not args.config else f"command line and {args.config}"
    )


def ice_servers_from_settings(ice: IceSettings) -> IceServers:
    """The STUN and TURN servers of the settings and the environment. Raises: ConfigError."""
    from livehead.webrtc.ice import IceServers

    password = os.environ.get(TURN_PASSWORD_VARIABLE, "") or ice.password.get_secret_value()
    secret = os.environ.get(TURN_SECRET_VARIABLE, "") or ice.secret.get_secret_value()
    return IceServers(ice.servers, ice.username, password, secret, ice.relay_only)
