"""Peers: a stranger's WebRTC end against a session, over real sockets. What ends leaves nothing behind."""

import asyncio
import gc
import os
import threading
import weakref
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from aiortc.sdp import SessionDescription
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from livehead.errors import LiveheadError, ProtocolError
from livehead.interfaces import DriverInputs, Motion
from livehead.pipeline import Pipeline
from livehead.server.session import Session
from livehead.server.whip_whep import WhipWhepStreams
from livehead.webrtc.broadcast import BroadcastSink
from livehead.webrtc.peer import MediaKind, PeerConnection
from tests.fixtures.studio import Client, Colours, MirrorAvatar, Tone, sessions


def shows_the_camera(picture: np.ndarray) -> bool:
    """Whether it has the colour of ``Colours``, as far as codecs keep it."""
    return bool(np.abs(picture.reshape(-1, 3).mean(axis=0) - (200, 60, 20)).max() < 14)


async def performing(session: Session) -> Client:
    client = Client(Colours())
    await client.take(await session.accept_publisher(await client.offer()))
    return client


async def test_a_performer_s_camera_comes_back_as_the_avatar() -> None:
    async with sessions() as all_sessions:
        session = await all_sessions.open_session()
        client = await performing(session)
        pictures = await client.pictures(40)
        assert shows_the_camera(pictures[-1])
        assert pictures[-1].shape == (96, 128, 3)
        assert session.stats_sampler.sample().fps > 5
        await client.close()


async def test_sound_is_sent_sooner_by_what_the_page_keeps_it_back_but_not_for_a_single_word_of_it() -> None:
    async with sessions() as all_sessions:
        session = await all_sessions.open_session()
        session.stats.record_timing("capture_to_wire", 100.0)
        for _ in range(5):
            session.playout_timing.report_playout_delay(70.0)
        assert session.playout_timing.video_latency_ms() == 100.0
        assert session.playout_timing.audio_lead_ms() == 70.0
        session.playout_timing.report_playout_delay(500.0)
        assert session.playout_timing.audio_lead_ms() == 70.0
        for _ in range(5):
            session.playout_timing.report_playout_delay(170.0)
        assert session.playout_timing.audio_lead_ms() == 85.0  # what evens its packets out is waited for in any case


async def test_a_driver_hears_the_performer_s_microphone(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[np.ndarray] = []
    estimate = MirrorAvatar.estimate

    def listening(avatar: MirrorAvatar, inputs: DriverInputs) -> Motion:
        if inputs.audio is not None:
            heard.append(inputs.audio.samples)
        return estimate(avatar, inputs)

    monkeypatch.setattr(MirrorAvatar, "estimate", listening)
    async with sessions() as all_sessions:
        session = await all_sessions.open_session()
        client = Client(Colours(), Tone())
        await client.take(await session.accept_publisher(await client.offer()))
        await client.pictures(40)
        await client.close()
    spectrum = np.abs(np.fft.rfft(heard[-1][0]))
    assert abs(spectrum.argmax() * 16_000 / heard[-1].shape[1] - 200) < 5
    assert np.abs(heard[-1]).max() > 0.2


async def test_viewers_share_one_encoder_and_each_begins_with_a_whole_picture() -> None:
    async with sessions() as all_sessions:
        session = await all_sessions.open_session()
        client = await performing(session)
        await client.pictures(5)
        viewers = [Client(sound=True) for _ in range(3)]
        for viewer in viewers:
            answer, _ = await session.accept_viewer(await viewer.offer())
            assert "a=sendonly" in answer
            await viewer.take(answer)
        for viewer in viewers:
            assert shows_the_camera((await viewer.pictures(10))[-1])
        assert session.connections.viewer_count == 3
        [encoder] = session.broadcast._encoders.values()
        assert encoder.open_count == 1
        for each in (*viewers, client):
            await each.close()


async def test_a_performer_who_comes_back_goes_on_and_viewers_notice_nothing() -> None:
    async with sessions() as all_sessions:
        session = await all_sessions.open_session()
        first = await performing(session)
        await first.pictures(30)
        viewer = Client()
        await viewer.take((await session.accept_viewer(await viewer.offer()))[0])
        await viewer.pictures(5)
        second = await performing(session)
        assert shows_the_camera((await second.pictures(30))[-1])
        assert shows_the_camera((await viewer.pictures(5))[-1])
        for each in (first, second, viewer):
            await each.close()


async def test_without_a_camera_the_avatar_goes_on_by_itself() -> None:
    async with sessions() as all_sessions:
        session = await all_sessions.open_session()
        viewer = Client()
        await viewer.take((await session.accept_viewer(await viewer.offer()))[0])
        grey = (await viewer.pictures(10))[-1]
        assert np.abs(grey.astype(int) - 64).max() < 20
        await viewer.close()


async def test_a_stream_is_published_by_whip_and_watched_by_whep() -> None:
    async with sessions() as all_sessions:
        streams = WhipWhepStreams(all_sessions)
        camera, viewer = Client(Colours()), Client()
        with pytest.raises(LiveheadError, match="no stream"):
            await streams.watch_stream("me", await viewer.offer())
        published = await streams.publish_stream("me", await camera.offer())
        await camera.take(published.sdp)
        watched = await streams.watch_stream("me", viewer.peer.localDescription.sdp)
        await viewer.take(watched.sdp)
        assert shows_the_camera((await viewer.pictures(40))[-1])
        assert await streams.remove_viewer(watched.resource_id)
        assert not await streams.remove_viewer(watched.resource_id)
        assert await streams.unpublish_stream(published.resource_id)
        assert not await streams.unpublish_stream(published.resource_id)
        for each in (camera, viewer):
            await each.close()


async def test_a_stream_that_just_ended_can_be_published_again_at_once() -> None:
    async with sessions() as all_sessions:
        streams = WhipWhepStreams(all_sessions)
        camera = Client(Colours())
        offer = await camera.offer()
        published = await streams.publish_stream("me", offer)
        first = next(iter(all_sessions))
        assert await streams.unpublish_stream(published.resource_id)
        with pytest.raises(LiveheadError, match="has ended"):
            await first.accept_publisher(offer)
        again = await streams.publish_stream("me", offer)
        await camera.take(again.sdp)
        await camera.pictures(5)
        await camera.close()


async def test_an_offer_that_names_a_strange_place_does_no_harm_to_the_next() -> None:
    async with sessions() as all_sessions:
        session = await all_sessions.open_session()
        client = Client(Colours())
        lines = (await client.offer()).splitlines()
        odd = ["a=rtcp:9 IN IP4 nowhere" if line.startswith("a=rtcp:") else line for line in lines]
        with suppress(ProtocolError):
            await session.accept_publisher("\r\n".join(odd))
        await client.take(await session.accept_publisher("\r\n".join(lines)))
        await client.pictures(3)
        await client.close()


async def test_names_of_streams_are_plain() -> None:
    async with sessions() as all_sessions:
        for name in ("", "../me", "a b", "x" * 65):
            with pytest.raises(ProtocolError):
                await WhipWhepStreams(all_sessions).publish_stream(name, "v=0")


async def test_a_viewer_s_connection_that_ends_is_forgotten() -> None:
    async with sessions() as all_sessions:
        session = await all_sessions.open_session()
        viewer = Client()
        await viewer.take((await session.accept_viewer(await viewer.offer()))[0])
        await viewer.pictures(2)
        await viewer.close()
        for _ in range(200):
            await asyncio.sleep(0.05)
            if not session.connections.viewer_count and not session.broadcast.receiver_count:
                return
        pytest.fail("the viewer is still counted")


async def test_a_peer_that_never_calls_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("livehead.webrtc.peer.CONNECT_TIMEOUT_S", 0.2)
    async with BroadcastSink() as broadcast:
        client, peer = Client(), PeerConnection(broadcast)
        await peer.create_answer(await client.offer())
        async with asyncio.timeout(10):
            await peer.closed.wait()
        assert broadcast.receiver_count == 0
        await client.close()


async def offered() -> str:
    client = Client(Colours(), sound=True)
    offer = await client.offer()
    await client.close()
    return offer


OFFER = asyncio.run(offered()).splitlines()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(0, len(OFFER) - 1), st.text(max_size=20), st.booleans()), min_size=1, max_size=4))
def test_offers_that_are_nearly_right_are_answered_or_refused_and_nothing_else(
    edits: list[tuple[int, str, bool]],
) -> None:
    async def try_one() -> None:
        lines = list(OFFER)
        for place, text, whole in edits:
            lines[place] = text if whole else lines[place][: len(text) * 3] + text
        async with BroadcastSink() as broadcast:
            peer = PeerConnection(broadcast)
            try:
                await peer.create_answer("\r\n".join(lines))
            except ProtocolError:
                pass
            finally:
                await peer.close()

    asyncio.run(try_one())


async def test_addresses_that_stand_in_the_first_part_alone_are_called(monkeypatch: pytest.MonkeyPatch) -> None:
    async with BroadcastSink() as broadcast:
        client, peer = Client(sound=True), PeerConnection(broadcast)
        parts = (await client.offer()).split("m=")
        parts[-1] = "".join(line for line in parts[-1].splitlines(True) if "candidate" not in line)  # as browsers do
        connection = client.peer.getTransceivers()[0].receiver.transport.transport._connection
        called = asyncio.Event()
        monkeypatch.setattr(connection, "check_incoming", lambda *_: called.set())
        monkeypatch.setattr(connection, "connect", asyncio.Event().wait)  # does not call by itself
        monkeypatch.setattr(connection, "_early_checks", [])
        connection._early_checks_done = True
        await client.take(await peer.create_answer("m=".join(parts)))
        async with asyncio.timeout(5):
            await called.wait()
        await peer.close()
        await client.close()


# what ends a line, or parts a word, for one reader of text and not for another
SEPARATORS = ("\r\n", "\n", "\r", "\f", "\v", "\x1c", "\x85", "\u2028", "\t", " ", "\0", "")
DIRECTIONS = ("a=recvonly", "a=sendrecv", "a=sendonly", "a=inactive", "a=inactive-or-so", "a=recvonly ", "A=recvonly")


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    allowed=st.sampled_from(((), ("audio",), ("video",))),
    edits=st.lists(
        st.tuples(st.integers(0, len(OFFER) - 1), st.sampled_from(DIRECTIONS), st.sampled_from(SEPARATORS)), max_size=5
    ),
    ending=st.sampled_from(SEPARATORS[:3]),
)
def test_whatever_the_offer_no_lane_is_open_for_a_kind_that_is_not_allowed(
    allowed: tuple[MediaKind, ...], edits: list[tuple[int, str, str]], ending: str
) -> None:
    async def try_one() -> None:
        lines = list(OFFER)
        for place, direction, separator in edits:
            lines[place] = f"{direction}{separator}{lines[place]}"
        async with BroadcastSink() as broadcast:
            peer = PeerConnection(broadcast, sent_kinds=frozenset(allowed))
            with suppress(ProtocolError):
                await peer.create_answer(ending.join(lines))
            assert {track.kind for track in broadcast._tracks} <= set(allowed)
            sending = [each for each in peer._connection.getTransceivers() if each.sender.track is not None]
            assert {each.kind for each in sending} <= set(allowed)
            await peer.close()

    asyncio.run(try_one())


async def test_what_is_allowed_is_sent_and_the_rest_is_inactive_in_the_answer() -> None:
    async with BroadcastSink() as broadcast:
        client, peer = Client(sound=True), PeerConnection(broadcast, sent_kinds=frozenset(["audio"]))
        answer = SessionDescription.parse(await peer.create_answer(await client.offer()))
        assert {part.kind: part.direction for part in answer.media} == {"video": "inactive", "audio": "sendonly"}
        await peer.close()
        refused = PeerConnection(broadcast, sent_kinds=frozenset())
        with pytest.raises(ProtocolError, match="nothing that may be sent"):
            await refused.create_answer(client.peer.localDescription.sdp)
        await refused.close()
        await client.close()


@pytest.mark.parametrize("space", [" ", "\t", "\v ", "\t\t"])
async def test_names_that_only_multicast_finds_are_not_asked_for_whatever_stands_behind_them(
    space: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def resolve(*arguments: object) -> None:
        asked.append(str(arguments))

    monkeypatch.setattr("aioice.mdns.MDnsProtocol.resolve", resolve)
    client = Client()
    name = f"a=candidate:9 1 udp 1 0a0b-0c0d.local{space}5000 typ host"
    offer = (await client.offer()).replace("a=end-of-candidates", f"{name}\r\na=end-of-candidates")
    async with BroadcastSink() as broadcast, asyncio.timeout(5):
        peer = PeerConnection(broadcast)
        with suppress(ProtocolError):
            await peer.create_answer(offer)
        await peer.close()
    await client.close()
    assert asked == []


def open_sockets() -> int:
    return sum("socket:" in os.readlink(fd) for fd in map(str, Path("/proc/self/fd").iterdir()) if os.path.islink(fd))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts sockets as Linux lists them")
async def test_a_session_that_ended_leaves_no_task_thread_or_port() -> None:
    async def one() -> None:
        async with sessions() as all_sessions:
            session = await all_sessions.open_session()
            client, viewer = await performing(session), Client(sound=True)
            await viewer.take((await session.accept_viewer(await viewer.offer()))[0])
            await asyncio.gather(client.pictures(5), viewer.pictures(5))
            await asyncio.gather(client.close(), viewer.close())

    await one()  # what is made once for all, an executor say, is there now
    await asyncio.sleep(0.1)
    gc.collect()
    before = (len(asyncio.all_tasks()), open_sockets(), threading.active_count())
    await one()
    await one()
    await asyncio.sleep(0.1)
    gc.collect()
    after = (len(asyncio.all_tasks()), open_sockets(), threading.active_count())
    assert after[:2] == before[:2]
    assert after[2] <= before[2] + 1  # the event loop's own executor may still grow


def parts_of(peer: PeerConnection) -> list[weakref.ref]:
    """What one connection consists of, by references that keep none of it."""
    connection = peer._connection
    parts = [peer, peer._restartable_ice, *peer._tracks, connection]
    for each in connection.getTransceivers():
        transport = each.receiver.transport
        parts += [each, each.sender, each.receiver, each.receiver._track, transport, transport._ssl]
        parts += [transport.transport, transport.transport._connection]
    return [weakref.ref(part) for part in parts if part is not None]


async def all_gone(parts: list[weakref.ref]) -> None:
    for _ in range(100):
        gc.collect()
        if not any(part() is not None for part in parts):
            return
        await asyncio.sleep(0.05)
    pytest.fail(f"still there: {[type(part()).__name__ for part in parts if part() is not None]}")


async def test_nothing_of_a_connection_is_kept_by_the_session_that_goes_on_without_it() -> None:
    async with sessions() as all_sessions:
        session = await all_sessions.open_session()
        client, viewer = await performing(session), Client(sound=True)
        answer, watching = await session.accept_viewer(await viewer.offer())
        await viewer.take(answer)
        await asyncio.gather(client.pictures(5), viewer.pictures(5))
        performer = session.connections.publisher
        assert performer is not None
        parts = parts_of(performer) + parts_of(watching)
        assert len(parts) >= 25
        await session.connections.remove_viewer(watching)
        performer = watching = None
        second = await performing(session)  # takes the first one's place
        await second.pictures(5)
        await asyncio.gather(client.close(), viewer.close())
        await all_gone(parts)
        await second.close()


async def test_nothing_of_a_connection_that_never_came_up_or_was_refused_is_kept() -> None:
    client = Client(Colours(), sound=True)
    offer = await client.offer()
    parts: list[weakref.ref] = []
    async with BroadcastSink() as broadcast:
        for sdp in (offer, "v=0", offer.replace("a=setup", "a=set"), offer.replace(" VP8/90000", " X/1")):
            peer = PeerConnection(broadcast)
            parts += parts_of(peer)
            with suppress(ProtocolError):
                await peer.create_answer(sdp)
            parts += parts_of(peer)
            await peer.close()
            peer = None
        assert len(parts) >= 30
        await all_gone(parts)
    await client.close()


async def test_nothing_of_a_session_that_ended_is_kept() -> None:
    async with sessions() as all_sessions:
        streams = WhipWhepStreams(all_sessions)
        client = Client(Colours())
        published = await streams.publish_stream("me", await client.offer())
        [session] = all_sessions
        [pipeline] = [each for each in gc.get_objects() if type(each) is Pipeline and each.stats is session.stats]
        parts = [weakref.ref(part) for part in (session, session.broadcast, session.camera, pipeline)]
        session = pipeline = None
        assert await streams.unpublish_stream(published.resource_id)
        await all_gone(parts)
        await client.close()


async def test_a_publisher_that_takes_no_picture_costs_viewers_no_key_frames() -> None:
    async with sessions() as running:
        streams = WhipWhepStreams(running)
        publisher, viewer = Client(Colours()), Client()
        publisher.peer.getTransceivers()[0].direction = "sendonly"
        await publisher.take((await streams.publish_stream("talk", await publisher.offer())).sdp)
        await viewer.take((await streams.watch_stream("talk", await viewer.offer())).sdp)
        await viewer.pictures(45)
        (session,) = running
        assert session.broadcast.receiver_count == 1
        assert session.stats.read_counters()["key_frames"] <= 2  # the first, and one if the viewer asked
        await asyncio.gather(publisher.close(), viewer.close())
