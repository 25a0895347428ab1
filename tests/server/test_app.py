"""The server over real sockets: pages, headers, keys, uploads, and what must not get through."""

import http.client
import io
import json
import logging
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from PIL import Image
from starlette.responses import PlainTextResponse
from starlette.types import Message
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from livehead.server.access import AccessPolicy
from livehead.server.connection_table import ConnectionTimeouts
from livehead.server.event_log import RejectionLog
from livehead.server.security_middleware import SECURITY_HEADERS, SecurityMiddleware
from tests.fixtures.studio import TOKEN, serving


def ask(
    address: str, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(address, timeout=20)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


@contextmanager
def studio(address: str, token: str = "", key: str = "") -> Iterator[tuple[ClientConnection, dict[str, object]]]:
    with connect(f"ws://{address}/signal") as page:
        page.send(json.dumps({"type": "hello", "role": "studio", "token": token, "key": key}))
        yield page, json.loads(page.recv(timeout=10))


def until(page: ClientConnection, kind: str) -> dict[str, object]:
    while True:
        message = json.loads(page.recv(timeout=10))
        if message["type"] == kind:
            return message


def drain(page: ClientConnection) -> None:
    """Read until the server has ended the conversation."""
    while True:
        page.recv(timeout=10)


def photo(brightness: int = 200) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (80, 80), (brightness,) * 3).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("path", ["/", "/watch", "/static/studio.js", "/static/studio.css", "/static/link.js"])
def test_pages_come_with_strict_headers(server: str, path: str) -> None:
    status, headers, body = ask(server, "GET", path)
    assert status == 200
    assert body
    for name, value in SECURITY_HEADERS.items():
        assert headers[name] == value
    assert "unsafe" not in headers["content-security-policy"]


@pytest.mark.parametrize(("scheme", "told"), [("https", True), ("http", False)])
async def test_browsers_keep_to_https_where_it_was_used(scheme: str, told: bool) -> None:
    sent: list[Message] = []

    async def keep(message: Message) -> None:
        sent.append(message)

    async def no_body() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    app = SecurityMiddleware(PlainTextResponse("well"), AccessPolicy(""), RejectionLog())
    scope = {"type": "http", "scheme": scheme, "path": "/", "headers": [(b"host", b"localhost")], "client": None}
    await app(scope, no_body, keep)
    names = dict(sent[0]["headers"])
    assert (b"strict-transport-security" in names) is told


def test_pages_ask_no_other_host() -> None:
    from importlib import resources

    for entry in (resources.files("livehead.server") / "static").iterdir():
        text = entry.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text
        assert "https://" not in text


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static//etc/passwd",
        "/..%2fapp.py",
        "/recording/../../etc/passwd",
    ],
)
def test_no_path_reaches_a_file(server: str, path: str) -> None:
    status, _, body = ask(server, "GET", path)
    assert status == 404
    assert b"import" not in body


def test_pages_of_other_sites_and_other_names_of_this_machine_get_nothing(server: str) -> None:
    assert ask(server, "GET", "/", Origin="http://evil.example")[0] == 403
    assert ask(server, "GET", "/", Host="evil.example")[0] == 403
    with pytest.raises(InvalidStatus) as refusal:
        connect(f"ws://{server}/signal", origin="http://evil.example").close()
    assert refusal.value.response.status_code == 403


def test_a_studio_is_welcomed_and_told_how_it_stands(server: str) -> None:
    with studio(server) as (page, welcome):
        assert welcome["type"] == "welcome"
        assert welcome["consent"] == "Ask first."
        assert welcome["key"] != welcome["viewer_key"]
        assert until(page, "state")["avatar"] == "first"
        assert until(page, "figures")["receivers"] == 0


def test_what_is_not_understood_is_answered_and_the_conversation_goes_on(server: str) -> None:
    with studio(server) as (page, _):
        page.send("nonsense")
        assert "JSON" in until(page, "problem")["problem"]
        page.send('{"type":"settings","driver":"puppet"}')
        assert "face" in until(page, "problem")["remedy"]
        page.send('{"type":"offer","sdp":"v=0"}')
        assert until(page, "problem")["fatal"] is False
        page.send('{"type":"playout","sound_later_ms":-5}')
        assert "sound_later_ms" in until(page, "problem")["problem"]
        page.send('{"type":"playout","sound_later_ms":55.5}')
        page.send('{"type":"freeze","on":true}')
        while not until(page, "state")["frozen"]:
            pass


def test_the_panic_key_does_not_wait_for_a_new_avatar() -> None:
    with serving(seconds=2.0) as server, studio(server) as (page, _):
        page.send('{"type":"settings","background":"blur"}')
        page.send('{"type":"freeze","on":true}')
        while not (state := until(page, "state"))["frozen"]:
            pass
        assert state["busy"]
        while (state := until(page, "state"))["busy"]:
            pass
        assert state["chosen"]["background"] == "blur"
        assert state["frozen"]


def test_a_message_that_is_too_big_ends_that_conversation_only(server: str) -> None:
    with studio(server) as (page, _):
        page.send("x" * 200_000)
        with pytest.raises(ConnectionClosed):
            drain(page)
    assert ask(server, "GET", "/health")[0] == 200


def test_a_page_that_sends_without_end_is_slowed_down_and_then_left(server: str) -> None:
    with studio(server) as (page, _):
        with suppress(ConnectionClosed):
            for _ in range(400):
                page.send('{"type":"calibrate"}')
        with pytest.raises(ConnectionClosed):
            drain(page)


def test_a_photo_changes_the_avatar_and_one_without_a_face_gets_a_sentence(server: str) -> None:
    with studio(server) as (page, welcome):
        bearer = f"Bearer {welcome['key']}"
        assert ask(server, "PUT", "/photo", photo(), Authorization=bearer)[0] == 200
        while until(page, "state")["avatar"] != "second":
            pass
        status, _, body = ask(server, "PUT", "/photo", photo(0), Authorization=bearer)
        assert status == 422
        assert json.loads(body) == {"problem": "No face was found in your photo", "remedy": "use another one"}
        assert ask(server, "PUT", "/photo", b"no photo", Authorization=bearer)[0] == 422
        assert ask(server, "PUT", "/backdrop", photo(), Authorization=bearer)[0] == 200
        while until(page, "state")["chosen"]["background"] != "image":
            pass


def test_the_face_of_a_photo_is_named_by_the_query_or_a_message_and_nothing_else_is_taken(server: str) -> None:
    with studio(server) as (page, welcome):
        bearer = f"Bearer {welcome['key']}"
        for face in ("0", "101", "middle", "1.5", "-1", "1" * 5000):
            status, _, body = ask(server, "PUT", f"/photo?face={face}", photo(), Authorization=bearer)
            assert (status, "give largest, left, right or a number" in str(body)) == (422, True)
        page.send('{"type":"settings","face":1}')
        assert until(page, "problem")["problem"] == "there is no photo of this page's to choose a face from"
        page.send('{"type":"settings","face":0}')
        assert until(page, "problem")["problem"] == "a message is wrong at settings.face"
        status, _, body = ask(server, "PUT", "/photo?face=right", photo(), Authorization=bearer)
        assert (status, json.loads(body)) == (200, {"avatar": "second", "hints": [], "faces": [], "face": 1})


def test_a_page_gets_a_picture_of_its_own_photo_and_of_no_other(server: str) -> None:
    with studio(server) as (_, welcome):
        bearer = f"Bearer {welcome['key']}"
        assert ask(server, "GET", "/photo", Authorization=bearer)[0] == 404, "the server's own photo stays with it"
        assert ask(server, "PUT", "/photo", photo(), Authorization=bearer)[0] == 200
        status, headers, body = ask(server, "GET", "/photo", Authorization=bearer)
        assert (status, headers["content-type"]) == (200, "image/jpeg")
        assert Image.open(io.BytesIO(body)).size == (64, 64)
        for key in ("", "x" * 32, str(welcome["viewer_key"])):
            assert ask(server, "GET", "/photo", Authorization=f"Bearer {key}")[0] == 401


def test_uploads_end_at_ten_megabytes_whatever_they_say_of_their_length(server: str) -> None:
    with studio(server) as (_, welcome):
        bearer = f"Bearer {welcome['key']}"
        assert ask(server, "PUT", "/photo", b"", Authorization=bearer, Content_Length="10000001")[0] == 413
        connection = http.client.HTTPConnection(server, timeout=20)
        endless = (b"x" * 100_000 for _ in range(120))
        try:
            connection.request("PUT", "/photo", endless, {"Authorization": bearer}, encode_chunked=True)
            assert connection.getresponse().status == 413
        except (BrokenPipeError, ConnectionResetError):
            pass  # the server hung up in the middle, which is as good
        finally:
            connection.close()


def test_uploads_and_recordings_need_the_session_s_key(server: str) -> None:
    with studio(server) as (_, welcome):
        for key in ("", "x" * 32, str(welcome["viewer_key"])):
            assert ask(server, "PUT", "/photo", photo(), Authorization=f"Bearer {key}")[0] == 401
            assert ask(server, "GET", "/recording", Authorization=f"Bearer {key}")[0] == 401
        assert ask(server, "GET", "/recording", Authorization=f"Bearer {welcome['key']}")[0] == 404


def test_a_session_goes_on_for_a_page_that_comes_back(server: str) -> None:
    with studio(server) as (_, welcome):
        pass
    with studio(server, key=str(welcome["key"])) as (_, again):
        assert again["viewer_key"] == welcome["viewer_key"]


def test_a_viewer_needs_its_key_and_can_change_nothing(server: str) -> None:
    with studio(server) as (_, welcome), connect(f"ws://{server}/signal") as viewer:
        viewer.send(json.dumps({"type": "hello", "role": "viewer", "key": welcome["viewer_key"]}))
        assert json.loads(viewer.recv(timeout=5)) | {"key": ""} == json.loads(viewer_welcome())
        viewer.send('{"type":"freeze","on":true}')
        assert until(viewer, "problem")["problem"] == "a viewer can only watch"
    with connect(f"ws://{server}/signal") as stranger:
        stranger.send('{"type":"hello","role":"viewer","key":"guess"}')
        assert until(stranger, "problem")["fatal"] is True


def viewer_welcome() -> str:
    from livehead.protocol.messages import WelcomeMessage

    return WelcomeMessage().model_dump_json()


def test_there_are_only_so_many_sessions() -> None:
    with serving(sessions=1) as server, studio(server) as (_, welcome):
        assert welcome["type"] == "welcome"
        with studio(server) as (_, refusal):
            assert refusal["type"] == "problem"
            assert "sessions" in str(refusal["problem"])


def test_a_session_that_nobody_uses_ends() -> None:
    with serving(idle_s=0.5) as server:
        with studio(server):
            assert json.loads(ask(server, "GET", "/health")[2])["sessions"] == 1
        deadline = time.monotonic() + 10
        while json.loads(ask(server, "GET", "/health")[2])["sessions"]:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_a_page_whose_session_ended_is_told_to_begin_anew() -> None:
    with serving(idle_s=0.5) as server, studio(server) as (page, _), pytest.raises(ConnectionClosed) as ending:
        drain(page)
    assert ending.value.rcvd is not None
    assert ending.value.rcvd.code == 4410


def test_a_token_opens_the_studio_and_guessing_is_ended_soon(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with serving(AccessPolicy(TOKEN)) as server:
        with studio(server, token=TOKEN) as (_, welcome):
            assert welcome["type"] == "welcome"
            assert ask(server, "GET", "/metrics", Authorization=f"Bearer {TOKEN}")[0] == 200
            keys = (TOKEN, str(welcome["key"]), str(welcome["viewer_key"]))
        refusals = []
        for _ in range(14):
            with studio(server, token="wrong" * 5) as (_, refusal):
                refusals.append(refusal["problem"])
        assert refusals[0] == "the token is wrong"
        assert "too many" in str(refusals[-1])
        with studio(server, token=TOKEN) as (_, never_locked_out):
            assert never_locked_out["type"] == "welcome"
        with studio(server, key=keys[1]) as (_, still_there):
            assert still_there["type"] == "welcome"
        assert ask(server, "GET", "/metrics", Authorization="Bearer wrong")[0] == 429
        assert ask(server, "GET", "/metrics", Authorization=f"Bearer {TOKEN}")[0] == 200
    assert not any(key in caplog.text for key in keys)


def test_operations_learn_how_it_goes(server: str) -> None:
    with studio(server):
        text = ask(server, "GET", "/metrics")[2].decode()
    assert "livehead_sessions 1.0\n" in text
    names = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(names) == len(set(names)) >= 8
    for line in text.splitlines():
        assert line.startswith("#") or len(line.rsplit(" ", 1)) == 2


def test_a_connection_that_asks_nothing_is_closed() -> None:
    with serving(timeouts=ConnectionTimeouts(request_s=0.3)) as server:
        host, port = server.split(":")
        for said in (b"", b"GET / HTTP/1.1\r\nHost: loc"):
            with socket.create_connection((host, int(port)), timeout=5) as silent:
                silent.sendall(said)
                assert silent.recv(100) == b""


def test_each_threat_s_tests_are_there() -> None:
    tests = Path(__file__).parents[1]
    table = (tests.parent / "docs" / "security.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:\w+/)?test_\w+\.py)`", table))
    assert len(named) > 6
    missing = [name for name in named if not (tests / name).is_file() and not (tests / "server" / name).is_file()]
    assert not missing
