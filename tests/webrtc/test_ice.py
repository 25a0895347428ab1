import asyncio
import base64
import hashlib
import hmac
import socket
import time
from collections.abc import Iterator

import pytest
from aiortc import RTCPeerConnection

from livehead.errors import ConfigError
from livehead.webrtc.ice import (
    NO_ICE_SERVERS,
    IceServers,
    patch_candidate_gathering,
    patch_transceiver_gathering,
)

TURN = "turn:relay.example:3478"


@pytest.fixture
def deaf() -> Iterator[int]:
    """The port of a server that hears everything and says nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.mark.parametrize(
    "url",
    [
        "http://relay.example",
        "turn",
        "turn:",
        "turn:a b",
        "stuns:relay.example",
        "turn:relay.example?transport=sctp",
        "turns:relay.example?transport=udp",
        'turn:relay.example">; rel="x',
        "turn:relay.example:port",
    ],
)
def test_what_is_no_server_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="is no STUN or TURN server"):
        IceServers((url,), "me", "secret word")


def test_a_turn_server_needs_a_name_and_a_password_or_a_secret() -> None:
    for given in ({}, {"username": "me"}, {"password": "word"}):
        with pytest.raises(ConfigError, match="wants a name and a password"):
            IceServers((TURN,), **given)
    assert IceServers((TURN,), secret="shared").turn_urls == (TURN,)
    assert IceServers(("stun:a.example",)).turn_urls == ()


def test_nothing_can_be_relayed_without_a_turn_server() -> None:
    with pytest.raises(ConfigError, match="no TURN server"):
        IceServers(("stun:a.example",), relay_only=True)


def test_a_password_made_from_a_secret_is_the_one_that_coturn_makes() -> None:
    name, password = IceServers((TURN,), "ada", secret="north").credentials()
    expires, _, user = name.partition(":")
    assert user == "ada"
    assert 23 * 3600 < int(expires) - time.time() <= 24 * 3600
    assert password == base64.b64encode(hmac.new(b"north", name.encode(), hashlib.sha1).digest()).decode()


def test_passwords_and_secrets_are_not_shown() -> None:
    shown = repr(IceServers((TURN,), "ada", "word", "north"))
    assert "word" not in shown
    assert "north" not in shown


def test_links_name_each_server_and_give_passwords_to_relays_only() -> None:
    stun, turn = IceServers(("stun:a.example", TURN), "ada", "word").link_headers()
    assert stun == '<stun:a.example>; rel="ice-server"'
    assert turn == f'<{TURN}>; rel="ice-server"; username="ada"; credential="word"; credential-type="password"'
    assert NO_ICE_SERVERS.link_headers() == []


async def test_loopback_is_among_the_addresses_and_not_when_all_is_relayed() -> None:
    for ice, expected in ((NO_ICE_SERVERS, True), (IceServers((TURN,), "ada", "word", relay_only=True), False)):
        connection = ice.create_connection(ice_controlling=True)
        connection.turn_server = None  # its name leads nowhere here
        patch_candidate_gathering(connection)
        await connection.gather_candidates()
        assert ("127.0.0.1" in {each.host for each in connection.local_candidates}) == expected
        await connection.close()


async def test_a_server_that_does_not_answer_is_not_waited_for(deaf: int) -> None:
    ice = IceServers((f"stun:127.0.0.1:{deaf}", f"turn:127.0.0.1:{deaf}"), "ada", "word")
    peer = RTCPeerConnection(ice.rtc_configuration())
    patch_transceiver_gathering(peer.addTransceiver("video", "recvonly"))
    async with asyncio.timeout(4):  # aioice itself waits five seconds
        await peer.setLocalDescription(await peer.createOffer())
    assert "typ host" in peer.localDescription.sdp
    assert "typ relay" not in peer.localDescription.sdp
    await peer.close()
