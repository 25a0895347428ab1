"""The browser extension among strangers: Janus' own demo pages call through Janus, with livehead as their camera.

Nothing of the pages is ours (Debian's `janus-demos`); they are served as they are, but for the two variables that their
settings file forgets. `livehead serve` draws the avatar, a real Chromium with plugins/browser has the studio in one tab
and a demo in another. Checks that the device test page lists livehead, that Janus' echo shows its pictures (told by the
time code in each) and lets its sound be heard, that the echo test page, which asks for no device, keeps the real
camera, and that the call comes back after the server was killed. Everything runs in a network of its own, so it needs
root on Linux, `janus`, `janus-demos`, `chromium` and `iproute2`. Prints figures as JSON; exit status 0 when all is
well, 1 when not, 3 when something is missing. Installs nothing. About a minute.

    sudo python scripts/test_extension.py [--model warp] [--seconds 8] [--json FILE] [--pictures DIR]
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from devices.network_namespace import (
    ADDRESS,
    enter_network_namespace,
    make_network,
    run_program,
    wait_for_port,
)
from devices.report import EXIT_CANNOT_RUN, summarize_ages, write_report

from livehead.assembly.synthetic_performer import DRAWN_PORTRAIT
from livehead.bench.camera_to_page import match_latencies
from livehead.bench.harness.chromium import BrowserTab, HeadlessChromium, fake_device_flags, find_chromium
from livehead.bench.webrtc import ServerProcess, run_server, write_time_code_video
from livehead.errors import DeviceError
from livehead.server.access import EXTENSION_ORIGIN

ROOT = Path(__file__).resolve().parents[1]
INSIDE = "LIVEHEAD_TEST_EXTENSION_INSIDE"
DEMOS = Path("/usr/share/janus/demos")
PLUGINS = "audiobridge duktape lua nosip recordplay sip streaming textroom videocall videoroom voicemail"
TRANSPORTS = "mqtt nanomsg pfunix rabbitmq websockets"
JANUS_PORT = 8088
EXTENSION_FOLDER = ROOT / "plugins" / "browser"
TIME_CODE_SCRIPT = (Path(__file__).parent / "devices" / "codes.js").read_text(encoding="utf-8")
MISSING_SETTINGS = "var token = null, apisecret = null;\n"
PAGE_TIMEOUT_S, RECONNECT_TIMEOUT_S = 30.0, 60.0
MIN_FPS = 5  # of a shared machine
LOUD, LONGEST_MS = 0.05, 8000


def missing_requirements() -> str:
    """Why this cannot run here; empty when it can."""
    programs = [name for name in ("janus", "ip", "unshare") if shutil.which(name) is None]
    if find_chromium() is None:
        programs.append("chromium")
    if not (DEMOS / "devicetest.html").is_file():
        programs.append("janus-demos")
    if programs:
        return f"missing: {', '.join(programs)}. On Debian: sudo apt-get install janus janus-demos chromium iproute2"
    return "" if os.geteuid() == 0 else "a network of its own needs root: run it with sudo"


def janus_command(folder: Path) -> list[str]:
    """Janus with its echo test and the HTTP transport, which the demo pages use."""
    configs = folder / "janus"
    configs.mkdir()
    names = {"plugins": PLUGINS, "transports": TRANSPORTS}
    unused = [
        f'{kind}: {{ disable = "{",".join(f"libjanus_{name}.so" for name in listed.split())}" }}'
        for kind, listed in names.items()
    ]
    (configs / "janus.jcfg").write_text("\n".join(["general: { debug_level = 4 }", *unused, ""]))
    (configs / "janus.transport.http.jcfg").write_text(
        f'general: {{ http = true\n port = {JANUS_PORT}\n base_path = "/janus" }}\n'
    )
    return ["janus", "-F", str(configs), "-o", "-i", ADDRESS]


class _DemoPageHandler(SimpleHTTPRequestHandler):
    """The demo pages as they are installed."""

    def do_GET(self) -> None:
        if urlsplit(self.path).path != "/settings.js":
            super().do_GET()
            return
        body = (MISSING_SETTINGS + (DEMOS / "settings.js").read_text(encoding="utf-8")).encode()
        self.send_response(200)
        self.send_header("content-type", "text/javascript")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def serve_demo_pages() -> Iterator[str]:
    """Their address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_DemoPageHandler, directory=str(DEMOS)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://localhost:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def run_livehead_server(model: str, port: int = 0) -> Iterator[ServerProcess]:
    arguments = ("--model", model, "--avatar", str(DRAWN_PORTRAIT), "--extension", "--time-code")
    with run_server(*arguments, port=port) as served:
        yield served


def join_studio(browser: HeadlessChromium, address: str) -> BrowserTab:
    """The studio, in which the person has joined; its camera's time codes are noted."""
    options = browser.open_tab(f"{EXTENSION_ORIGIN}/options/options.html")
    options.evaluate(f"chrome.storage.local.set({{ server: '{address.rstrip('/')}' }})")
    studio = browser.open_tab(address)
    studio.evaluate("document.getElementById('join').click()")
    studio.wait_until("document.getElementById('avatar').videoWidth", PAGE_TIMEOUT_S)
    studio.evaluate(TIME_CODE_SCRIPT)
    record_time_codes(studio, "#self", "camera")
    return studio


def select_option(tab: BrowserTab, select: str, label: str) -> None:
    """What a person does in a list."""
    tab.evaluate(f"""(() => {{
        const list = document.getElementById('{select}');
        list.value = [...list.options].find((option) => option.text === '{label}').value;
        list.dispatchEvent(new Event('change'));
    }})()""")


def start_device_call(browser: HeadlessChromium, demos: str) -> tuple[BrowserTab, list[str]]:
    """The device test page in a call with livehead as camera and microphone, and the cameras that it listed."""
    tab = browser.open_tab(f"{demos}/devicetest.html")
    tab.wait_until("window.$ && !$('#start').attr('disabled') && typeof Janus !== 'undefined'", PAGE_TIMEOUT_S)
    time.sleep(1)  # its own handlers are set when its library has looked round
    tab.evaluate("$('#start').click()")
    cameras: list[str] = tab.wait_until(
        "(() => { const all = [...document.querySelectorAll('#video-device option')].map((each) => each.text);"
        " return all.length && all; })()",
        PAGE_TIMEOUT_S,
    )
    select_option(tab, "video-device", "livehead")
    select_option(tab, "audio-device", "livehead microphone")
    tab.evaluate("$('#change-devices').click()")
    tab.wait_until("document.querySelector('#videoright video')?.videoWidth", PAGE_TIMEOUT_S)
    tab.resize(1280, 1000)
    tab.evaluate(TIME_CODE_SCRIPT)
    record_time_codes(tab, "#videoright video", "echo")
    return tab, cameras


def record_time_codes(tab: BrowserTab, video: str, name: str) -> None:
    """Note the codes of the pictures that ``video`` (a selector) gets."""
    track = f"document.querySelector('{video}').srcObject.getVideoTracks()[0]"
    tab.evaluate(f"void liveheadWatch({track}, '{name}')")


def measure_echo_level(tab: BrowserTab) -> float:
    """The loudest sample of what Janus sends back, until it is loud enough."""
    return float(
        tab.evaluate(
            f"const [LOUD, LONGEST_MS] = [{LOUD}, {LONGEST_MS}];"
            """(async () => {
        const sound = [...document.querySelectorAll('#videoright audio, #videoright video')]
            .map((each) => each.srcObject).find((stream) => stream?.getAudioTracks().length);
        if (!sound) return 0;
        const audio = new AudioContext();
        await audio.resume();
        const meter = audio.createAnalyser();
        audio.createMediaStreamSource(new MediaStream(sound.getAudioTracks())).connect(meter);
        const samples = new Float32Array(meter.fftSize);
        let loudest = 0;
        for (const end = performance.now() + LONGEST_MS; performance.now() < end && loudest <= LOUD; ) {
            await new Promise((resolve) => setTimeout(resolve, 20));
            meter.getFloatTimeDomainData(samples);
            for (const sample of samples) loudest = Math.max(loudest, Math.abs(sample));
        }
        return loudest;
    })()"""
        )
    )


def summarize_echo(seen: Sequence[dict[str, Any]], camera: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Figures of the echo's pictures; ``age_ms`` from the studio's camera to the echo, through livehead and Janus."""
    coded = [each for each in seen if each["number"] >= 0]
    figures: dict[str, Any] = {
        "pictures": len(seen),
        "with_code": len(coded),
        "sizes": sorted({each["size"] for each in seen}),
    }
    if len(coded) > 1:
        span_s = (coded[-1]["at"] - coded[0]["at"]) / 1000
        figures["fps"] = round((len(coded) - 1) / span_s, 1)
        captured, shown = (
            [(each["at"], each["number"]) for each in part if each["number"] >= 0] for part in (camera, seen)
        )
        ages = match_latencies(captured, shown)
        if ages:
            figures["age_ms"] = summarize_ages(ages)
    return figures


def find_default_camera(browser: HeadlessChromium, demos: str) -> str:
    """Which camera the echo test page has, which asks for none in particular."""
    tab = browser.open_tab(f"{demos}/echotest.html")
    tab.wait_until("window.$ && !$('#start').attr('disabled') && typeof Janus !== 'undefined'", PAGE_TIMEOUT_S)
    time.sleep(1)
    tab.evaluate("$('#start').click()")
    tab.wait_until("document.querySelector('#videoleft video')?.videoWidth", PAGE_TIMEOUT_S)
    label = tab.evaluate("document.querySelector('#videoleft video').srcObject.getVideoTracks()[0].label")
    tab.call("Page.close")
    return Path(str(label)).name


def measure_extension(model: str, seconds: float, pictures: Path | None) -> dict[str, Any]:
    """The figures."""
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="livehead-extension-") as name, ExitStack() as stack:
        folder = Path(name)
        camera = folder / "camera.mjpeg"
        write_time_code_video(camera)
        stack.enter_context(run_program(janus_command(folder), folder))
        wait_for_port(JANUS_PORT)
        demos = stack.enter_context(serve_demo_pages())
        server = stack.enter_context(ExitStack())
        served = server.enter_context(run_livehead_server(model))
        browser = stack.enter_context(HeadlessChromium(fake_device_flags(camera), extension=EXTENSION_FOLDER))
        studio = join_studio(browser, served.url)
        tab, figures["cameras"] = start_device_call(browser, demos)
        time.sleep(seconds)
        seen = tab.evaluate("liveheadSeen.echo")
        figures["echo"] = summarize_echo(seen, studio.evaluate("liveheadSeen.camera"))
        figures["echo_level"] = round(measure_echo_level(tab), 3)
        _save_screenshot(tab, pictures, "echo.png")
        figures["default_camera"] = find_default_camera(browser, demos)

        server.close()
        count = tab.evaluate("liveheadSeen.echo.length")
        time.sleep(3)
        figures["pictures_while_gone"] = tab.evaluate("liveheadSeen.echo.length") - count
        server.enter_context(run_livehead_server(model, urlsplit(served.url).port or 0))
        back = time.monotonic()
        came = f"liveheadSeen.echo.slice({count + figures['pictures_while_gone']}).filter((each) => each.number >= 0)"
        tab.wait_until(f"{came}.length > 10", RECONNECT_TIMEOUT_S)
        figures["ten_pictures_after_restart_s"] = round(time.monotonic() - back, 1)
        _save_screenshot(tab, pictures, "echo_after_restart.png")
    figures["passed"] = is_passed(figures)
    return figures


def _save_screenshot(tab: BrowserTab, folder: Path | None, name: str) -> None:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(tab.take_screenshot())


def is_passed(figures: dict[str, Any]) -> bool:
    """Whether all is well."""
    echo = figures["echo"]
    return bool(
        figures["cameras"][-1] == "livehead"
        and "camera.mjpeg" in figures["cameras"][0]
        and figures["default_camera"] == "camera.mjpeg"
        and echo["with_code"] >= 0.9 * echo["pictures"]
        and echo.get("fps", 0) >= MIN_FPS
        and "age_ms" in echo
        and figures["echo_level"] > LOUD
        and figures["pictures_while_gone"] <= MIN_FPS
    )


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="warp", help="the renderer")
    parser.add_argument("--seconds", type=float, default=8.0, help="how long the echo is looked at")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="keep pictures of the page here")
    return parser.parse_args()


def main() -> int:
    chosen = parse_options()
    reason = missing_requirements()
    if reason:
        print(reason)
        return EXIT_CANNOT_RUN
    enter_network_namespace(INSIDE)
    begun = time.monotonic()
    make_network()
    try:
        results = measure_extension(chosen.model, chosen.seconds, chosen.pictures)
    except DeviceError as error:
        print(error, file=sys.stderr)
        return 1
    results["wall_s"] = round(time.monotonic() - begun, 1)
    report = {"command": "scripts/test_extension.py", "settings": {"model": chosen.model}}
    write_report({**report, "results": results}, chosen.json)
    return 0 if results["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
