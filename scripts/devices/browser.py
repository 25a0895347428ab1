"""Let an unmodified Chromium look at a camera, and return what its page saw.

The page is served from localhost, where a browser allows cameras, and posts its report back: nothing drives the
browser, nothing is injected and no fake device is used. Standard library only.
"""

from __future__ import annotations

import json
import queue
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

_PAGE = Path(__file__).with_name("camera_page.html")
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--mute-audio",
    "--use-fake-ui-for-media-stream",  # answers the permission question; the devices stay real
)


class BrowserError(Exception):
    """There is no browser, it ended, or its page reported no frames in time."""


def find_chromium() -> str | None:
    """Path of a Chromium or Chrome, or None."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def watch_camera(
    label: str,
    size: tuple[int, int],
    fps: int,
    seconds: float,
    timeout_s: float,
    *,
    min_frames: int = 1,
    flags: Sequence[str] = (),
) -> dict[str, Any]:
    """What a page sees of the camera named ``label`` in ``seconds`` and at least ``least`` frames.

    Its report's ``numbers`` are those of ``barcode.read``, ``times`` their arrival in Unix milliseconds.

    Raises: BrowserError.
    """
    chromium = find_chromium()
    if chromium is None:
        raise BrowserError("no Chromium on this machine")
    reports: queue.Queue[dict[str, Any]] = queue.Queue()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _make_handler(reports))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    query = urlencode(
        {"label": label, "width": size[0], "height": size[1], "fps": fps, "seconds": seconds, "least": min_frames}
    )
    url = f"http://localhost:{server.server_port}/?{query}"
    with tempfile.TemporaryDirectory(prefix="livehead-chromium-", ignore_cleanup_errors=True) as profile:
        log = Path(profile, "chromium.log")
        with log.open("wb") as log_file:
            command = [chromium, *_FLAGS, "--enable-logging=stderr", *flags, f"--user-data-dir={profile}", url]
            browser = subprocess.Popen(command, stdout=log_file, stderr=subprocess.STDOUT)
        try:
            return _wait_for_report(reports, browser, log, timeout_s)
        finally:
            browser.terminate()
            try:
                browser.wait(10)
            except subprocess.TimeoutExpired:
                browser.kill()
                browser.wait()
            server.shutdown()
            server.server_close()


def _wait_for_report(
    reports: queue.Queue[dict[str, Any]], browser: subprocess.Popen[bytes], log: Path, timeout_s: float
) -> dict[str, Any]:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            report = reports.get(timeout=0.5)
        except queue.Empty:
            if browser.poll() is not None:
                raise BrowserError(f"Chromium ended with {browser.returncode}: {_read_log_tail(log)}") from None
            continue
        if "error" in report:
            raise BrowserError(f"the page failed: {report['error']}")
        return report
    raise BrowserError(f"no report from the page in {timeout_s:.0f} s: {_read_log_tail(log)}")


def _read_log_tail(log: Path) -> str:
    return " | ".join(log.read_text(errors="replace").splitlines()[-6:])


def _make_handler(reports: queue.Queue[dict[str, Any]]) -> type[BaseHTTPRequestHandler]:
    class ReportHandler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = _PAGE.read_bytes() if self.path.startswith("/?") else b""
            self.send_response(200 if body else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            reports.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Quiet: the report is all that matters."""

    return ReportHandler
