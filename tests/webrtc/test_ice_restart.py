"""ICE restart: when the network changes, another way is found for the same connection, and nothing is left behind."""

import asyncio
import gc
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aioice.ice import StunProtocol
from aiortc import RTCSessionDescription
from aiortc.sdp import SessionDescription

from livehead.bench.harness.chromium import BrowserTab, HeadlessChromium, fake_device_flags, find_chromium
from livehead.server.session import Session
from livehead.webrtc.ice_restart import RestartableIce, is_ice_restart
from livehead.webrtc.peer import PeerConnection
from tests.fixtures.studio import Client, Colours, serving, sessions

BACK_S = 3.0
SHOWN = "document.getElementById('avatar').getVideoPlaybackQuality().totalVideoFrames"


class Roamer(Client):
    """A client that can go to another network."""

    def __init__(self) -> None:
        super().__init__(Colours())
        self.route = RestartableIce(self.peer.getTransceivers()[0].receiver.transport.transport)

    async def roam(self) -> str:
        await self.route.gather_candidates()
        return self.route.rewrite_sdp(self.peer.localDescription.sdp)

    async def arrive(self, answer: str) -> None:
        await self.route.start_checks(SessionDescription.parse(answer).media[0])


class Cut:
    """Loses whatever goes over ports that were open when it was cut, both ways; new ones work."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._open: list[StunProtocol] = []
        self._dead: set[int] = set()
        received, made, send = StunProtocol.datagram_received, StunProtocol.connection_made, StunProtocol.send_stun
        data = StunProtocol.send_data

        def connection_made(protocol: StunProtocol, transport: Any) -> None:
            self._open.append(protocol)
            made(protocol, transport)

        def unless_dead(way: Callable[..., Any]) -> Callable[..., Any]:
            def maybe(protocol: StunProtocol, *arguments: Any) -> Any:
                return None if id(protocol) in self._dead else way(protocol, *arguments)

            return maybe

        async def send_data(protocol: StunProtocol, *arguments: Any) -> None:
            if id(protocol) not in self._dead:
                await data(protocol, *arguments)

        monkeypatch.setattr(StunProtocol, "connection_made", connection_made)
        monkeypatch.setattr(StunProtocol, "datagram_received", unless_dead(received))
        monkeypatch.setattr(StunProtocol, "send_stun", unless_dead(send))
        monkeypatch.setattr(StunProtocol, "send_data", send_data)

    def cut(self) -> None:
        self._dead = {id(protocol) for protocol in self._open}


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Cut:
    return Cut(monkeypatch)


def sockets() -> int:
    folder = Path("/proc/self/fd")
    if not folder.is_dir():
        return 0
    return sum("socket:" in os.readlink(fd) for fd in map(str, folder.iterdir()) if os.path.islink(fd))


async def joined(session: Session) -> tuple[Roamer, PeerConnection]:
    client = Roamer()
    await client.take(await session.accept_publisher(await client.offer()))
    await client.pictures(10)
    assert session.connections.publisher is not None
    return client, session.connections.publisher


async def test_pictures_go_on_over_another_way_of_the_same_connection(network: Cut) -> None:
    async with sessions() as all_sessions:
        session = await all_sessions.open_session()
        client, peer = await joined(session)
        network.cut()
        with pytest.raises(TimeoutError):
            await client.pictures(5, timeout_s=0.7)
        began = time.monotonic()
        await client.arrive(await session.accept_publisher(await client.roam()))
        await client.pictures(5)
        assert time.monotonic() - began < BACK_S
        assert session.connections.publisher is peer
        assert peer.ice_restart_count == client.route.restart_count == 1
        received = session.camera.received
        while session.camera.received < received + 10:  # the performer's own pictures come too
            assert time.monotonic() - began < BACK_S
            await client.pictures(1)
        assert peer.state == client.peer.connectionState == "connected"
        await client.close()


async def test_a_restart_leaves_no_port_and_no_task(network: Cut) -> None:
    async with sessions() as all_sessions:
        session = await all_sessions.open_session()
        client, peer = await joined(session)
        gc.collect()
        before = (sockets(), len(asyncio.all_tasks()))
        for _ in range(3):
            network.cut()
            await client.arrive(await session.accept_publisher(await client.roam()))
            await client.pictures(5)
        await session.accept_publisher(await client.roam())  # is never followed up: the page is gone, or asks again
        await client.arrive(await session.accept_publisher(await client.roam()))
        await client.pictures(30)
        assert peer.ice_restart_count >= 4
        gc.collect()
        assert (sockets(), len(asyncio.all_tasks())) == before
        await session.accept_publisher(await client.roam())  # and one that is not over when the connection ends
        await client.close()
    await asyncio.sleep(0.1)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_way_that_leads_nowhere_leaves_the_old_one_in_use(
    network: Cut, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("livehead.webrtc.ice_restart._CHECK_TIMEOUT_S", 0.3)
    async with sessions() as all_sessions:
        session = await all_sessions.open_session()
        client, peer = await joined(session)
        before = sockets()
        await session.accept_publisher(await client.roam())
        await client.route.close()
        await asyncio.sleep(0.6)
        await client.pictures(10)
        assert peer.ice_restart_count == 0
        assert sockets() == before
        await client.close()


async def test_an_offer_of_another_connection_is_no_restart(network: Cut) -> None:
    one, other = Client(Colours()), Client(Colours())
    first, second = await one.offer(), await other.offer()
    assert not is_ice_restart(second, first)
    assert not is_ice_restart(first, first)  # the same passwords: nothing new is wanted
    renewed = first.replace(one.peer.localDescription.sdp.split("a=ice-ufrag:")[1].split()[0], "other")
    assert is_ice_restart(renewed, first)
    assert not is_ice_restart(renewed.replace("a=fingerprint:sha-256 ", "a=fingerprint:sha-256 00"), first)
    assert RTCSessionDescription(renewed, "offer")
    for each in (one, other):
        await each.close()


@pytest.fixture
def call(network: Cut) -> Iterator[tuple[BrowserTab, Cut]]:
    with serving() as address, HeadlessChromium(fake_device_flags()) as browser:
        tab = browser.open_tab(f"http://{address}/")
        tab.evaluate("""(() => {
            window.peers = [];
            const Peer = window.RTCPeerConnection;
            window.RTCPeerConnection = class extends Peer {
                constructor(...rest) { super(...rest); window.peers.push(this); }
            };
            window.sockets = [];
            const Socket = window.WebSocket;
            window.WebSocket = class extends Socket {
                constructor(...rest) { super(...rest); window.sockets.push(this); }
            };
            document.getElementById('join').click();
        })()""")
        tab.wait_until(f"{SHOWN} > 20", 30)
        yield tab, network


@pytest.mark.skipif(find_chromium() is None, reason="there is no Chromium on this machine")
@pytest.mark.parametrize("socket_too", [False, True], ids=["media", "media and socket"])
def test_after_a_network_change_the_page_has_its_picture_back_soon(
    call: tuple[BrowserTab, Cut], socket_too: bool
) -> None:
    tab, network = call
    for _ in range(2):
        network.cut()
        if socket_too:  # as browsers do when an address is gone
            tab.evaluate("window.sockets.at(-1).close()")
        began = time.monotonic()
        time.sleep(0.5)
        tab.evaluate(f"window.before = {SHOWN}")
        tab.wait_until(f"{SHOWN} >= window.before + 5", 30)
        assert time.monotonic() - began < BACK_S
        tab.wait_until("document.getElementById('connection').textContent === 'connected'")
    assert tab.evaluate("window.peers.length") == 1
    assert tab.evaluate("window.peers[0].connectionState") == "connected"
