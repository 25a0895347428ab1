"""The command that sets OBS up, against a small server that speaks obs-websocket 5 as its protocol says.

The real OBS is in ``scripts/test_obs.py``.
"""

# ruff: noqa: N802, N803 - requests and their fields are named as the protocol names them

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import obs_socket
import pytest
import setup_obs
from livehead_source import BROWSER, KEY_FILTER, MEDIA, StreamAddress, key_settings, media_settings
from websockets.sync.server import ServerConnection, serve

SALT, CHALLENGE = "a salt", "a challenge"
PAGE = "http://localhost:8000/watch?transparent=1#key=abc"


class LittleObs:
    """One scene on air, another beside it, inputs with settings and filters."""

    def __init__(self, password: str = "", kinds: tuple[str, ...] = (MEDIA, BROWSER)) -> None:
        self.password = password
        self.kinds = kinds
        self.inputs: dict[str, tuple[str, dict[str, Any]]] = {}
        self.scenes: dict[str, list[str]] = {"On air": [], "Beside": []}
        self.filters: dict[str, dict[str, Any]] = {}
        self.bounds: dict[str, Any] = {}
        self.asked: list[str] = []

    def talk(self, socket: ServerConnection) -> None:
        hello: dict[str, Any] = {"obsWebSocketVersion": "5.1.0", "rpcVersion": 1}
        if self.password:
            hello["authentication"] = {"challenge": CHALLENGE, "salt": SALT}
        socket.send(json.dumps({"op": 0, "d": hello}))
        identity = json.loads(socket.recv())
        assert identity["op"] == 1
        if self.password and identity["d"].get("authentication") != self._right():
            socket.close(4009, "Authentication failed.")
            return
        socket.send(json.dumps({"op": 2, "d": {"negotiatedRpcVersion": 1}}))
        for text in socket:
            request = json.loads(text)["d"]
            self.asked.append(request["requestType"])
            status: dict[str, Any] = {"result": True, "code": 100}
            answer = getattr(self, request["requestType"], lambda **_: 204)(**request["requestData"])
            if isinstance(answer, int):
                status = {"result": False, "code": answer, "comment": "no such thing"}
                answer = None
            data = {"requestType": request["requestType"], "requestId": request["requestId"], "requestStatus": status}
            socket.send(json.dumps({"op": 5, "d": {"eventType": "SomethingElse"}}))
            socket.send(json.dumps({"op": 7, "d": data | ({"responseData": answer} if answer else {})}))

    def _right(self) -> str:
        def hashed(text: str) -> str:
            return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

        return hashed(hashed(self.password + SALT) + CHALLENGE)

    def GetVersion(self) -> dict[str, Any]:
        return {"obsVersion": "29.0.2"}

    def GetVideoSettings(self) -> dict[str, Any]:
        return {"baseWidth": 1920, "baseHeight": 1080}

    def GetCurrentProgramScene(self) -> dict[str, Any]:
        return {"currentProgramSceneName": "On air"}

    def GetInputKindList(self, unversioned: bool) -> dict[str, Any]:
        return {"inputKinds": list(self.kinds)}

    def GetInputList(self) -> dict[str, Any]:
        return {
            "inputs": [{"inputName": name, "unversionedInputKind": kind} for name, (kind, _) in self.inputs.items()]
        }

    def CreateInput(
        self, sceneName: str, inputName: str, inputKind: str, inputSettings: dict[str, Any], sceneItemEnabled: bool
    ) -> dict[str, Any]:
        self.inputs[inputName] = (inputKind, dict(inputSettings))
        return self.CreateSceneItem(sceneName, inputName, sceneItemEnabled)

    def CreateSceneItem(self, sceneName: str, sourceName: str, sceneItemEnabled: bool) -> dict[str, Any]:
        self.scenes[sceneName].append(sourceName)
        return {"sceneItemId": len(self.scenes[sceneName])}

    def GetSceneItemId(self, sceneName: str, sourceName: str) -> dict[str, Any] | int:
        if sourceName not in self.scenes.get(sceneName, []):
            return 600
        return {"sceneItemId": self.scenes[sceneName].index(sourceName) + 1}

    def SetSceneItemTransform(self, sceneName: str, sceneItemId: int, sceneItemTransform: dict[str, Any]) -> None:
        self.bounds = sceneItemTransform

    def GetInputSettings(self, inputName: str) -> dict[str, Any]:
        return {"inputSettings": self.inputs[inputName][1]}

    def SetInputSettings(self, inputName: str, inputSettings: dict[str, Any], overlay: bool) -> None:
        kind, settings = self.inputs[inputName]
        self.inputs[inputName] = (kind, (settings if overlay else {}) | inputSettings)

    def GetMediaInputStatus(self, inputName: str) -> dict[str, Any]:
        return {"mediaState": "OBS_MEDIA_STATE_OPENING"}

    def GetSourceFilterList(self, sourceName: str) -> dict[str, Any]:
        return {"filters": [{"filterName": name} for name in self.filters]}

    def CreateSourceFilter(
        self, sourceName: str, filterName: str, filterKind: str, filterSettings: dict[str, Any]
    ) -> None:
        assert filterKind == KEY_FILTER
        self.filters[filterName] = filterSettings

    def SetSourceFilterSettings(
        self, sourceName: str, filterName: str, filterSettings: dict[str, Any], overlay: bool
    ) -> None:
        self.filters[filterName] |= filterSettings


@contextmanager
def serve_obs(talk: Any) -> Iterator[int]:
    with serve(talk, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.socket.getsockname()[1]
        server.shutdown()
        thread.join(5)


def run(port: int, *arguments: str) -> int:
    return setup_obs.main(["--port", str(port), *arguments])


def test_the_source_is_made_then_found_right_then_mended(capsys: pytest.CaptureFixture[str]) -> None:
    little = LittleObs()
    with serve_obs(little.talk) as port:
        assert run(port) == 0
        assert "the source Livehead is made" in capsys.readouterr().out
        assert little.inputs == {"Livehead": (MEDIA, media_settings(StreamAddress()))}
        assert little.scenes == {"On air": ["Livehead"], "Beside": []}
        assert (little.bounds["boundsWidth"], little.bounds["boundsHeight"]) == (1920, 1080)

        little.asked.clear()
        assert run(port) == 0
        assert "was right" in capsys.readouterr().out
        assert not [name for name in little.asked if name.startswith(("Set", "Create"))], "it would begin again"

        little.inputs["Livehead"][1].update(buffering_mb=2, color_range=2)
        assert run(port) == 0
        assert "is mended" in capsys.readouterr().out
        assert little.inputs["Livehead"][1] == media_settings(StreamAddress()) | {"color_range": 2}, "a taste stays"


def test_a_source_of_another_scene_is_shown_in_this_one_too(capsys: pytest.CaptureFixture[str]) -> None:
    little = LittleObs()
    with serve_obs(little.talk) as port:
        assert run(port, "--scene", "Beside") == 0
        assert run(port) == 0
    assert little.scenes == {"On air": ["Livehead"], "Beside": ["Livehead"]}


def test_the_next_step_names_the_sink(capsys: pytest.CaptureFixture[str]) -> None:
    with serve_obs(LittleObs().talk) as port:
        assert run(port, "--listen", "127.0.0.1:6000") == 0
        assert "--sink udp:127.0.0.1:6000" in capsys.readouterr().out
        assert run(port, "--listen", "0.0.0.0:6000") == 0
        assert "--sink udp:OBS_MACHINE:6000" in capsys.readouterr().out


def test_the_viewers_page_becomes_a_browser_source_of_the_canvas_size() -> None:
    little = LittleObs()
    with serve_obs(little.talk) as port:
        assert run(port, "--page", PAGE) == 0
    kind, settings = little.inputs["Livehead"]
    assert kind == BROWSER
    assert (settings["url"], settings["width"], settings["height"]) == (PAGE, 1920, 1080)


def test_a_colour_is_keyed_out_by_one_filter() -> None:
    little = LittleObs()
    with serve_obs(little.talk) as port:
        assert run(port, "--key", "#00ff00") == run(port, "--key", "#0000FF") == 0
    assert len(little.filters) == 1
    [settings] = little.filters.values()
    assert settings["key_color"] == 0xFFFF0000, "blue, as OBS counts"
    assert key_settings("#102030")["key_color"] == 0xFF302010


@pytest.mark.parametrize(
    ("little", "arguments", "told"),
    [
        (LittleObs("secret"), (), "OBS wants its password"),
        (LittleObs("secret"), ("--password", "wrong"), "the password is wrong"),
        (LittleObs(kinds=(MEDIA,)), ("--page", PAGE), "this OBS has no Browser Source"),
        (LittleObs(), ("--page", "https://example.org"), "not the link of a viewers' page"),
        (LittleObs(), ("--key", "green"), "'green' is no colour"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(
    little: LittleObs,
    arguments: tuple[str, ...],
    told: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(obs_socket.PASSWORD, raising=False)
    with serve_obs(little.talk) as port:
        assert run(port, *arguments) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_the_password_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    little = LittleObs("secret")
    monkeypatch.setenv(obs_socket.PASSWORD, "secret")
    with serve_obs(little.talk) as port:
        assert run(port) == 0
    assert "Livehead" in little.inputs


def test_a_source_of_another_kind_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    little = LittleObs()
    little.inputs["Livehead"] = ("image_source", {"file": "cat.png"})
    with serve_obs(little.talk) as port:
        assert run(port) == 2
    assert "of another kind (image_source)" in capsys.readouterr().err
    assert little.inputs["Livehead"] == ("image_source", {"file": "cat.png"})


@pytest.mark.parametrize(
    ("running", "told"),
    [(False, "OBS is not running"), (True, "Enable WebSocket server"), (None, "start OBS there")],
)
def test_a_closed_port_is_told_by_what_runs(
    running: bool | None, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(obs_socket, "obs_runs", lambda: running)
    with serve_obs(lambda socket: None) as port:
        pass
    assert run(port) == 2
    assert told in capsys.readouterr().err


def test_another_server_is_no_obs(capsys: pytest.CaptureFixture[str]) -> None:
    with serve_obs(lambda socket: socket.send("hello there")) as port:
        assert run(port) == 2
    assert "is no OBS 28 or newer" in capsys.readouterr().err


def test_an_end_in_the_middle_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    def leaving(socket: ServerConnection) -> None:
        socket.send(json.dumps({"op": 0, "d": {"rpcVersion": 1}}))
        socket.recv()
        socket.send(json.dumps({"op": 2, "d": {"negotiatedRpcVersion": 1}}))
        socket.recv()

    with serve_obs(leaving) as port:
        assert run(port) == 2
    assert "ended the connection" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["5000", "localhost:5000", "127.0.0.1:0", "127.0.0.1:99999", "127.0.0.1:x"])
def test_an_address_that_obs_cannot_listen_on_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no"):
        StreamAddress.parse(text)


def test_obs_listens_on_the_named_address_alone() -> None:
    assert StreamAddress.parse("[::1]:7000").url.startswith("udp://[::1]:7000?localaddr=::1")
    assert media_settings(StreamAddress())["input"].startswith("udp://127.0.0.1:5000?localaddr=127.0.0.1")
