"""A session's avatar is moved by the camera's driver, or by the network feed that is attached in its place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import numpy as np

from livehead.concurrency import Latest
from livehead.drivers.network import NetworkMotionSource
from livehead.interfaces import DriverInputs, Motion
from livehead.motion.face.mean_face import load_mean_face
from livehead.motion.keypoints import Keypoints, mesh_keypoints
from livehead.motion_source import DriverMotionSource
from livehead.motion_stages import TimedMotion
from livehead.protocol.motion_packets import MotionPacketEncoder
from livehead.server.motion_input import SwitchableMotionSource


@dataclass(frozen=True)
class TaggedMotion:
    """What the consumer gets: a motion, and by which way it came."""

    motion: Motion
    way: str

    @property
    def set(self) -> str:
        return self.motion.set

    @property
    def captured_ns(self) -> int:
        return self.motion.captured_ns


def face(number: int) -> Keypoints:
    return mesh_keypoints(load_mean_face() * (0.3 + 0.01 * number), 1.0, number * 33_000_000)


class ClockDriver:
    """A driver that looks at no camera."""

    def estimate(self, inputs: DriverInputs) -> Motion:
        return TaggedMotion(face(0), "camera")


@asynccontextmanager
async def running() -> AsyncIterator[tuple[SwitchableMotionSource, Latest[TimedMotion]]]:
    output: Latest[TimedMotion] = Latest()
    sources: list[SwitchableMotionSource] = []
    camera = DriverMotionSource(None, ClockDriver(), fps=100, has_consumers=lambda: sources[0].feed is None)
    source = SwitchableMotionSource(camera, lambda motion: TaggedMotion(motion, "network"))
    sources.append(source)
    async with source, asyncio.timeout(20):
        task = asyncio.create_task(source.run(output))
        yield source, output
        source.stop()
        await task


async def next_from(output: Latest[TimedMotion], way: str) -> Keypoints:
    while True:
        motion = (await output.get()).motion
        assert isinstance(motion, TaggedMotion)
        if motion.way == way:
            assert isinstance(motion.motion, Keypoints)
            return motion.motion


async def test_the_camera_moves_the_avatar_until_a_feed_is_attached_and_again_afterwards() -> None:
    encoder = MotionPacketEncoder(face(0), 30)
    feed = NetworkMotionSource(encoder.header.pack(), fps=100)
    async with running() as (source, output):
        await next_from(output, "camera")
        source.attach_feed(feed)
        assert not (await next_from(output, "network")).seen, "before the first packet nobody is seen"
        feed.receive_packet(encoder.encode(face(7)))
        while not (motion := await next_from(output, "network")).seen:
            pass
        np.testing.assert_allclose(motion.value, face(7).value, atol=0.01)
        source.attach_feed(None)
        await next_from(output, "camera")


async def test_the_driver_rests_while_a_feed_moves_the_avatar() -> None:
    feed = NetworkMotionSource(MotionPacketEncoder(face(0), 30).header.pack(), fps=100)
    async with running() as (source, output):
        source.attach_feed(feed)
        await next_from(output, "network")
        ways = [(await output.get()).motion for _ in range(20)]
        assert {motion.way for motion in ways[2:] if isinstance(motion, TaggedMotion)} == {"network"}


async def test_another_feed_takes_the_place_of_the_first() -> None:
    first, second = (MotionPacketEncoder(face(0), 30) for _ in range(2))
    feeds = [NetworkMotionSource(encoder.header.pack(), fps=100) for encoder in (first, second)]
    async with running() as (source, output):
        source.attach_feed(feeds[0])
        await next_from(output, "network")
        source.attach_feed(feeds[1])
        feeds[0].receive_packet(first.encode(face(1)))
        feeds[1].receive_packet(second.encode(face(9)))
        while not (motion := await next_from(output, "network")).seen:
            pass
        np.testing.assert_allclose(motion.value, face(9).value, atol=0.01)
