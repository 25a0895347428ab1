"""A real Chromium for measurements and tests: headless, with a fake camera that plays a file, controlled by CDP.

The Chrome DevTools Protocol over a WebSocket, as far as is needed here: open a page, evaluate, take a picture of it.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.request import urlopen

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from livehead.errors import DeviceError

_EXECUTABLES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--mute-audio",
    # pages stay as quick as they are when another one is opened beside them
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    "--autoplay-policy=no-user-gesture-required",
    "--remote-debugging-port=0",
    # a page served to this machine alone: its candidates are loopback's, which Chromium leaves out otherwise
    "--allow-loopback-in-peer-connection",
)
_START_TIMEOUT_S, _CALL_TIMEOUT_S = 20.0, 30.0


def find_chromium() -> str | None:
    """The path of an installed Chromium or Chrome, or None."""
    return next(filter(None, map(shutil.which, _EXECUTABLES)), None)


def fake_device_flags(picture: Path | None = None, sound: Path | None = None, *, allowed: bool = True) -> list[str]:
    """Flags for a camera that plays ``picture`` (``.mjpeg`` or ``.y4m``) and a microphone that plays ``sound``.

    ``allowed`` is the answer to pages that ask for permission to use them.
    """
    flags = ["--use-fake-device-for-media-stream"]
    flags.append("--use-fake-ui-for-media-stream" if allowed else "--deny-permission-prompts")
    if picture is not None:
        flags.append(f"--use-file-for-fake-video-capture={picture.resolve()}")
    if sound is not None:
        flags.append(f"--use-file-for-fake-audio-capture={sound.resolve()}")
    return flags


class BrowserTab:
    """One open page, which can be scripted and looked at."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._message_id = 0

    def call(self, method: str, **parameters: object) -> dict[str, Any]:
        """One command of the protocol. Raises: DeviceError."""
        self._message_id += 1
        try:
            self._socket.send(json.dumps({"id": self._message_id, "method": method, "params": parameters}))
            while True:
                answer = json.loads(self._socket.recv(timeout=_CALL_TIMEOUT_S))
                if answer.get("id") == self._message_id:
                    break
        except (WebSocketException, TimeoutError, OSError) as error:
            raise DeviceError(f"Chromium does not answer {method} ({error})") from error
        if "error" in answer:
            raise DeviceError(f"Chromium refuses {method}: {answer['error'].get('message')}")
        result: dict[str, Any] = answer["result"]
        return result

    def evaluate(self, script: str) -> Any:
        """The value of ``script``, awaited if it is a promise. Raises: DeviceError with the page's own error."""
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            reason = details.get("exception", {}).get("description", details.get("text"))
            raise DeviceError(f"the page failed: {reason}")
        return answer["result"].get("value")

    def wait_until(self, script: str, timeout_s: float = 15.0) -> Any:
        """Evaluate ``script`` until its value is true, and give that value. Raises: DeviceError after ``timeout_s``."""
        deadline = time.monotonic() + timeout_s
        while not (value := self.evaluate(script)):
            if time.monotonic() > deadline:
                raise DeviceError(f"the page does not come to: {script}")
            time.sleep(0.05)
        return value

    def take_screenshot(self) -> bytes:
        """The page as it looks now, as PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def resize(self, width: int, height: int, *, phone: bool = False) -> None:
        """Set the window's inner size in CSS pixels."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)

    def emulate_color_scheme(self, scheme: str) -> None:
        """Have the page believe that the person prefers the colour scheme ``dark`` or ``light``."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])


class HeadlessChromium:
    """A browser that runs inside its ``with`` block; its profile is thrown away afterwards.

    Raises (on entering): DeviceError when there is no Chromium or it does not start.
    """

    def __init__(self, flags: Sequence[str] = (), *, extension: Path | None = None) -> None:
        """``extension``: the folder of an unpacked extension to load; no other is loaded."""
        loaded = ["--disable-extensions"]
        if extension is not None:
            loaded = [f"--disable-extensions-except={extension}", f"--load-extension={extension}"]
        self._flags = [*loaded, *flags]
        self._stack = ExitStack()
        self._port = 0

    def __enter__(self) -> HeadlessChromium:
        path = find_chromium()
        if path is None:
            raise DeviceError(
                "there is no Chromium on this machine", "apt install chromium, or what your system has in its place"
            )
        with ExitStack() as stack:
            profile = stack.enter_context(
                tempfile.TemporaryDirectory(prefix="livehead-chromium-", ignore_cleanup_errors=True)
            )
            log = stack.enter_context(Path(profile, "log").open("wb"))
            command = [path, *_FLAGS, *self._flags, f"--user-data-dir={profile}", "about:blank"]
            browser = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
            stack.callback(_terminate_process, browser)
            self._port = _wait_for_debug_port(browser, Path(profile, "DevToolsActivePort"))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def open_tab(self, url: str, *, policy: bool = True) -> BrowserTab:
        """A new page at ``url``. Without its ``policy`` (CSP), scripts of ours may start further ones."""
        with connect(self._browser_socket_url(), max_size=None) as browser:
            target = BrowserTab(browser).call("Target.createTarget", url="about:blank")["targetId"]
        socket = connect(f"ws://127.0.0.1:{self._port}/devtools/page/{target}", max_size=None)
        self._stack.callback(socket.close)
        tab = BrowserTab(socket)
        tab.call("Page.enable")
        if not policy:
            tab.call("Page.setBypassCSP", enabled=True)
        tab.call("Page.navigate", url=url)
        tab.wait_until("document.readyState === 'complete' && location.href !== 'about:blank'")
        return tab

    def set_permission(self, origin: str, device: str, state: str) -> None:
        """Set the permission of pages of ``origin`` for a ``device`` (``camera``) to granted, denied or prompt."""
        socket = connect(self._browser_socket_url(), max_size=None)
        self._stack.callback(socket.close)  # what is set holds for as long as the one who set it is connected
        BrowserTab(socket).call("Browser.setPermission", permission={"name": device}, setting=state, origin=origin)

    def _browser_socket_url(self) -> str:
        with urlopen(f"http://127.0.0.1:{self._port}/json/version", timeout=_CALL_TIMEOUT_S) as answer:
            return str(json.load(answer)["webSocketDebuggerUrl"])


def _wait_for_debug_port(browser: subprocess.Popen[bytes], file: Path) -> int:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline:
        if browser.poll() is not None:
            raise DeviceError(f"Chromium ended at once with status {browser.returncode}")
        if file.is_file() and (lines := file.read_text(encoding="ascii").splitlines()):
            return int(lines[0])
        time.sleep(0.05)
    raise DeviceError(f"Chromium did not start in {_START_TIMEOUT_S:.0f} s", "is the machine overloaded?")


def _terminate_process(browser: subprocess.Popen[bytes]) -> None:
    browser.terminate()
    try:
        browser.wait(10)
    except subprocess.TimeoutExpired:
        browser.kill()
        browser.wait()
