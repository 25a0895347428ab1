"""The statuses that WHIP and WHEP clients get: each says what the client can do about it."""

import json

import pytest

from livehead.errors import SessionError
from livehead.server.access import AccessPolicy
from livehead.webrtc.ice import IceServers
from tests.fixtures.studio import TOKEN, Client, serving, sessions
from tests.server.test_app import ask, studio

SDP = "application/sdp"
OFFER = b"v=0"


def post(address: str, path: str, key: str = TOKEN, body: bytes = OFFER) -> tuple[int, str]:
    status, _, answer = ask(address, "POST", path, body, content_type=SDP, authorization=f"Bearer {key}")
    return status, str(json.loads(answer)["problem"])


def test_a_stream_that_nobody_publishes_is_not_found() -> None:
    with serving(AccessPolicy(TOKEN)) as address:
        assert post(address, "/whep/unknown") == (404, "there is no stream of that name")


def test_a_wrong_token_is_unauthorized_and_too_many_of_them_have_to_wait() -> None:
    with serving(AccessPolicy(TOKEN)) as address:
        assert post(address, "/whip/camera", "wrong")[0] == 401
        assert post(address, "/whep/camera", "wrong")[0] == 401
        statuses = [post(address, "/whip/camera", "wrong")[0] for _ in range(12)]
        assert statuses[-1] == 429
        assert set(statuses) == {401, 429}


async def test_a_full_server_is_unavailable_to_publishers() -> None:
    client = Client()
    offer = (await client.offer()).encode()
    await client.close()
    with serving(AccessPolicy(TOKEN), sessions=1) as address, studio(address, TOKEN) as (_, welcome):
        assert welcome["type"] == "welcome"
        assert post(address, "/whip/camera", body=offer) == (503, "this server has as many sessions as it takes")
        with studio(address, TOKEN) as (_, problem):
            assert problem["problem"] == "this server has as many sessions as it takes"


def test_a_session_with_as_many_viewers_as_it_may_have_is_unavailable_to_more() -> None:
    with serving(AccessPolicy(TOKEN), viewers=0) as address, studio(address, TOKEN) as (_, welcome):
        status, problem = post(address, "/whep", str(welcome["viewer_key"]))
    assert (status, problem) == (503, "there are as many viewers as this server lets in")


def test_an_offer_that_is_none_is_a_bad_request() -> None:
    with serving(AccessPolicy(TOKEN)) as address:
        assert post(address, "/whip/camera")[0] == 400
        assert post(address, "/whip/camera", body=b"\xff")[0] == 400
        assert post(address, "/whip/a%20name")[0] == 400


def test_more_uploads_than_a_minute_allows_have_to_wait() -> None:
    with serving() as address, studio(address) as (_, welcome):
        too_big = {"authorization": f"Bearer {welcome['key']}", "content_length": "99999999"}  # refused unread, at once
        statuses = [ask(address, "PUT", "/photo", b"", **too_big)[0] for _ in range(13)]
    assert statuses == [413] * 12 + [429]


@pytest.mark.parametrize("path", ["/whip", "/whip/camera", "/whep/camera", "/whep"])
def test_who_asks_first_is_told_what_to_post_and_the_ice_servers_once_let_in(path: str) -> None:
    ice = IceServers(("turn:b.example",), "ada", "word")
    with serving(AccessPolicy(TOKEN), ice=ice) as address, studio(address, TOKEN) as (_, welcome):
        key = str(welcome["viewer_key"]) if path == "/whep" else TOKEN
        status, headers, body = ask(address, "OPTIONS", path, authorization=f"Bearer {key}")
        assert (status, headers["accept-post"], body) == (204, SDP, b"")
        assert headers["link"].startswith('<turn:b.example>; rel="ice-server"')
        assert 'credential="word"' in headers["link"]
        status, headers, _ = ask(address, "OPTIONS", path)
        assert (status, "link" in headers) == (204, False), "a stranger is told no password"


@pytest.mark.parametrize("path", ["/whip", "/whip/camera", "/whep/camera", "/whep"])
def test_asking_first_is_no_way_to_guess_and_none_for_other_pages(path: str) -> None:
    with serving(AccessPolicy(TOKEN)) as address:
        statuses = [ask(address, "OPTIONS", path, authorization="Bearer wrong")[0] for _ in range(12)]
        assert (statuses[0], statuses[-1]) == (401, 429)
        preflight = {"origin": "https://other.example", "access_control_request_method": "POST"}
        status, headers, _ = ask(address, "OPTIONS", path, authorization=f"Bearer {TOKEN}", **preflight)
        assert status == 403
        status, allowed, _ = ask(address, "OPTIONS", path)
        assert not [name for name in (*headers, *allowed) if name.startswith("access-control-")]


async def test_a_session_that_has_ended_is_gone() -> None:
    async with sessions() as running:
        session = await running.open_session()
        session.close("the page left")
        await session.ended.wait()
        for request in (session.accept_publisher("v=0"), session.accept_viewer("v=0"), session.set_recording(True)):
            with pytest.raises(SessionError, match="has ended") as refusal:
                await request
            assert refusal.value.status == 410
