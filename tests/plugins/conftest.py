"""A studio whose avatar is the camera's negative, a browser with the extension, pages under other people's names."""

import datetime
import ssl
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from livehead.assembly.avatar_runtime import AvatarRuntime, AvatarSettings
from livehead.bench.harness.camera_files import write_mjpeg
from livehead.bench.harness.chromium import BrowserTab, HeadlessChromium, fake_device_flags
from livehead.frames import Image
from livehead.server.access import EXTENSION_ORIGIN, AccessPolicy
from tests.fixtures.studio import SIZE, MirrorAvatar, MirrorAvatarFactory, serving

PLUGINS = Path(__file__).parents[2] / "plugins"
sys.path.insert(0, str(PLUGINS / "obs"))  # no part of the package: as when they are run
EXTENSION_FOLDER = PLUGINS / "browser"
OPTIONS = f"{EXTENSION_ORIGIN}/options/options.html"
CAMERA_COLOUR = (200, 60, 20)
AVATAR_COLOUR = (55, 195, 235)
CARD_COLOUR = (20, 24, 22)
STRICT, PLAIN = "meet.google.com", "call.example"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; worker-src 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
WAIT_S = 20.0
_STANDIN = Path(__file__).with_name("standin")
_KINDS = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}


class Negative(MirrorAvatar):
    """Shows the camera's picture with all colours turned round, so that nobody takes it for the camera itself."""

    def draw(self, motion: object, moment_ns: int) -> Image:
        return 255 - super().draw(motion, moment_ns)  # type: ignore[arg-type]


class NegativeAvatarFactory(MirrorAvatarFactory):
    def create_runtime(self, settings: AvatarSettings, previous: AvatarRuntime | None) -> AvatarRuntime:
        return Negative(settings, SIZE)


@contextmanager
def studio_server(port: int = 0) -> Iterator[str]:
    """``livehead serve --extension``, but for the renderer: ``host:port``."""
    with serving(AccessPolicy(viewer_origins=frozenset({EXTENSION_ORIGIN})), port, NegativeAvatarFactory()) as address:
        yield address


class _Site(BaseHTTPRequestHandler):
    """The stand-in's files; ``STRICT`` sends them with a conferencing site's policy."""

    def do_GET(self) -> None:
        path = _STANDIN / (self.path.strip("/") or "index.html")
        if path.parent != _STANDIN or not path.is_file():
            self.send_error(404)
            return
        body = path.read_bytes()
        self.send_response(200)
        self.send_header("content-type", _KINDS[path.suffix])
        self.send_header("content-length", str(len(body)))
        if self.headers["host"] == STRICT:
            self.send_header("content-security-policy", POLICY)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


def _certificate(folder: Path) -> Path:
    """A self-signed certificate and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, STRICT)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "site.pem"
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Port of the stand-in pages, by https."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_certificate(tmp_path_factory.mktemp("site")))
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Site)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="session")
def camera_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the fake camera plays: a left half in ``CAMERA_COLOUR``, and a right half that moves."""
    pictures = np.full((30, 240, 320, 3), CAMERA_COLOUR, np.uint8)
    for number, picture in enumerate(pictures):
        picture[8 * number : 8 * number + 8, 160:] = 255
    path = tmp_path_factory.mktemp("camera") / "colours.mjpeg"
    write_mjpeg(pictures, path)
    return path


def browser_flags(site: int, camera_file: Path, *, allowed: bool = True) -> list[str]:
    """For pages that a public server would have sent, under names that are not ours."""
    hosts = ", ".join(f"MAP {host} 127.0.0.1:{site}" for host in (STRICT, PLAIN))
    return [
        *fake_device_flags(camera_file, allowed=allowed),
        f"--host-resolver-rules={hosts}",
        f"--ip-address-space-overrides=127.0.0.1:{site}=public",
        "--ignore-certificate-errors",
    ]


def point_at(browser: HeadlessChromium, address: str) -> BrowserTab:
    """The options page, once the extension looks for the server at ``address``."""
    options = browser.open_tab(OPTIONS)
    options.evaluate(f"chrome.storage.local.set({{ server: 'http://{address}' }})")
    return options


def join(browser: HeadlessChromium, address: str) -> BrowserTab:
    """A studio that has joined."""
    studio = browser.open_tab(f"http://{address}/")
    studio.evaluate("document.getElementById('join').click()")
    studio.wait_until("document.getElementById('connection').textContent === 'connected'", WAIT_S)
    return studio


def until_shown(tab: BrowserTab, video: str, colour: tuple[int, int, int]) -> None:
    """Until the left half of a page's video is about ``colour``."""
    near = f"call.colour('{video}')?.every((value, at) => Math.abs(value - {list(colour)}[at]) < 30)"
    tab.wait_until(near, WAIT_S)
