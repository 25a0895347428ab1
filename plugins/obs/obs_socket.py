"""A client of obs-websocket 5, which is part of OBS from version 28 on.

The protocol: hello (0) with a challenge, identify (1) with its answer, identified (2), then requests (6) and their
responses (7), and events (5) in between; github.com/obsproject/obs-websocket, docs/generated/protocol.md.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import json
import platform
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage
from websockets.sync.client import ClientConnection, connect

from livehead.errors import ConfigError, DeviceError

PASSWORD = "OBS_WEBSOCKET_PASSWORD"
"""The environment variable that holds the password, so that it appears on no command line."""

_RPC = 1
_HELLO, _IDENTIFY, _IDENTIFIED, _EVENT, _REQUEST, _RESPONSE = 0, 1, 2, 5, 6, 7
_WRONG_PASSWORD, _OTHER_VERSION = 4009, 4010
_NOT_FOUND = 600
_TIMEOUT_S = 8.0
_WHERE = "in OBS: Tools, WebSocket Server Settings"


class RequestError(DeviceError):
    """OBS refused a request; ``code`` is the protocol's."""

    def __init__(self, request: str, code: int, comment: str) -> None:
        super().__init__(f"OBS does not do {request} ({comment or code})", "is it of another version?")
        self.code = code


class ObsConnection:
    """A connection to OBS, for use in ``with``; ``events``: the protocol's bits of the events that OBS shall send.

    Raises (on entering): DeviceError and ConfigError, each with one line that says what is wrong.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 4455, password: str = "", events: int = 0) -> None:
        self._host, self._port, self._password, self._events = host, port, password, events
        self._number = 0
        self._socket: ClientConnection

    @property
    def _place(self) -> str:
        return f"[{self._host}]:{self._port}" if ":" in self._host else f"{self._host}:{self._port}"

    def __enter__(self) -> ObsConnection:
        try:
            self._socket = connect(f"ws://{self._place}", open_timeout=_TIMEOUT_S, max_size=None, proxy=None)
        except (InvalidHandshake, InvalidMessage, EOFError) as error:
            raise self._stranger() from error
        except (OSError, TimeoutError) as error:
            raise self._unreachable(error) from error
        try:
            self._identify()
        except BaseException:
            self._socket.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def ask(self, request: str, **data: Any) -> dict[str, Any]:
        """Send one request and return the data of its response. Raises: RequestError, DeviceError."""
        self._number += 1
        name = str(self._number)
        self._send(_REQUEST, {"requestType": request, "requestId": name, "requestData": data})
        while True:
            answer = self._receive()
            if answer["op"] == _RESPONSE and answer["d"]["requestId"] == name:
                break
        status = answer["d"]["requestStatus"]
        if not status["result"]:
            raise RequestError(request, status["code"], status.get("comment", ""))
        result: dict[str, Any] = answer["d"].get("responseData") or {}
        return result

    def find(self, request: str, **data: Any) -> dict[str, Any] | None:
        """Send one request like ``ask``; return None where OBS has no such object."""
        try:
            return self.ask(request, **data)
        except RequestError as error:
            if error.code == _NOT_FOUND:
                return None
            raise

    def event(self, name: str) -> dict[str, Any]:
        """Wait for the next event ``name`` and return its data. Raises: DeviceError."""
        while True:
            message = self._receive()
            if message["op"] == _EVENT and message["d"]["eventType"] == name:
                data: dict[str, Any] = message["d"]["eventData"]
                return data

    def _identify(self) -> None:
        hello = self._receive()
        if hello["op"] != _HELLO:
            raise self._stranger()
        identity: dict[str, Any] = {"rpcVersion": _RPC, "eventSubscriptions": self._events}
        wanted = hello["d"].get("authentication")
        if wanted is not None:
            if not self._password:
                raise ConfigError("OBS wants its password", f"put it into {PASSWORD}; it stands {_WHERE}")
            identity["authentication"] = proof(self._password, wanted["salt"], wanted["challenge"])
        self._send(_IDENTIFY, identity)
        if self._receive()["op"] != _IDENTIFIED:
            raise self._stranger()

    def _send(self, op: int, data: dict[str, Any]) -> None:
        try:
            self._socket.send(json.dumps({"op": op, "d": data}))
        except ConnectionClosed as error:
            raise self._ended(error) from error

    def _receive(self) -> dict[str, Any]:
        try:
            message = json.loads(self._socket.recv(timeout=_TIMEOUT_S))
        except ConnectionClosed as error:
            raise self._ended(error) from error
        except TimeoutError as error:
            raise DeviceError(f"OBS at {self._place} does not answer", "is it busy, or showing a dialog?") from error
        except ValueError as error:
            raise self._stranger() from error
        if not isinstance(message, dict) or not isinstance(message.get("d"), dict) or "op" not in message:
            raise self._stranger()
        return message

    def _ended(self, error: ConnectionClosed) -> DeviceError | ConfigError:
        code = error.rcvd.code if error.rcvd else None
        if code == _WRONG_PASSWORD:
            return ConfigError("OBS says that the password is wrong", f"it stands {_WHERE}, Show Connect Info")
        if code == _OTHER_VERSION:
            return DeviceError("OBS speaks another version of obs-websocket", "update OBS to 28 or newer")
        return DeviceError(f"OBS at {self._place} ended the connection", "was it closed?")

    def _stranger(self) -> DeviceError:
        return DeviceError(f"what answers at {self._place} is no OBS 28 or newer", f"check the port {_WHERE}")

    def _unreachable(self, error: OSError) -> DeviceError:
        """The error that tells whether OBS does not run or does not listen, as far as that can be known."""
        running = obs_runs() if _own(self._host) else None
        if running is False:
            return DeviceError("OBS is not running on this machine", "start it, then try again")
        if running:
            return DeviceError(
                f"OBS runs, but does not listen at {self._place}", f"{_WHERE}: tick Enable WebSocket server"
            )
        return DeviceError(
            f"nothing answers at {self._place} ({error.strerror or 'no answer in time'})",
            f"start OBS there, and {_WHERE}: tick Enable WebSocket server",
        )


def proof(password: str, salt: str, challenge: str) -> str:
    """The answer to ``challenge`` that proves knowledge of the password without revealing it."""
    secret = base64.b64encode(hashlib.sha256((password + salt).encode()).digest()).decode()
    return base64.b64encode(hashlib.sha256((secret + challenge).encode()).digest()).decode()


def obs_runs() -> bool | None:
    """Whether a process named like OBS runs on this machine; None where that is unknown."""
    system = platform.system()
    if system == "Linux":
        return any(_name(folder) == "obs" for folder in Path("/proc").glob("[0-9]*"))
    command = ["tasklist", "/FI", "IMAGENAME eq obs64.exe"] if system == "Windows" else ["pgrep", "-x", "OBS"]
    if shutil.which(command[0]) is None:
        return None
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    return "obs64.exe" in told.stdout if system == "Windows" else told.returncode == 0


def _name(process: Path) -> str:
    try:
        return (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:  # it has ended meanwhile
        return ""


def _own(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
