"""Motion in place of a camera: the newest counts, silence means that nobody is seen, nonsense is refused."""

import asyncio
import json
from dataclasses import replace
from typing import cast

import numpy as np
import pytest

from livehead.clock import NS, now_ns
from livehead.concurrency import Latest
from livehead.drivers.network import NetworkMotionSource
from livehead.errors import ProtocolError
from livehead.motion.face.face_basis import load_face_basis
from livehead.motion.keypoints import Keypoints, mesh_keypoints
from livehead.motion_stages import TimedMotion
from livehead.protocol.motion_packets import MotionHeader, MotionPacketEncoder
from tests.server.test_app import studio, until


def face(number: int) -> Keypoints:
    return mesh_keypoints(load_face_basis().mean * (0.3 + 0.01 * number), 1.0, number * 33_000_000)


@pytest.fixture
def fed() -> tuple[MotionPacketEncoder, NetworkMotionSource]:
    writer = MotionPacketEncoder(face(0), 30)
    return writer, NetworkMotionSource(writer.header.pack())


async def received(feed: NetworkMotionSource) -> Keypoints:
    motion = (await feed.recv()).motion
    assert isinstance(motion, Keypoints)
    return motion


async def test_before_the_first_packet_nobody_is_seen(fed: tuple[MotionPacketEncoder, NetworkMotionSource]) -> None:
    before = now_ns()
    motion = await received(fed[1])
    assert not motion.seen
    assert motion.captured_ns >= before
    assert motion.set == fed[1].motion_set == "mesh478"


async def test_a_packet_wakes_the_reader_and_the_newest_counts(
    fed: tuple[MotionPacketEncoder, NetworkMotionSource],
) -> None:
    writer, feed = fed
    packets = [writer.encode(face(number)) for number in (0, 9)]
    waiting = asyncio.create_task(received(feed))
    await asyncio.sleep(0)
    before = now_ns()
    for packet in packets:
        feed.receive_packet(packet)
    motion = await waiting
    assert motion.seen
    assert before <= motion.captured_ns <= now_ns()
    np.testing.assert_allclose(motion.value, face(9).value, atol=0.01)


async def test_after_half_a_second_of_silence_nobody_is_seen(
    fed: tuple[MotionPacketEncoder, NetworkMotionSource],
) -> None:
    writer, feed = fed
    feed.receive_packet(writer.encode(face(3)))
    assert (await received(feed)).seen
    started = now_ns()
    silent = await received(feed)
    assert now_ns() - started >= 0.45 * NS
    assert not silent.seen
    np.testing.assert_allclose(silent.value, face(3).value, atol=0.01)


async def test_silence_goes_on_at_the_frame_rate_until_a_packet_comes(
    fed: tuple[MotionPacketEncoder, NetworkMotionSource],
) -> None:
    writer, feed = fed
    output: Latest[TimedMotion] = Latest()
    running = asyncio.create_task(feed.run(output))
    for _ in range(3):
        assert not cast(Keypoints, (await output.get()).motion).seen
    feed.receive_packet(writer.encode(face(5)))
    async with asyncio.timeout(5):
        while not cast(Keypoints, (await output.get()).motion).seen:
            pass
    feed.stop()
    await asyncio.wait_for(running, 5)


async def test_a_sender_may_begin_anew(fed: tuple[MotionPacketEncoder, NetworkMotionSource]) -> None:
    writer, feed = fed
    for number in range(5):
        feed.receive_packet(writer.encode(face(number)))
    feed.restart_decoder()
    again = MotionPacketEncoder(face(0), 30)
    feed.receive_packet(again.encode(face(8)))
    np.testing.assert_allclose((await received(feed)).value, face(8).value, atol=0.01)


async def test_a_broken_packet_is_refused_and_the_motion_stays(
    fed: tuple[MotionPacketEncoder, NetworkMotionSource],
) -> None:
    writer, feed = fed
    feed.receive_packet(writer.encode(face(3)))
    with pytest.raises(ProtocolError):
        feed.receive_packet(b"nonsense of some length")
    assert (await received(feed)).seen


class TestOverTheSocket:
    def opening(self, **other: object) -> str:
        opening = replace(MotionHeader.for_motion(face(0), 30), **other)
        return json.dumps({"type": "motion", "opening": opening.pack().hex()})

    def test_packets_before_their_opening_are_refused(self, server: str) -> None:
        with studio(server) as (page, _):
            page.send(b"\1\1\1\1")
            assert "binary" in str(until(page, "problem")["problem"])

    def test_motion_that_is_not_known_is_refused_and_the_session_goes_on(self, server: str) -> None:
        with studio(server) as (page, _):
            page.send(self.opening(basis=1))
            assert "basis" in str(until(page, "problem")["problem"])
            page.send(json.dumps({"type": "motion", "opening": (b"LHMW\2" + bytes(30)).hex()}))
            assert "version 2" in str(until(page, "problem")["problem"])
            page.send(self.opening())
            page.send(MotionPacketEncoder(face(0), 30).encode(face(0)))
            page.send(json.dumps({"type": "freeze", "on": True}))
            while not until(page, "state")["frozen"]:
                pass

    def test_broken_packets_end_the_connection_in_the_end(self, server: str) -> None:
        from websockets.exceptions import ConnectionClosed

        with studio(server) as (page, _):
            page.send(self.opening())
            problems = 0
            with pytest.raises(ConnectionClosed):  # noqa: PT012 - sending and reading both may meet the end
                for number in range(200):
                    page.send(bytes([255, number]))
                    problems += until(page, "problem")["fatal"] is False
            assert problems == 20

    def test_a_flood_of_packets_is_dropped_and_the_conversation_goes_on(self, server: str) -> None:
        writer = MotionPacketEncoder(face(0), 30)
        with studio(server) as (page, _):
            page.send(self.opening())
            for number in range(600):
                page.send(writer.encode(face(number % 10)))
            page.send(json.dumps({"type": "freeze", "on": True}))
            while not (state := until(page, "state"))["frozen"]:
                pass
            assert state["frozen"]
