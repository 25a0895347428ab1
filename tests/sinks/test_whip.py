"""Publishing to our own server: the picture arrives, the end is told, a restarted server gets it again."""

import asyncio
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction

import numpy as np
import pytest
from aiortc import RTCConfiguration, RTCDtlsTransport, RTCPeerConnection

from livehead.clock import now_ns
from livehead.errors import RejectedError, SinkError
from livehead.frames import AudioFrame, VideoFrame
from livehead.server.access import AccessPolicy
from livehead.sinks.whip import SilenceLimits, WhipSink
from tests.fixtures.studio import FPS, TOKEN, Client, serving

COLOUR = (30, 160, 220)
ACCESS = AccessPolicy(TOKEN)


def picture(number: int) -> VideoFrame:
    image = np.full((96, 128, 3), COLOUR, np.uint8)
    return VideoFrame(image, number * 3000, Fraction(1, 90_000), now_ns())


class Feed:
    """Sends pictures and sound as a pipeline does, until it is stopped; ``error`` is what sending raised."""

    def __init__(self, sink: WhipSink) -> None:
        self.error: SinkError | None = None
        self.sent = 0
        self._sink = sink

    async def run(self) -> None:
        while self.error is None:
            tone = 0.5 * np.sin(np.arange(1600, dtype=np.float32) * 0.1)[None]
            try:
                await self._sink.send(AudioFrame(tone, 48_000, self.sent * 1600, now_ns()))
                await self._sink.send(picture(self.sent))
            except SinkError as error:
                self.error = error
            self.sent += 1
            await asyncio.sleep(1 / FPS)


@contextmanager
def feeding(sink: WhipSink) -> Iterator[Feed]:
    feed = Feed(sink)
    task = asyncio.create_task(feed.run())
    try:
        yield feed
    finally:
        task.cancel()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def ask(method: str, url: str, body: str | None = None) -> tuple[int, str]:
    request = urllib.request.Request(url, body.encode() if body else None, method=method)
    request.add_header("Content-Type", "application/sdp")
    request.add_header("Authorization", f"Bearer {TOKEN}")
    with urllib.request.urlopen(request, timeout=10) as reply:
        return reply.status, reply.read().decode()


async def sessions_of(address: str) -> int:
    _, told = await asyncio.to_thread(ask, "GET", f"http://{address}/health")
    return int(told.partition('"sessions":')[2].split("}")[0])


async def watch(address: str, sink_name: str = "talk") -> Client:
    viewer = Client(sound=True)
    _, answer = await asyncio.to_thread(ask, "POST", f"http://{address}/whep/{sink_name}", await viewer.offer())
    await viewer.take(answer)
    return viewer


async def published_again(sink: WhipSink) -> bool:
    for _ in range(200):
        if sink.stats.read_counters()["published"] == 2:
            return True
        await asyncio.sleep(0.05)
    return False


async def heard_from(transport: RTCDtlsTransport) -> bool:
    for _ in range(100):
        if transport._RTCDtlsTransport__rx_packets:
            return True
        await asyncio.sleep(0.05)
    return False


async def empty(address: str) -> bool:
    """Whether the server has no session any more; ending one takes it a moment."""
    for _ in range(100):
        if not await sessions_of(address):
            return True
        await asyncio.sleep(0.05)
    return False


async def test_the_picture_reaches_a_viewer_and_the_end_is_told() -> None:
    with serving(ACCESS) as address:
        async with WhipSink(f"http://{address}/whip/talk", token=TOKEN, sound=True) as sink:
            with feeding(sink) as feed:
                viewer = await watch(address)
                seen = await viewer.pictures(20)
                heard = [await viewer.tracks["audio"].recv() for _ in range(10)]
                await viewer.close()
            assert feed.error is None
            assert await sessions_of(address) == 1
        assert np.abs(seen[-1][48, 64].astype(int) - COLOUR).max() <= 6
        assert max(np.abs(frame.to_ndarray()).max() for frame in heard) > 0.1 * 32767
        assert await empty(address)


async def test_a_restarted_server_gets_the_picture_again() -> None:
    port = free_port()
    with serving(ACCESS, port) as address:
        sink = WhipSink(f"http://{address}/whip/talk", token=TOKEN)
        await sink.__aenter__()
    try:
        with feeding(sink) as feed, serving(ACCESS, port) as address:
            assert await published_again(sink)
            viewer = await watch(address)
            assert np.abs((await viewer.pictures(5))[-1][48, 64].astype(int) - COLOUR).max() <= 6
            await viewer.close()
            assert feed.error is None
            await sink.__aexit__(None, None, None)
            assert await empty(address)
    finally:
        await sink.__aexit__(None, None, None)


async def test_a_server_that_falls_silent_without_a_word_gets_the_picture_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connections: list[RTCPeerConnection] = []

    def create_connection(configuration: RTCConfiguration) -> RTCPeerConnection:
        connections.append(RTCPeerConnection(configuration))
        return connections[-1]

    silence = SilenceLimits(timeout_s=2.0, min_reports=1)
    with serving(ACCESS) as address:
        url = f"http://{address}/whip/talk"
        async with WhipSink(url, token=TOKEN, silence=silence, create_connection=create_connection) as sink:
            with feeding(sink) as feed:
                transport = connections[0].getTransceivers()[0].sender.transport
                assert await heard_from(transport)
                monkeypatch.setattr(transport.transport, "_recv", asyncio.Event().wait)  # nothing arrives any more
                assert await published_again(sink)
                assert feed.error is None
                viewer = await watch(address)
                assert len(await viewer.pictures(5)) == 5
                await viewer.close()


async def test_a_server_that_comes_back_with_another_token_ends_it_with_one_line() -> None:
    port = free_port()
    with serving(ACCESS, port) as address:
        sink = WhipSink(f"http://{address}/whip/talk", token=TOKEN)
        await sink.__aenter__()
    try:
        feed = Feed(sink)
        with serving(AccessPolicy("quite another token, long"), port):
            async with asyncio.timeout(10):
                await feed.run()
        assert isinstance(feed.error, RejectedError)
        assert "LIVEHEAD_WHIP_TOKEN" in str(feed.error)
        assert TOKEN not in str(feed.error)
    finally:
        await sink.__aexit__(None, None, None)


@pytest.mark.parametrize(("token", "told"), [("", "wants a token"), ("wrong", "refuses the token")])
async def test_a_wrong_token_is_told_before_anything_is_sent(token: str, told: str) -> None:
    with serving(ACCESS) as address:
        with pytest.raises(RejectedError, match=told):
            await WhipSink(f"http://{address}/whip/talk", token=token).__aenter__()
        assert await empty(address)


async def test_a_server_that_is_not_there_is_told() -> None:
    with pytest.raises(SinkError, match="nothing listens there"):
        await WhipSink(f"http://127.0.0.1:{free_port()}/whip/talk").__aenter__()
