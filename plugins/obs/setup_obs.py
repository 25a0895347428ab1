"""Make the source that shows livehead in OBS, or mend it, over obs-websocket.

    python plugins/obs/setup_obs.py                    a Media Source for livehead run --sink udp:127.0.0.1:5000
    python plugins/obs/setup_obs.py --key '#00ff00'    the same, its green see-through (run --background '#00ff00')
    python plugins/obs/setup_obs.py --page 'http:...'  a Browser Source for the viewers' link of livehead serve

Running it again changes nothing, or what is no longer right. The password of OBS comes from OBS_WEBSOCKET_PASSWORD.
Exit status 0 when the source is there, 2 with one line of what is wrong when not.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from livehead_source import (
    BROWSER,
    HOST,
    KEY_FILTER,
    MEDIA,
    NAME,
    PORT,
    Listening,
    browser_settings,
    key_settings,
    media_settings,
)
from obs_socket import PASSWORD, Obs

from livehead.errors import ConfigError, LiveheadError

_FILTER = "Livehead key"
_STATES = {"OBS_MEDIA_STATE_PLAYING": "the stream plays", "OBS_MEDIA_STATE_OPENING": "waiting for the stream"}


@dataclass(frozen=True, slots=True)
class Wish:
    """The source to have: its ``name``, ``kind`` and ``settings``, in ``scene`` (the one on air if empty)."""

    name: str
    kind: str
    settings: dict[str, Any]
    scene: str = ""


def set_up(obs: Obs, wish: Wish) -> str:
    """Make or mend the source; what was done: ``made``, ``mended`` or ``was right``. Raises: LiveheadError."""
    scene = wish.scene or obs.ask("GetCurrentProgramScene")["currentProgramSceneName"]
    kinds = obs.ask("GetInputKindList", unversioned=True)["inputKinds"]
    if wish.kind not in kinds:
        raise ConfigError("this OBS has no Browser Source", "take OBS from obsproject.com, or leave --page out")
    inputs = {each["inputName"]: each["unversionedInputKind"] for each in obs.ask("GetInputList")["inputs"]}
    if wish.name not in inputs:
        made = obs.ask(
            "CreateInput",
            sceneName=scene,
            inputName=wish.name,
            inputKind=wish.kind,
            inputSettings=wish.settings,
            sceneItemEnabled=True,
        )
        _fill_canvas(obs, scene, made["sceneItemId"])
        return "made"
    if inputs[wish.name] != wish.kind:
        raise ConfigError(
            f"OBS has a source {wish.name} of another kind ({inputs[wish.name]})", "rename it, or give --source"
        )
    present = obs.ask("GetInputSettings", inputName=wish.name)["inputSettings"]
    mended = False
    if any(present.get(key) != value for key, value in wish.settings.items()):  # to set it restarts it
        obs.ask("SetInputSettings", inputName=wish.name, inputSettings=wish.settings, overlay=True)
        mended = True
    if obs.find("GetSceneItemId", sceneName=scene, sourceName=wish.name) is None:
        made = obs.ask("CreateSceneItem", sceneName=scene, sourceName=wish.name, sceneItemEnabled=True)
        _fill_canvas(obs, scene, made["sceneItemId"])
        mended = True
    return "mended" if mended else "was right"


def key_out(obs: Obs, name: str, colour: str) -> None:
    """Let source ``name`` be see-through where it has that colour. Raises: LiveheadError, ValueError."""
    settings = key_settings(colour)
    filters = obs.ask("GetSourceFilterList", sourceName=name)["filters"]
    if any(each["filterName"] == _FILTER for each in filters):
        obs.ask("SetSourceFilterSettings", sourceName=name, filterName=_FILTER, filterSettings=settings, overlay=True)
        return
    obs.ask("CreateSourceFilter", sourceName=name, filterName=_FILTER, filterKind=KEY_FILTER, filterSettings=settings)


def _fill_canvas(obs: Obs, scene: str, item: int) -> None:
    """As large as OBS's canvas has room for, whatever size the stream has."""
    video = obs.ask("GetVideoSettings")
    bounds = {"boundsType": "OBS_BOUNDS_SCALE_INNER", "boundsAlignment": 0}
    bounds |= {"boundsWidth": video["baseWidth"], "boundsHeight": video["baseHeight"]}
    obs.ask("SetSceneItemTransform", sceneName=scene, sceneItemId=item, sceneItemTransform=bounds)


def _next_step(obs: Obs, wish: Wish, listening: Listening) -> str:
    if wish.kind == BROWSER:
        return "choose the background None on livehead's page to see through it"
    state = obs.ask("GetMediaInputStatus", inputName=wish.name)["mediaState"]
    told = _STATES.get(state, "no stream yet")
    if state == "OBS_MEDIA_STATE_PLAYING":
        return told
    here = "OBS_MACHINE" if listening.host in ("0.0.0.0", "::") else listening.host
    return f"{told}; send it with: livehead run --avatar PHOTO --sink udp:{here}:{listening.port}"


def wish_from(chosen: argparse.Namespace, canvas: tuple[int, int]) -> Wish:
    """Raises: ConfigError."""
    if not chosen.page:
        return Wish(chosen.source, MEDIA, media_settings(chosen.listen), chosen.scene)
    if not chosen.page.startswith(("http://", "https://")) or "/watch" not in chosen.page:
        raise ConfigError("--page is not the link of a viewers' page", "copy the one under Viewers on livehead's page")
    return Wish(chosen.source, BROWSER, browser_settings(chosen.page, canvas), chosen.scene)


def _listening(text: str) -> Listening:
    try:
        return Listening.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="where OBS runs")
    add("--port", type=int, default=4455, help="of its WebSocket server")
    add("--password", default=argparse.SUPPRESS, help=f"better in {PASSWORD}: others can read command lines")
    add("--source", default=NAME, help="name of the source")
    add("--scene", default="", help="the scene to have it in; the one on air if not given")
    add("--listen", type=_listening, default=Listening(), metavar="HOST:PORT", help=f"else {HOST}:{PORT}")
    add("--page", metavar="URL", help="a Browser Source that shows the viewers' link of livehead serve")
    add("--key", metavar="#RRGGBB", help="take this colour out of the picture")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status."""
    chosen = _parser().parse_args(arguments)
    password = vars(chosen).get("password", os.environ.get(PASSWORD, ""))
    try:
        with Obs(chosen.host, chosen.port, password) as obs:
            video = obs.ask("GetVideoSettings")
            wish = wish_from(chosen, (video["baseWidth"], video["baseHeight"]))
            done = set_up(obs, wish)
            if chosen.key:
                key_out(obs, wish.name, chosen.key)
            version = obs.ask("GetVersion")["obsVersion"]
            print(f"OBS {version}: the source {wish.name} {done if done == 'was right' else f'is {done}'}")
            print(_next_step(obs, wish, chosen.listen))
    except (LiveheadError, ValueError) as error:
        print(f"setup_obs: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
