"""Two hundred of everything that strangers might send, over real sockets; ``scripts/fuzz.py`` sends ten thousand."""

import logging
from pathlib import Path

import pytest

from tests.fixtures.studio import serving
from tests.server.fuzzing import FAMILIES, Held, Stranger, settled

CASES = {"images": 25}  # each is decoded by a process of its own
pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts what is open as Linux lists it")


@pytest.mark.parametrize("family", FAMILIES)
def test_whatever_is_sent_is_answered_or_refused_and_nothing_stays(
    family: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("livehead.webrtc.peer.CONNECT_TIMEOUT_S", 1.0)
    caplog.set_level(logging.ERROR)
    with serving(idle_s=3.0) as address:
        stranger = Stranger(address)
        stranger.attack(family, 10, 1)  # what is made once for all is there now
        settled(stranger, Held(10**6, 0, 0, 10**6, 0))  # until no session is left
        before = Held.of(stranger)
        stranger.attack(family, CASES.get(family, 200), 2)
        after = settled(stranger, before)
        assert after.sessions == 0
        assert after.tasks <= before.tasks
        assert after.files <= before.files + 2  # the executor's and the loop's own may come late
        assert after.threads <= before.threads + 4  # the event loop's executor grows up to its size
    assert sum(stranger.answers.values()) >= 30
    assert not caplog.records, caplog.text
