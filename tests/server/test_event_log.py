"""The event log: one line an event, and no secret in any of them."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from livehead.cli import quiet_loggers
from livehead.clock import NS, now_ns
from livehead.errors import ConfigError, ProtocolError
from livehead.pipeline import Pipeline
from livehead.server import event_log
from livehead.server.access import AccessPolicy
from livehead.server.avatar_switcher import AvatarSwitcher
from livehead.server.event_log import EventFormatter, LibraryLineFilter, RejectionLog, log_event
from tests.fixtures.studio import TOKEN, Client, Colours, serving
from tests.server.test_app import ask, drain, photo, studio, until

WORD = TOKEN.replace(" ", "-")  # as an address can hold it


class Log(io.StringIO):
    """What was logged."""

    @property
    def events(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]

    def named(self, event: str) -> list[dict[str, object]]:
        return [each for each in self.events if each["event"] == event]


@pytest.fixture
def log() -> Iterator[Log]:
    """Everything of every library that the command line lets speak, as JSON."""
    text = Log()
    handler = logging.StreamHandler(text)
    handler.setFormatter(EventFormatter("json"))
    handler.addFilter(LibraryLineFilter())
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    quiet_loggers()
    yield text
    root.removeHandler(handler)
    root.setLevel(before)


def test_an_event_is_one_line_for_programs_and_one_for_people(log: Log) -> None:
    log_event("session opened", session=3, running=1, reason='two\nlines and "quotes"')
    [event] = log.events
    assert event["event"] == "session opened"
    assert event["session"] == 3
    assert event["level"] == "info"
    assert str(event["time"]).endswith("Z")
    record = logging.makeLogRecord({"event": "peer", "details": {"session": 3, "why": "two\nlines"}, "msg": "peer"})
    line = EventFormatter("text").format(record)
    assert line.endswith('peer session=3 why="two\\nlines"')
    assert "\n" not in line


def test_what_other_libraries_say_is_one_line_without_what_looks_like_a_secret(log: Log) -> None:
    other = logging.getLogger("somebody.else")
    other.warning(
        "Authorization: Bearer abcdefghijkl, token=mnopqrst; 'password': 'uvwxyz'\na=candidate:1 1 udp 7 secret"
    )
    try:
        raise ValueError("a=ice-pwd:hidden")
    except ValueError:
        other.exception("it failed")
    text = log.getvalue()
    for secret in ("abcdefghijkl", "mnopqrst", "uvwxyz", "udp 7", "hidden:", "ice-pwd"):
        assert secret not in text
    said, failed = log.events
    assert said["logger"] == "somebody.else"
    assert failed["error"] == "ValueError"
    assert "test_event_log.py" in str(failed["where"])


def test_a_refusal_tells_its_reason_but_not_what_was_sent(log: Log) -> None:
    refusals = RejectionLog()
    refusals.log_rejection("192.0.2.1", "hello", ConfigError("the token is wrong", "open the link"))
    refusals.log_rejection("192.0.2.1", "message", ProtocolError("a message is wrong at something.sent"))
    refusals.log_rejection("192.0.2.1", "/photo", 413)
    assert [each.get("why", each.get("status")) for each in log.events] == ["the token is wrong", "ProtocolError", 413]
    assert "something" not in log.getvalue()


def test_refusals_without_end_are_counted_and_fill_no_disk(log: Log) -> None:
    refusals = RejectionLog()
    for _ in range(10_000):
        refusals.log_rejection("192.0.2.1", "hello", 403)
    assert len(log.events) < 30
    refusals.log_rejection("192.0.2.2", "hello", 403)
    assert int(str(log.events[-1]["untold"])) > 9_900


def test_refusals_of_many_addresses_fill_no_disk_either(log: Log) -> None:
    refusals = RejectionLog()
    for number in range(1000):
        refusals.log_rejection(f"192.0.2.{number}", "hello", 403)
    assert len(log.events) == 20


def test_lines_of_other_libraries_are_limited_by_their_kind(log: Log) -> None:
    uvicorn, asyncio = logging.getLogger("uvicorn.error"), logging.getLogger("asyncio")
    for number in range(1000):
        uvicorn.warning("Invalid HTTP request received.")
        asyncio.error("socket.accept() out of system resource %s", number)
    for number in range(1000):
        uvicorn.error("%d went wrong", number)
    texts = [str(each["text"]) for each in log.events]
    assert len(texts) == 9
    assert texts.count("Invalid HTTP request received.") == 3
    for number in range(1000):
        uvicorn.error(f"{number} went wrong")
    assert len(log.events) == 15
    log_event("session opened", session=1)
    assert log.named("session opened")


def test_lines_that_were_left_out_are_counted(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(100):
        logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    minute_later = now_ns() + 61 * NS
    monkeypatch.setattr("livehead.server.event_log.now_ns", lambda: minute_later)
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    assert [each.get("untold") for each in log.events] == [None, None, None, 97]


async def test_a_call_is_told_from_its_begin_to_its_end_without_a_secret(log: Log) -> None:
    with serving(AccessPolicy(TOKEN)) as server:
        client = Client(Colours())
        offer = await client.offer()
        with studio(server, token="wrong wrong wrong wrong") as (_, refusal):
            assert refusal["type"] == "problem"
        with studio(server, token=TOKEN) as (page, welcome):
            page.send(json.dumps({"type": "offer", "sdp": offer}))
            answer = until(page, "answer")["sdp"]
            await client.take(str(answer))
            await client.pictures(5)
            bearer = f"Bearer {welcome['key']}"
            assert ask(server, "PUT", "/photo", photo(), Authorization=bearer)[0] == 200
            assert ask(server, "PUT", "/photo", b"no photo", Authorization=bearer)[0] == 422
            assert ask(server, "GET", f"/{WORD}?token={WORD}", Authorization=f"Bearer {TOKEN}")[0] == 404
            assert ask(server, "GET", "/", Origin=f"http://{WORD}.example")[0] == 403
            page.send('{"type":"nonsense","sdp":"a=candidate:1 1 udp 1 192.0.2.1 1 typ host"}')
            until(page, "problem")
            page.send('{"type":"bye"}')
        with connect(f"ws://{server}/signal") as page:
            page.send(json.dumps({"type": "hello", "role": "studio", "token": TOKEN, "key": "k" * 99}))
            page.recv()
        await client.close()
    [opened, second] = log.named("session opened")
    [first_closed, second_closed] = sorted(log.named("session closed"), key=lambda each: int(str(each["session"])))
    assert opened["session"] == first_closed["session"] == 1
    assert second["session"] == 2
    assert first_closed["reason"] == "the page left"
    assert second_closed["reason"] == "the server ends"
    states = [each["state"] for each in log.named("peer") if each["session"] == 1]
    assert states[0] == "connecting"
    assert "connected" in states
    assert states[-1] in ("closed", "failed")
    refused = [(each["what"], each.get("why", each.get("status"))) for each in log.named("refused")]
    assert ("hello", "the token is wrong") in refused
    assert {("/photo", 422), ("another address", 404), ("/", 403), ("message", "ProtocolError")} <= set(refused)
    text = log.getvalue()
    secrets = [TOKEN, WORD, str(welcome["key"]), str(welcome["viewer_key"]), "a=", "typ host", "kkkk"]
    for sdp in (offer, str(answer)):
        secrets += [line for line in sdp.splitlines() if line.startswith(("a=candidate", "a=ice", "a=fingerprint"))]
        secrets += [sdp.split(f"a=ice-{word}:")[1].split()[0] for word in ("ufrag", "pwd")]
    for secret in secrets:
        assert secret not in text, secret


def test_a_session_that_fails_says_where_and_not_what(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("something of somebody's")

    monkeypatch.setattr(Pipeline, "run", broken)
    with serving() as server, studio(server) as (page, _), pytest.raises(ConnectionClosed):
        drain(page)
    [closed] = log.named("session closed")
    assert closed["reason"] == "failed: RuntimeError"
    [failure] = [each for each in log.named("message") if each["level"] == "error"]
    assert "test_event_log.py" in str(failure["where"])
    assert "somebody's" not in log.getvalue()


def test_a_conversation_that_fails_says_where_and_not_what_and_is_closed_as_broken(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("something of somebody's")

    monkeypatch.setattr(AvatarSwitcher, "update_settings", broken)
    with serving() as server, studio(server) as (page, _):
        page.send('{"type":"settings","background":"blur"}')
        with pytest.raises(ConnectionClosed) as ending:
            drain(page)
    assert ending.value.rcvd is not None
    assert ending.value.rcvd.code == 1011
    [failure] = [each for each in log.named("message") if each["level"] == "error"]
    assert failure["error"] == "RuntimeError"
    assert "test_event_log.py" in str(failure["where"])
    assert "somebody's" not in log.getvalue()


def test_every_format_can_be_chosen() -> None:
    assert set(event_log.LOG_FORMATS) == {"text", "json"}
