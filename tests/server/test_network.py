"""Bad networks between a real Chromium and the server: packets are lost on the server's own sockets."""

import random
import time
from collections.abc import Callable, Iterator

import pytest
from aioice.ice import StunProtocol

from livehead.bench.harness.chromium import BrowserTab, HeadlessChromium, fake_device_flags, find_chromium
from tests.fixtures.studio import serving

pytestmark = pytest.mark.skipif(find_chromium() is None, reason="there is no Chromium on this machine")

BACK_S = 10.0  # measured: 0.7 to 1.3 s (docs/webrtc.md); the rest is for a busy machine
SHOWN = "document.getElementById('avatar').getVideoPlaybackQuality().totalVideoFrames"


class Network:
    """Loses a share of all datagrams, both ways."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.loss = 0.0
        self.lost = 0
        chance = random.Random(0)

        def lossy(way: Callable[..., object]) -> Callable[..., object]:
            def maybe(*arguments: object) -> object:
                if chance.random() < self.loss:
                    self.lost += 1
                    return None
                return way(*arguments)

            return maybe

        monkeypatch.setattr(StunProtocol, "datagram_received", lossy(StunProtocol.datagram_received))
        received = StunProtocol.connection_made

        def connection_made(protocol: StunProtocol, transport: object) -> None:
            received(protocol, transport)
            protocol.transport = _Lossy(transport, lossy(transport.sendto))

        monkeypatch.setattr(StunProtocol, "connection_made", connection_made)


class _Lossy:
    """A transport whose ``sendto`` is another."""

    def __init__(self, transport: object, sendto: Callable[..., object]) -> None:
        self._transport = transport
        self.sendto = sendto

    def __getattr__(self, name: str) -> object:
        return getattr(self._transport, name)


@pytest.fixture
def call() -> Iterator[tuple[BrowserTab, Network]]:
    with pytest.MonkeyPatch.context() as patch:
        network = Network(patch)
        with serving() as address, HeadlessChromium(fake_device_flags()) as browser:
            tab = browser.open_tab(f"http://{address}/")
            tab.evaluate("document.getElementById('join').click()")
            tab.wait_until("document.getElementById('avatar').videoWidth", 30)
            yield tab, network


def shown_in(tab: BrowserTab, seconds: float) -> int:
    """Pictures that the page shows in so long."""
    before = tab.evaluate(SHOWN)
    time.sleep(seconds)
    return int(tab.evaluate(SHOWN) - before)


def wait_for_pictures(tab: BrowserTab, count: int) -> None:
    """Until so many further pictures are shown."""
    before = tab.evaluate(SHOWN)
    tab.wait_until(f"{SHOWN} >= {before + count}", BACK_S)


def test_a_fifth_of_all_packets_lost_leaves_a_picture_which_is_whole_again_soon(
    call: tuple[BrowserTab, Network],
) -> None:
    tab, network = call
    network.loss = 0.2
    during = shown_in(tab, 4)
    network.loss = 0.0
    assert network.lost > 50
    assert during > 8
    wait_for_pictures(tab, 10)


def test_a_network_that_is_gone_for_five_seconds_comes_back_with_the_picture(call: tuple[BrowserTab, Network]) -> None:
    tab, network = call
    network.loss = 1.0
    time.sleep(1)
    assert shown_in(tab, 4) <= 2
    network.loss = 0.0
    wait_for_pictures(tab, 10)
