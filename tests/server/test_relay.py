"""Peers that reach each other through a TURN server alone: coturn, as Debian has it."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from aiortc.sdp import SessionDescription

from livehead.assembly.synthetic_performer import DRAWN_PORTRAIT, bundled_portrait
from livehead.bench.harness.chromium import HeadlessChromium, fake_device_flags, find_chromium
from livehead.client.connection import ServerAddress
from livehead.client.remote_renderer import RemoteRenderer, SessionRequest
from livehead.motion.face.face_rig import FaceControls, FaceRig
from livehead.protocol import messages
from livehead.server.access import AccessPolicy
from livehead.sinks.whip import WhipSink
from livehead.webrtc.ice import IceServers
from tests.client.test_remote_renderer import running, until
from tests.fixtures.studio import TOKEN, Client, Colours, serving, sessions
from tests.server.test_app import studio
from tests.server.test_network import SHOWN, wait_for_pictures
from tests.server.test_whip_whep import post
from tests.sinks.test_whip import COLOUR, feeding, free_port, watch

pytestmark = pytest.mark.skipif(shutil.which("turnserver") is None, reason="there is no coturn on this machine")

SECRET = "between the two of us"
START_S, BACK_S = 10.0, 10.0


class Coturn:
    """One that takes passwords made from ``SECRET``, on ``port``."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._log = folder / "turn.log"
        options = [
            "--listening-ip=127.0.0.1",
            f"--listening-port={self.port}",
            "--relay-ip=127.0.0.1",
            "--allow-loopback-peers",  # as the test's peers are
            "--use-auth-secret",
            f"--static-auth-secret={SECRET}",
            "--realm=livehead",
            "--no-tls",
            "--no-dtls",
            "--no-cli",
            "--log-file=stdout",
            "--simple-log",
            "--verbose",
            f"--pidfile={folder / 'turn.pid'}",
            f"--db={folder / 'turn.db'}",
        ]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(["turnserver", "-n", *options], stdout=log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + START_S
        while "Total General servers" not in self.log():
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)

    def log(self) -> str:
        """What it told so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    @property
    def relays(self) -> int:
        """How many relayed addresses it has given away."""
        return self.log().count("ALLOCATE processed, success")

    def servers(self, transport: str = "udp", *, relay_only: bool = True) -> IceServers:
        """It, as a user of ours names it."""
        return IceServers((f"turn:127.0.0.1:{self.port}?transport={transport}",), secret=SECRET, relay_only=relay_only)

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(10)


@pytest.fixture
def coturn(tmp_path: Path) -> Iterator[Coturn]:
    server = Coturn(tmp_path)
    try:
        yield server
    finally:
        server.close()


def kinds(sdp: str) -> set[str]:
    """Of the addresses in ``sdp``."""
    return {candidate.type for part in SessionDescription.parse(sdp).media for candidate in part.ice_candidates}


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_the_server_is_reached_through_its_relay_and_tells_no_other_address(
    coturn: Coturn, transport: str
) -> None:
    async with sessions(ice=coturn.servers(transport)) as running:
        session = await running.open_session()
        client = Client(Colours())
        answer = await session.accept_publisher(await client.offer())
        assert kinds(answer) == {"relay"}
        await client.take(answer)
        seen = (await client.pictures(20))[-1]
        assert np.abs(seen[48, 64].astype(int) - (200, 60, 20)).max() < 12
        await client.close()


async def test_a_relay_is_one_address_among_others_where_it_is_not_asked_to_be_the_only_one(coturn: Coturn) -> None:
    async with sessions(ice=coturn.servers(relay_only=False)) as running:
        session = await running.open_session()
        client = Client(Colours())
        answer = await session.accept_publisher(await client.offer())
        assert kinds(answer) == {"host", "relay"}
        await client.take(answer)
        await client.pictures(3)
        await client.close()


@pytest.mark.skipif(find_chromium() is None, reason="there is no Chromium on this machine")
def test_a_page_finds_the_relay_by_itself_and_a_new_way_through_it(coturn: Coturn) -> None:
    with serving(ice=coturn.servers()) as address, HeadlessChromium(fake_device_flags()) as browser:
        tab = browser.open_tab(f"http://{address}/")
        tab.evaluate("document.getElementById('join').click()")
        tab.wait_until("document.getElementById('avatar').videoWidth", 30)
        wait_for_pictures(tab, 10)
        before = coturn.relays
        assert before >= 2  # the page's and the server's
        tab.evaluate("dispatchEvent(new Event('online'))")  # as when the network has changed
        deadline = time.monotonic() + BACK_S
        while coturn.relays < before + 2:
            assert time.monotonic() < deadline, coturn.log()
            time.sleep(0.1)
        shown = tab.evaluate(SHOWN)
        wait_for_pictures(tab, 30)
        assert tab.evaluate(SHOWN) > shown


async def test_a_publisher_behind_a_firewall_publishes_through_a_relay(coturn: Coturn) -> None:
    with serving(AccessPolicy(TOKEN)) as address:
        async with WhipSink(f"http://{address}/whip/talk", token=TOKEN, ice=coturn.servers()) as sink:
            assert coturn.relays == 1
            with feeding(sink) as feed:
                viewer = await watch(address)
                seen = await viewer.pictures(20)
                await viewer.close()
            assert feed.error is None
    assert np.abs(seen[-1][48, 64].astype(int) - COLOUR).max() <= 6


async def test_whoever_lets_another_machine_draw_gets_the_picture_through_its_relay(coturn: Coturn) -> None:
    with serving(AccessPolicy(TOKEN), ice=coturn.servers()) as address:
        session_request = SessionRequest(messages.SettingsUpdate())
        away = RemoteRenderer(ServerAddress.parse(f"ws://{address}"), TOKEN, session_request, fps=30)
        async with away.camera, running(away):
            away.submit_motion(FaceRig(bundled_portrait(DRAWN_PORTRAIT).motion).pose_face(FaceControls(), 0))
            await until(lambda: away.camera.received > 10)
    assert coturn.relays >= 2


def test_a_page_is_told_the_relay_with_a_password_of_its_own_and_no_secret(coturn: Coturn) -> None:
    with serving(AccessPolicy(TOKEN), ice=coturn.servers()) as address, studio(address, TOKEN) as (_, welcome):
        [server] = welcome["ice_servers"]
        assert server["urls"] == [f"turn:127.0.0.1:{coturn.port}?transport=udp"]
        assert server["username"].endswith(":livehead")
        assert SECRET not in str(welcome)
        assert welcome["relay_only"] is True


async def test_who_watches_by_one_request_is_told_the_relay_too(coturn: Coturn) -> None:
    with serving(AccessPolicy(TOKEN), ice=coturn.servers()) as address, studio(address, TOKEN) as (_, welcome):
        viewer = Client()
        status, headers, answer = await post(address, str(welcome["viewer_key"]), await viewer.offer())
        assert status == 201
        assert f"<turn:127.0.0.1:{coturn.port}?transport=udp>; rel=" in headers["link"]
        await viewer.take(answer)
        await viewer.pictures(3)
        await viewer.close()


async def test_a_stranger_is_told_nothing() -> None:
    ice = IceServers(("turn:relay.example",), "ada", "word")
    with serving(AccessPolicy(TOKEN), ice=ice) as address, studio(address, "wrong") as (_, refused):
        assert refused["type"] == "problem"
        assert "word" not in str(refused)
        status, headers, _ = await post(address, "wrong", "v=0")
        assert status == 401
        assert "link" not in headers
