"""What strangers might send to a server, and what it may do then: answer or refuse, and forget.

Shared by the tests (some two hundred cases of each family) and ``scripts/fuzz.py`` (ten thousand, against a server in
a process of its own). Everything goes over real sockets; cases come from a seed, so a failure can be had again.
"""

from __future__ import annotations

import asyncio
import http.client
import importlib.util
import io
import itertools
import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from PIL import Image
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from livehead.protocol import messages as protocol
from tests.fixtures.heic import encode_heic
from tests.fixtures.studio import Client, Colours

SILENCE_S = 30.0
_BEFORE_ANOTHER = 15  # messages of one connection: fewer than a server bears
_CLOSES = (1000, 1005, 1009, 1012, 4403, 4410)
_SOURCES = 200  # addresses of this machine that requests come from, so that no limit for one address is met


async def _offered() -> str:
    client = Client(Colours(), sound=True)
    offer = await client.offer()
    await client.close()
    return offer


_OFFER = asyncio.run(_offered())
_LINES = _OFFER.splitlines()

_TEXT = st.text(max_size=40)
_NUMBERS = st.integers(-(2**70), 2**70).map(str) | st.sampled_from(["0", "-1", "65535", "65536", "NaN", "1e9", ""])
_WORDS = _TEXT | _NUMBERS | st.sampled_from(["udp", "tcp", "host", "srflx", "typ", "raddr", "candidate:", "sha-256"])
_LINE = st.builds(
    "{}={}".format,
    st.sampled_from(list("vostcbmakrzeipu")) | st.text(max_size=2),
    st.lists(_WORDS, max_size=8).map(" ".join)
    | st.builds(
        "{}:{}".format,
        st.sampled_from(
            [line[2:].partition(":")[0] for line in _LINES if line.startswith("a=")]
            + ["simulcast", "rid", "ssrc-group"]
        ),
        st.lists(_WORDS, max_size=6).map(" ".join),
    ),
)


@st.composite
def offers(draw: st.DrawFn) -> str:
    """A browser's offer with lines changed, cut, doubled, gone or out of order; or lines of no sense at all."""
    if draw(st.integers(0, 9)) == 0:
        return "\r\n".join(draw(st.lists(_LINE | _TEXT, min_size=1, max_size=30)))
    lines = list(_LINES)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(lines) - 1))
        match draw(st.sampled_from(["line", "word", "cut", "gone", "twice", "swapped"])):
            case "line":
                lines[place] = draw(_LINE)
            case "word":
                words = lines[place].split(" ")
                words[draw(st.integers(0, len(words) - 1))] = draw(_WORDS)
                lines[place] = " ".join(words)
            case "cut":
                lines[place] = lines[place][: draw(st.integers(0, len(lines[place])))]
            case "gone":
                lines[place] = ""
            case "twice":
                lines.insert(place, lines[place])
            case "swapped":
                other = draw(st.integers(0, len(lines) - 1))
                lines[place], lines[other] = lines[other], lines[place]
    return "\r\n".join(lines) + "\r\n"


_ADDRESSES = st.one_of(
    st.ip_addresses().map(str),
    st.sampled_from(
        ["0.0.0.0", "255.255.255.255", "127.0.0.1", "::1", "fe80::1%eth0", "a.local", "x" * 70 + ".local", ""]
    ),
    _TEXT,
)
_PORTS = st.integers(-1, 70_000).map(str) | st.sampled_from(["9", "x", ""])


@st.composite
def candidates(draw: st.DrawFn) -> str:
    """A browser's offer whose addresses are of every kind, many or none."""
    lines = [line for line in _LINES if not line.startswith(("a=candidate", "a=end-of-candidates"))]
    made = []
    for _ in range(draw(st.integers(0, 40))):
        words = [
            f"a=candidate:{draw(_WORDS)}",
            draw(st.sampled_from(["1", "2", "256", "x"])),
            draw(st.sampled_from(["udp", "UDP", "tcp", "ssltcp", ""])),
            draw(_NUMBERS),
            draw(_ADDRESSES),
            draw(_PORTS),
            "typ",
            draw(st.sampled_from(["host", "srflx", "prflx", "relay", "other", ""])),
            *draw(st.lists(_WORDS, max_size=4)),
        ]
        made.append(" ".join(words[: draw(st.integers(5, len(words)))]))
    if draw(st.booleans()):
        made.append("a=end-of-candidates")
    place = draw(st.integers(0, len(lines)))
    return "\r\n".join(lines[:place] + made + lines[place:]) + "\r\n"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=5),
    max_leaves=12,
)
_KINDS = st.sampled_from(
    ["hello", "offer", "settings", "calibrate", "freeze", "record", "playout", "bye", "motion", "welcome", "x"]
)
_KEYS = st.sampled_from(
    ["role", "token", "key", "sdp", "driver", "model", "gains", "background", "badge", "on", "mode", "opening", "else"]
)


@st.composite
def messages(draw: st.DrawFn) -> str | bytes:
    """Messages that are nearly right, JSON of any other kind, text, and bytes."""
    match draw(st.integers(0, 9)):
        case 0:
            return draw(st.binary(max_size=200))
        case 1:
            return draw(st.text(max_size=200))
        case 2:
            return json.dumps(draw(_JSON))
        case 3:
            text = json.dumps({"type": draw(_KINDS), **draw(st.dictionaries(_KEYS, _JSON, max_size=3))})
            return text[: draw(st.integers(0, len(text)))]
        case _:
            return json.dumps({"type": draw(_KINDS), **draw(st.dictionaries(_KEYS, _JSON, max_size=4))})


def _photos() -> list[bytes]:
    picture = Image.radial_gradient("L").resize((96, 80)).convert("RGB")
    moving = {"save_all": True, "append_images": [picture.rotate(90 * turns) for turns in (1, 2)]}
    made = []
    for kind, options in (
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("WEBP", {}),
        ("BMP", {}),
        ("GIF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("PPM", {}),
        ("TGA", {}),
        ("JPEG2000", {}),
        ("AVIF", {}),
        ("GIF", moving),
        ("WEBP", moving),
        ("PNG", moving),
    ):
        file = io.BytesIO()
        picture.save(file, kind, **options)
        made.append(file.getvalue())
    if importlib.util.find_spec("pillow_heif"):
        made += [encode_heic(picture), encode_heic(picture, tile_size=64)]
    return made


_PHOTOS = _photos()


@st.composite
def images(draw: st.DrawFn) -> bytes:
    """Photos of twelve formats, some moving: damaged, cut, with wrong lengths; and bytes that are none."""
    data = bytearray(draw(st.sampled_from(_PHOTOS)))
    match draw(st.integers(0, 5)):
        case 0:
            return draw(st.binary(max_size=300))
        case 1:
            return bytes(data[: draw(st.integers(0, len(data)))])
        case 2:
            at = draw(st.integers(0, len(data)))
            return bytes(data[:at]) + draw(st.binary(max_size=60)) + bytes(data[at:])
        case _:
            near = draw(st.booleans())  # where the lengths and sizes are
            for _ in range(draw(st.integers(1, 12))):
                data[draw(st.integers(0, min(len(data), 64) - 1 if near else len(data) - 1))] = draw(
                    st.integers(0, 255)
                )
            return bytes(data)


@dataclass(frozen=True, slots=True)
class Request:
    """One WHIP or WHEP request."""

    method: str
    path: str
    kind: str
    body: bytes


@st.composite
def whip(draw: st.DrawFn) -> Request:
    """Bodies that are nearly offers, or no text; other types, names and methods now and then."""
    body = draw(st.one_of(offers().map(lambda text: text.encode("utf-8", "surrogatepass")), st.binary(max_size=300)))
    plain = draw(st.integers(0, 4)) > 0
    return Request(
        draw(st.sampled_from(["POST"] * 6 + ["DELETE", "PATCH", "GET", "PUT"])),
        "/whip/fuzzed"
        if plain
        else draw(st.sampled_from(["/whip/", "/whep/fuzzed", "/whip/%00", "/whip/a/b", "/whep/no"])),
        "application/sdp" if plain else draw(st.sampled_from(["", "text/plain", "application/sdp; x=y", "a" * 500])),
        body,
    )


FAMILIES: dict[str, Callable[[], st.SearchStrategy[Any]]] = {
    "offers": offers,
    "candidates": candidates,
    "messages": messages,
    "images": images,
    "whip": whip,
}


def for_each(family: str, cases: int, number: int, use: Callable[[Any], object]) -> None:
    """``use`` so many cases of a family, always the same for the same ``number``."""

    @seed(number)
    @settings(
        max_examples=cases,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(FAMILIES[family]())
    def every(case: Any) -> None:
        use(case)

    every()


@dataclass(slots=True)
class Stranger:
    """One who sends whatever there is to the server at ``address`` (``host:port``), and looks at what comes back."""

    address: str
    answers: dict[str, int] = field(default_factory=dict)
    _page: ClientConnection | None = None
    _key: str = ""
    _sent: int = 0
    _sources: Any = field(default_factory=lambda: itertools.cycle(range(1, _SOURCES)))

    def attack(self, family: str, cases: int, number: int) -> None:
        """Send so many cases of a family. Raises: AssertionError at the first thing that may not be."""
        send = {"images": self._upload, "whip": self._ask}.get(
            family, self._say if family == "messages" else self._offer
        )

        for_each(family, cases, number, send)
        self.leave()

    def leave(self) -> None:
        """End the session, if there is one, and the streams."""
        if self._key:
            with suppress(ConnectionClosed):  # it has ended by itself
                self._conversation().send('{"type":"bye"}')
        self._hang_up()

    def _hang_up(self) -> None:
        if self._page is not None:
            self._page.close()
        self._page, self._key = None, ""

    def figures(self) -> dict[str, float]:
        """What the server says of itself."""
        connection = http.client.HTTPConnection(self.address, timeout=SILENCE_S)
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().decode().splitlines()
        connection.close()
        return {line.split()[0]: float(line.split()[1]) for line in lines if not line.startswith("#")}

    def _conversation(self) -> ClientConnection:
        if self._page is None or self._sent >= _BEFORE_ANOTHER:
            if self._page is not None:
                self._page.close()
            url = f"ws://{self.address}/signal"
            self._page = connect(url, max_size=None, ping_interval=None, open_timeout=SILENCE_S)
            self._sent = 0
            self._page.send(json.dumps({"type": "hello", "role": "studio", "key": self._key}))
            welcome = protocol.decode_server_message(str(self._page.recv(timeout=SILENCE_S)))
            assert isinstance(welcome, protocol.WelcomeMessage), welcome
            self._key = welcome.key
        self._sent += 1
        return self._page

    def _offer(self, sdp: str) -> None:
        text = json.dumps({"type": "offer", "sdp": sdp})
        if len(text) > protocol.MAX_MESSAGE_BYTES:
            return
        try:
            page = self._conversation()
            page.send(text)
            while not isinstance(
                self._take(page.recv(timeout=SILENCE_S)), protocol.AnswerMessage | protocol.ProblemMessage
            ):
                pass
        except ConnectionClosed as closed:
            self._closed(closed)

    def _say(self, message: str | bytes) -> None:
        page = self._conversation()
        try:
            page.send(message)
            page.ping().wait(SILENCE_S)
            while True:
                self._take(page.recv(timeout=0))
        except TimeoutError:
            return
        except ConnectionClosed as closed:
            self._closed(closed)

    def _closed(self, closed: ConnectionClosed) -> None:
        """Begin anew, if the server ended it for a reason: a session ends by ``bye``, and when nobody is connected."""
        if closed.rcvd is None:  # what was sent met a socket that was closed just then; the server has to be well
            self.figures()
            self._count("torn")
            self._hang_up()
            return
        slow = "ping timeout" in closed.rcvd.reason  # this process was too busy to answer: not the server's doing
        assert closed.rcvd.code in _CLOSES or slow, closed.rcvd
        self._count(f"closed {closed.rcvd.code}")
        if closed.rcvd.code in (1000, 4410):
            self._key = ""
        self._page = None

    def _take(self, received: str | bytes) -> protocol.ServerMessage:
        told = protocol.decode_server_message(str(received))
        self._count(told.type)
        if isinstance(told, protocol.ProblemMessage):
            _plain(f"{told.problem} {told.remedy}")
        return told

    def _upload(self, data: bytes) -> None:
        request = Request("PUT", "/photo" if len(data) % 3 else "/backdrop", "", data)
        for _ in range(2):
            if not self._key:
                self._conversation()
            if self._ask(request) != 401:
                return
            self._hang_up()  # nobody was connected: the session has ended

    def _ask(self, request: Request) -> int:
        source = next(self._sources)
        connection = http.client.HTTPConnection(
            self.address, timeout=SILENCE_S, source_address=(f"127.0.{1 + source // 100}.{1 + source % 100}", 0)
        )
        try:
            headers = {"Content-Type": request.kind, "Authorization": f"Bearer {self._key}"}
            connection.request(request.method, request.path, request.body, headers)
            answer = connection.getresponse()
            body = answer.read().decode("utf-8", "replace")
            self._count(str(answer.status))
            assert answer.status < 500 or answer.status == 503, (request, answer.status, body)
            _plain(body)
            if answer.status == 201 and request.method == "POST":
                place = answer.getheader("location")
                connection.request("DELETE", str(place))
                assert connection.getresponse().read() == b""
            return answer.status
        finally:
            connection.close()

    def _count(self, answer: str) -> None:
        self.answers[answer] = self.answers.get(answer, 0) + 1


def _plain(text: str) -> None:
    for sign in ("Traceback", 'File "', "site-packages", ".py"):
        assert sign not in text, text


@dataclass(frozen=True, slots=True)
class Held:
    """What a server process holds. ``private_mb``: without the pages of files, which the system takes as it likes."""

    tasks: int
    threads: int
    sessions: int
    files: int
    private_mb: float

    @classmethod
    def of(cls, stranger: Stranger, pid: int | str = "self") -> Held:
        """Now; on Linux."""
        told = stranger.figures()
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        private = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon"))
        return cls(
            int(told["livehead_tasks"]),
            int(told["livehead_threads"]),
            int(told["livehead_sessions"]),
            len(list(Path(f"/proc/{pid}/fd").iterdir())),
            round(private / 1024, 1),
        )


def settled(stranger: Stranger, before: Held, pid: int | str = "self", patience_s: float = 40.0) -> Held:
    """What is held once connections that never came up are given up; as little as ``before``, or what stays."""
    deadline = time.monotonic() + patience_s
    while True:
        held = Held.of(stranger, pid)
        quiet = held.tasks <= before.tasks and held.files <= before.files and not held.sessions
        if quiet or time.monotonic() > deadline:
            return held
        time.sleep(0.5)
