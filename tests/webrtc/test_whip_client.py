"""The HTTP half of WHIP: where the token goes, what a server's answer means."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from livehead.errors import ConfigError, RejectedError, SinkError
from livehead.webrtc.whip_client import WhipClient

ANSWER = b"v=0\r\n"


class Server(ThreadingHTTPServer):
    """Answers each request with ``status`` and ``headers``, and keeps what it was asked."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, str, str]] = []
        self.status, self.headers, self.body = status, headers, body
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        self.rfile.read(int(self.headers.get("content-length") or 0))
        server.asked.append((self.command, self.path, self.headers.get("authorization", "")))
        self.send_response(server.status)
        for name, value in server.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(server.body)

    do_DELETE = do_POST  # noqa: N815 - the names that http.server looks for

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def answering(status: int = 201, body: bytes = ANSWER, **headers: str) -> Iterator[Server]:
    server = Server(status, headers, body)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def test_an_offer_is_posted_with_the_token_and_the_place_is_deleted_with_it() -> None:
    with answering(location="../place/7") as server:
        endpoint = WhipClient(f"{server.url}/whip/talk", "secret")
        answer = await endpoint.publish("v=0")
        assert answer.sdp == ANSWER.decode()
        assert await endpoint.delete_session(answer.session_url)
        assert server.asked == [("POST", "/whip/talk", "Bearer secret"), ("DELETE", "/place/7", "Bearer secret")]


async def test_without_a_token_none_is_sent() -> None:
    with answering() as server:
        assert (await WhipClient(server.url + "/x").publish("v=0")).session_url == ""
        assert server.asked == [("POST", "/x", "")]


async def test_a_redirect_is_followed_and_another_server_does_not_get_the_token_in_clear() -> None:
    with answering(location="/place") as other, answering(307, location=f"{other.url}/there") as server:
        answer = await WhipClient(server.url + "/x", "secret").publish("v=0")
        assert answer.session_url == f"{other.url}/place"
        assert server.asked == [("POST", "/x", "Bearer secret")]
        assert other.asked == [("POST", "/there", "")]


async def test_redirects_without_end_are_told() -> None:
    with answering(308, location="/again") as server, pytest.raises(SinkError, match="on and on"):
        await WhipClient(server.url).publish("v=0")


@pytest.mark.parametrize("where", ["file:///etc/passwd", "ftp://127.0.0.1/", ""])
async def test_a_redirect_to_what_is_no_web_address_is_not_followed(where: str) -> None:
    with answering(307, location=where) as server:
        with pytest.raises(SinkError):
            await WhipClient(server.url).publish("v=0")
        assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("status", "token", "told", "kind"),
    [
        (401, "", "wants a token", RejectedError),
        (401, "old", "refuses the token", RejectedError),
        (403, "old", "another publisher", SinkError),
        (404, "", "no such stream", SinkError),
        (405, "", "no WHIP endpoint", RejectedError),
        (406, "", "H.264 or VP8", RejectedError),
        (409, "", "another publisher", SinkError),
        (503, "", "try again later", SinkError),
    ],
)
async def test_each_refusal_has_its_remedy(status: int, token: str, told: str, kind: type[SinkError]) -> None:
    with answering(status) as server, pytest.raises(SinkError, match=told) as caught:
        await WhipClient(server.url + "/path-secret", token).publish("v=0")
    assert type(caught.value) is kind
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("body", [b"<html>welcome</html>", b"", b"v=0" + b"x" * (1 << 18)])
async def test_what_answers_but_not_as_whip_is_told(body: bytes) -> None:
    with answering(200, body) as server, pytest.raises(RejectedError, match="no WHIP endpoint"):
        await WhipClient(server.url).publish("v=0")


async def test_an_end_that_nobody_hears_is_no_error() -> None:
    with answering() as server:
        endpoint, place = WhipClient(server.url), f"{server.url}/place"
    assert not await endpoint.delete_session(place)


@pytest.mark.parametrize("url", ["", "sfu.example/x", "ftp://sfu.example", "https://", "http://a b/", "https://[x"])
def test_what_is_no_web_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="whip:https://HOST/PATH"):
        WhipClient(url)


def test_a_password_in_the_address_and_a_broken_token_are_refused_unseen() -> None:
    for url, token in (("https://me:secret@sfu.example/x", ""), ("https://sfu.example/x", "secret\nsecret")):
        with pytest.raises(ConfigError, match="LIVEHEAD_WHIP_TOKEN") as caught:
            WhipClient(url, token)
        assert "secret" not in str(caught.value)


def test_a_token_in_clear_is_noticed() -> None:
    assert WhipClient("http://sfu.example/x", "secret").sends_token_in_clear
    assert not WhipClient("http://sfu.example/x").sends_token_in_clear
    assert not WhipClient("https://sfu.example/x", "secret").sends_token_in_clear
    assert not WhipClient("http://localhost:8000/x", "secret").sends_token_in_clear
