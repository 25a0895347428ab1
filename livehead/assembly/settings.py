"""Settings as a command gets them: defaults, a file, a profile, options and the environment, one over the other."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from livehead.assembly.profiles import CallProfile
from livehead.config import IceSettings, RunSettings, ServeSettings, load_settings, parse_settings
from livehead.environment import TOKEN_VARIABLE, TURN_PASSWORD_VARIABLE, TURN_SECRET_VARIABLE

if TYPE_CHECKING:
    from livehead.webrtc.ice import IceServers

_ROOT_OPTIONS = ("model", "driver", "capture", "microphone", "sound_out", "mode", "render_size", "precision")
_TABLE_OPTIONS = (
    ("stream", ("size", "fps", "encoder", "overwrite")),
    ("picture", ("face", "fit", "background", "badge")),
    ("serve", tuple(key for key in ServeSettings.model_fields if key != "avatar")),  # run has an --avatar of its own
)
"""Options that stand in a table of the file under their own name."""
_ICE_OPTIONS = {"ice_server": "servers", "ice_username": "username", "relay_only": "relay_only"}
_BUDGET_OPTIONS = {"budget_ms": "frame_ms", "machine_share": "machine_share"}


def merge_settings(
    options: Mapping[str, Any], config: Path | None = None, profile: CallProfile | None = None
) -> RunSettings:
    """The defaults, under those of the file ``config``, of a profile and of ``options``, in this order.

    ``options`` are values by the names of the command line's options (``render_size``); those that name no setting are
    left alone. Raises: ConfigError.
    """
    base = load_settings(RunSettings, config) if config else RunSettings()
    tree = base.model_dump()
    if profile is not None:
        # A profile that is not kept yet has no say: what the file gives stays.
        kept = profile.model_dump(include={"mode", "gains", "picture"}, exclude_unset=True)
        tree |= {key: tree[key] | value if isinstance(value, dict) else value for key, value in kept.items()}
    tree |= {key: options[key] for key in _ROOT_OPTIONS if key in options}
    if options.get("sink"):
        tree["sinks"] = options["sink"]
    for table, keys in _TABLE_OPTIONS:
        tree[table].update({key: options[key] for key in keys if key in options})
    tree["stream"]["ice"].update({name: options[key] for key, name in _ICE_OPTIONS.items() if key in options})
    tree["budget"].update({name: options[key] for key, name in _BUDGET_OPTIONS.items() if key in options})
    for item in options.get("gain", ()):
        region, _, value = item.partition("=")
        tree["gains"][region] = value
    return parse_settings(RunSettings, tree, where=f"command line and {config}" if config else "command line")


def ice_servers_from_settings(ice: IceSettings) -> IceServers:
    """The STUN and TURN servers of the settings, with the secrets of the environment. Raises: ConfigError."""
    from livehead.webrtc.ice import IceServers

    password = os.environ.get(TURN_PASSWORD_VARIABLE, "") or ice.password.get_secret_value()
    secret = os.environ.get(TURN_SECRET_VARIABLE, "") or ice.secret.get_secret_value()
    return IceServers(ice.servers, ice.username, password, secret, ice.relay_only)


def server_token(serve: ServeSettings) -> str:
    """The token of the settings, else of the environment; empty where neither has one."""
    return serve.token.get_secret_value() or os.environ.get(TOKEN_VARIABLE, "")
