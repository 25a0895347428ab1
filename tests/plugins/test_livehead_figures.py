"""What the script inside OBS tells of the picture, and of the server, without OBS."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from livehead_figures import PictureArrivals, ServerMetrics, ServerMonitor, describe_server, describe_source

from tests.fixtures.studio import sessions
from tests.server.test_session_manager import until

METRICS = """# HELP livehead_sessions Sessions that run.
# TYPE livehead_sessions gauge
livehead_sessions {sessions}
livehead_viewers 1
livehead_frames_sent {frames}
livehead_bits_per_second 2500000
livehead_stage_milliseconds_bucket{{stage="encode",le="5"}} 12
livehead_broken x
"""


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def seen(arrivals: PictureArrivals, clock: Clock, fps: float, seconds: float) -> None:
    """OBS looks sixty times a second at a picture that changes ``fps`` times."""
    for tick in range(round(seconds * 60)):
        arrivals.record(int(tick / 60 * fps))
        clock.now += 1 / 60


@pytest.mark.parametrize("fps", [10, 25, 30])
def test_new_pictures_are_counted_not_looks(fps: float) -> None:
    clock = Clock()
    arrivals = PictureArrivals(clock)
    seen(arrivals, clock, fps, 5)
    assert arrivals.fps == pytest.approx(fps, rel=0.06)
    assert describe_source(True, arrivals, (640, 360), False) == f"640x360, {arrivals.fps:.0f} fps"


def test_a_picture_that_stands_still_grows_old() -> None:
    clock = Clock()
    arrivals = PictureArrivals(clock)
    seen(arrivals, clock, 30, 3)
    for _ in range(180):
        arrivals.record(89)
        clock.now += 1 / 60
    assert arrivals.fps == 0
    assert describe_source(True, arrivals, (640, 360), False) == "640x360, 0 fps, last picture 3.0 s ago"


def test_no_stream_and_no_source_are_told_apart() -> None:
    arrivals = PictureArrivals(Clock())
    assert describe_source(False, arrivals, (0, 0), False).startswith("there is no source")
    assert describe_source(True, arrivals, (0, 0), False).startswith("no stream")
    arrivals.record(1)
    arrivals.record(None)
    assert describe_source(True, arrivals, (0, 0), False).startswith("no stream"), "what ended counts no more"


def test_with_sound_no_rate_of_pictures_is_claimed() -> None:
    clock = Clock()
    arrivals = PictureArrivals(clock)
    seen(arrivals, clock, 47, 3)
    assert describe_source(True, arrivals, (640, 360), True) == "640x360, with sound"


def test_the_servers_rate_is_between_two_answers() -> None:
    before, after = (
        ServerMetrics.parse(METRICS.format(sessions=1, frames=f), at) for f, at in ((100, 10.0), (148, 12.0))
    )
    assert describe_server(after, before) == "the server sends 24 fps, 2.5 Mbit/s, 1 viewer"
    assert describe_server(after, None).startswith("the server sends 0 fps")
    assert after.fps(ServerMetrics.parse(METRICS.format(sessions=1, frames=900), 11.0)) == 0, "a server that began anew"
    assert describe_server(ServerMetrics.parse("", 0.0), None) == "the server runs, nobody has joined"


@contextmanager
def answering(status: int = 200, seconds: float = 0.0) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(seconds)
            wanted = self.headers.get("Authorization") == "Bearer secret"
            self.send_response(status if wanted else 401)
            self.end_headers()
            self.wfile.write(METRICS.format(sessions=2, frames=7).encode())

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
    thread.join(5)


def line_of(url: str, token: str, told: str) -> str:
    """The line that a watch comes to, once it has ``told`` in it."""
    watch = ServerMonitor(url, token, every_s=0.02)
    deadline = time.monotonic() + 10
    while told not in watch.line and time.monotonic() < deadline:
        time.sleep(0.01)
    watch.close()
    return watch.line


def test_the_server_is_asked_with_its_token() -> None:
    with answering() as url:
        assert line_of(url, "secret", "sends") == "the server sends 0 fps, 2.5 Mbit/s, 1 viewer"
        assert line_of(url, "", "token") == "the server wants its token"
    with answering(503) as url:
        assert line_of(url, "secret", "503") == "the server answers 503"


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "no address", "ftp://127.0.0.1", "http://[::1"])
def test_a_server_that_is_not_there_is_told_and_nothing_more(url: str) -> None:
    assert line_of(url, "", "does not answer") == "the server does not answer"


def test_a_server_that_hangs_holds_nothing_up() -> None:
    with answering(seconds=1.0) as url:
        began = time.monotonic()
        watch = ServerMonitor(url, "secret")
        assert watch.line.endswith("not asked yet")
        assert time.monotonic() - began < 0.5
        watch.close()


@contextmanager
def raw_answer(*parts: bytes, pause_s: float = 0.0) -> Iterator[tuple[str, list[bytes]]]:
    """Give the address of a server that sends ``parts``, the last one again and again, and a list of what it got."""
    got: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection, suppress(OSError):
                    got.append(connection.recv(65536))
                    for part in parts:
                        connection.sendall(part)
                    while pause_s:
                        time.sleep(pause_s)
                        connection.sendall(parts[-1])

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", got


def test_the_token_follows_no_redirect() -> None:
    with raw_answer(b"HTTP/1.1 200 OK\r\n\r\n") as (other, got_there):
        away = f"HTTP/1.1 302 Found\r\nLocation: {other}/metrics\r\nContent-Length: 0\r\n\r\n".encode()
        with raw_answer(away) as (url, got):
            assert "another address" in line_of(url, "secret", "another address")
            assert b"Bearer secret" in got[0]
        assert got_there == []


def test_no_proxy_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with raw_answer(b"HTTP/1.1 200 OK\r\n\r\n") as (proxy, got_there), answering() as url:
        monkeypatch.setenv("http_proxy", proxy)
        assert "sends" in line_of(url, "secret", "sends")
        assert got_there == []


def test_a_token_goes_to_no_other_machine_in_the_clear() -> None:
    assert "https://" in line_of("http://192.0.2.1:8000", "secret", "in the clear")


def test_a_server_that_drips_is_given_up_after_two_seconds() -> None:
    with raw_answer(b"HTTP/1.1 200 OK\r\nX: ", b"a", pause_s=0.1) as (url, _):
        began = time.monotonic()
        assert line_of(url, "secret", "does not answer") == "the server does not answer"
        assert time.monotonic() - began < 4


def test_closing_waits_for_no_server() -> None:
    with raw_answer(b"HTTP/1.1 200 OK\r\nX: ", b"a", pause_s=0.1) as (url, got):
        watch = ServerMonitor(url, "secret")
        while not got:
            time.sleep(0.01)
        began = time.monotonic()
        watch.close()
        assert time.monotonic() - began < 0.5


async def test_the_figures_of_a_server_that_runs_are_read() -> None:
    async with sessions() as running:
        session = await running.open_session()
        session.broadcast.add_video_track("H264")
        await until(lambda: session.stats.read_counters().get("encoded", 0) > 3)
        served = ServerMetrics.parse(running.metrics.render(list(running)).decode(), 0.0)
    assert served.sessions == 1
    assert served.frames > 3
    assert served.bitrate > 0
