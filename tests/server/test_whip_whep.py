"""Watching by one request: with the key of a viewer's link, and only from where it is allowed."""

import asyncio
import json
from collections.abc import Iterator

import numpy as np
import pytest
from aiortc.sdp import SessionDescription

from livehead.server.access import EXTENSION_ORIGIN, AccessPolicy
from tests.fixtures.studio import TOKEN, Client, serving
from tests.server.test_app import ask, studio

SDP = "application/sdp"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(AccessPolicy(TOKEN, viewer_origins=frozenset({EXTENSION_ORIGIN})), sessions=9) as served:
        yield served


async def post(
    address: str, key: str, offer: str, path: str = "/whep", **headers: str
) -> tuple[int, dict[str, str], str]:
    given = {"content_type": SDP, "authorization": f"Bearer {key}", **headers}
    status, told, body = await asyncio.to_thread(ask, address, "POST", path, offer.encode(), **given)
    return status, told, body.decode()


async def test_the_key_of_a_viewer_s_link_shows_the_avatar_and_ends_it(address: str) -> None:
    with studio(address, TOKEN) as (_, welcome):
        viewer, key = Client(), str(welcome["viewer_key"])
        status, headers, answer = await post(address, key, await viewer.offer())
        assert (status, headers["content-type"]) == (201, SDP)
        await viewer.take(answer)
        picture = (await viewer.pictures(5))[-1]
        assert np.abs(picture.astype(int) - 64).max() < 20  # nobody performs: the renderer's own grey
        place = headers["location"]
        assert place.startswith("/whep/")
        for right, status in ((f"Bearer {key}x", 401), (f"Bearer {key}", 200), (f"Bearer {key}", 404)):
            assert ask(address, "DELETE", place, authorization=right)[0] == status
        await viewer.close()


async def test_a_key_ends_no_other_session_s_viewer(address: str) -> None:
    with studio(address, TOKEN) as (_, one), studio(address, TOKEN) as (_, other):
        viewer = Client()
        _, headers, _ = await post(address, str(one["viewer_key"]), await viewer.offer())
        place = headers["location"]
        assert ask(address, "DELETE", place, authorization=f"Bearer {other['viewer_key']}")[0] == 404
        assert ask(address, "DELETE", place, authorization=f"Bearer {one['viewer_key']}")[0] == 200
        await viewer.close()


async def test_sound_alone_is_watched_with_an_inactive_picture(address: str) -> None:
    with studio(address, TOKEN) as (_, welcome):
        viewer = Client(sound=True)
        viewer.peer.getTransceivers()[0].direction = "inactive"
        status, _, answer = await post(address, str(welcome["viewer_key"]), await viewer.offer())
        assert status == 201
        directions = [line for line in answer.splitlines() if line in ("a=inactive", "a=sendonly")]
        assert directions == ["a=inactive", "a=sendonly"]
        await viewer.close()


def directions(answer: str) -> dict[str, str | None]:
    return {part.kind: part.direction for part in SessionDescription.parse(answer).media}


async def test_the_extension_has_to_say_what_a_page_may_have_and_gets_no_more(address: str) -> None:
    with studio(address, TOKEN) as (_, welcome):
        key, viewer = str(welcome["viewer_key"]), Client(sound=True)
        offer = await viewer.offer()
        for kinds, sent in (("video", {"video"}), ("audio", {"audio"}), ("audio, video", {"audio", "video"})):
            status, _, answer = await post(address, key, offer, origin=EXTENSION_ORIGIN, livehead_kinds=kinds)
            assert status == 201
            assert {kind for kind, direction in directions(answer).items() if direction == "sendonly"} == sent
        for headers in ({}, {"livehead_kinds": ""}, {"livehead_kinds": "picture"}, {"livehead_kinds": "video,"}):
            assert (await post(address, key, offer, origin=EXTENSION_ORIGIN, **headers))[0] == 400
        assert (await post(address, key, offer))[0] == 201  # whoever asks for themselves gets what they ask for
        await viewer.close()


async def test_neither_the_token_nor_a_wrong_key_is_a_viewer_s(address: str) -> None:
    for key in (TOKEN, "wrong"):
        status, headers, body = await post(address, key, "v=0")
        assert (status, headers["www-authenticate"]) == (401, "Bearer")
        assert TOKEN not in json.dumps(body)


async def test_the_extension_is_answered_where_it_watches_and_nowhere_else(address: str) -> None:
    with studio(address, TOKEN) as (_, welcome):
        key = str(welcome["viewer_key"])
        status, _, told = await post(address, key, "v=0", origin=EXTENSION_ORIGIN, livehead_kinds="video")
        assert (status, "offer" in told) == (400, True)  # let in, and then told what is wrong with the offer
        assert (await post(address, TOKEN, "v=0", "/whip/me", origin=EXTENSION_ORIGIN))[0] == 403
        assert ask(address, "GET", "/", origin=EXTENSION_ORIGIN)[0] == 403


async def test_without_the_flag_no_extension_is_answered() -> None:
    with serving() as plain:
        assert (await post(plain, "", "v=0", origin=EXTENSION_ORIGIN))[0] == 403
        assert ask(plain, "OPTIONS", "/whep", origin=EXTENSION_ORIGIN)[0] == 403
        status, headers, _ = ask(plain, "OPTIONS", "/whep")
        assert (status, headers["accept-post"]) == (204, SDP)
