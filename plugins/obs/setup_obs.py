"""Make or repair the source that shows livehead in OBS, over obs-websocket.

    python plugins/obs/setup_obs.py                    a Media Source for livehead run --sink udp:127.0.0.1:5000
    python plugins/obs/setup_obs.py --key '#00ff00'    with its green made transparent (run --background '#00ff00')
    python plugins/obs/setup_obs.py --page 'http:...'  a Browser Source for the viewers' link of livehead serve

Running it again changes only what is no longer right. The password of OBS comes from OBS_WEBSOCKET_PASSWORD. The exit
status is 0 when the source is there, and 2, with one line that says what is wrong, when not.
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
    StreamAddress,
    browser_settings,
    key_settings,
    media_settings,
)
from obs_socket import PASSWORD, ObsConnection

from livehead.errors import ConfigError, LiveheadError

_FILTER = "Livehead key"
_STATES = {"OBS_MEDIA_STATE_PLAYING": "the stream plays", "OBS_MEDIA_STATE_OPENING": "waiting for the stream"}


@dataclass(frozen=True, slots=True)
class SetupRequest:
    """The wanted source: its ``name``, ``kind`` and ``settings``, in ``scene`` (the one on air if empty)."""

    name: str
    kind: str
    settings: dict[str, Any]
    scene: str = ""


def set_up(obs: ObsConnection, request: SetupRequest) -> str:
    """Make or repair the source; return ``made``, ``mended`` or ``was right``. Raises: LiveheadError."""
    scene = request.scene or obs.ask("GetCurrentProgramScene")["currentProgramSceneName"]
    kinds = obs.ask("GetInputKindList", unversioned=True)["inputKinds"]
    if request.kind not in kinds:
        raise ConfigError("this OBS has no Browser Source", "take OBS from obsproject.com, or leave --page out")
    inputs = {each["inputName"]: each["unversionedInputKind"] for each in obs.ask("GetInputList")["inputs"]}
    if request.name not in inputs:
        made = obs.ask(
            "CreateInput",
            sceneName=scene,
            inputName=request.name,
            inputKind=request.kind,
            inputSettings=request.settings,
            sceneItemEnabled=True,
        )
        _fill_canvas(obs, scene, made["sceneItemId"])
        return "made"
    if inputs[request.name] != request.kind:
        raise ConfigError(
            f"OBS has a source {request.name} of another kind ({inputs[request.name]})", "rename it, or give --source"
        )
    present = obs.ask("GetInputSettings", inputName=request.name)["inputSettings"]
    mended = False
    if any(present.get(key) != value for key, value in request.settings.items()):  # setting them restarts the source
        obs.ask("SetInputSettings", inputName=request.name, inputSettings=request.settings, overlay=True)
        mended = True
    if obs.find("GetSceneItemId", sceneName=scene, sourceName=request.name) is None:
        made = obs.ask("CreateSceneItem", sceneName=scene, sourceName=request.name, sceneItemEnabled=True)
        _fill_canvas(obs, scene, made["sceneItemId"])
        mended = True
    return "mended" if mended else "was right"


def key_out(obs: ObsConnection, name: str, colour: str) -> None:
    """Make the source ``name`` transparent where it has ``colour``. Raises: LiveheadError, ValueError."""
    settings = key_settings(colour)
    filters = obs.ask("GetSourceFilterList", sourceName=name)["filters"]
    if any(each["filterName"] == _FILTER for each in filters):
        obs.ask("SetSourceFilterSettings", sourceName=name, filterName=_FILTER, filterSettings=settings, overlay=True)
        return
    obs.ask("CreateSourceFilter", sourceName=name, filterName=_FILTER, filterKind=KEY_FILTER, filterSettings=settings)


def _fill_canvas(obs: ObsConnection, scene: str, item: int) -> None:
    """Scale the item to OBS's canvas, whatever size the stream has."""
    video = obs.ask("GetVideoSettings")
    bounds = {"boundsType": "OBS_BOUNDS_SCALE_INNER", "boundsAlignment": 0}
    bounds |= {"boundsWidth": video["baseWidth"], "boundsHeight": video["baseHeight"]}
    obs.ask("SetSceneItemTransform", sceneName=scene, sceneItemId=item, sceneItemTransform=bounds)


def _next_step(obs: ObsConnection, request: SetupRequest, address: StreamAddress) -> str:
    if request.kind == BROWSER:
        return "choose the background None on livehead's page to see through it"
    state = obs.ask("GetMediaInputStatus", inputName=request.name)["mediaState"]
    state_text = _STATES.get(state, "no stream yet")
    if state == "OBS_MEDIA_STATE_PLAYING":
        return state_text
    here = "OBS_MACHINE" if address.host in ("0.0.0.0", "::") else address.host
    return f"{state_text}; send it with: livehead run --avatar PHOTO --sink udp:{here}:{address.port}"


def request_from_arguments(chosen: argparse.Namespace, canvas: tuple[int, int]) -> SetupRequest:
    """The request that the command line makes. Raises: ConfigError for a page that is not the viewers'."""
    if not chosen.page:
        return SetupRequest(chosen.source, MEDIA, media_settings(chosen.listen), chosen.scene)
    if not chosen.page.startswith(("http://", "https://")) or "/watch" not in chosen.page:
        raise ConfigError("--page is not the link of a viewers' page", "copy the one under Viewers on livehead's page")
    return SetupRequest(chosen.source, BROWSER, browser_settings(chosen.page, canvas), chosen.scene)


def _parse_address(text: str) -> StreamAddress:
    try:
        return StreamAddress.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="where OBS runs")
    add("--port", type=int, default=4455, help="port of its WebSocket server")
    add("--password", default=argparse.SUPPRESS, help=f"better in {PASSWORD}: others can read command lines")
    add("--source", default=NAME, help="name of the source")
    add("--scene", default="", help="the scene to have it in; the one on air if not given")
    add(
        "--listen",
        type=_parse_address,
        default=StreamAddress(),
        metavar="HOST:PORT",
        help=f"address on which OBS receives the stream (default: {HOST}:{PORT})",
    )
    add("--page", metavar="URL", help="a Browser Source that shows the viewers' link of livehead serve")
    add("--key", metavar="#RRGGBB", help="take this colour out of the picture")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    chosen = _parser().parse_args(arguments)
    password = vars(chosen).get("password", os.environ.get(PASSWORD, ""))
    try:
        with ObsConnection(chosen.host, chosen.port, password) as obs:
            video = obs.ask("GetVideoSettings")
            request = request_from_arguments(chosen, (video["baseWidth"], video["baseHeight"]))
            done = set_up(obs, request)
            if chosen.key:
                key_out(obs, request.name, chosen.key)
            version = obs.ask("GetVersion")["obsVersion"]
            print(f"OBS {version}: the source {request.name} {done if done == 'was right' else f'is {done}'}")
            print(_next_step(obs, request, chosen.listen))
    except (LiveheadError, ValueError) as error:
        print(f"setup_obs: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
