"""A viewer that says its link takes nothing and asks for key frames without end, and what that does to another."""

from __future__ import annotations

import asyncio
import sys
from fractions import Fraction
from typing import Any

import av
import numpy as np
from aiortc.mediastreams import MediaStreamTrack
from aiortc.rtp import RTCP_PSFB_APP, RTCP_PSFB_PLI, RtcpPsfbPacket, pack_remb_fci

from livehead.server.session import Session
from tests.fixtures.studio import FPS, Client, sessions

_FLOOD_INTERVAL_S = 0.02


class Noise(MediaStreamTrack):
    """A camera whose pictures take all the bits that they are given."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self._rng = np.random.default_rng(0)
        self._count = 0

    async def recv(self) -> av.VideoFrame:
        await asyncio.sleep(1 / FPS)
        image = self._rng.integers(0, 255, (48, 64, 3), np.uint8).repeat(2, axis=0).repeat(2, axis=1)
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts, frame.time_base = self._count * 3000, Fraction(1, 90_000)
        self._count += 1
        return frame


def received_bytes(viewer: Client) -> int:
    """What has come over a viewer's transport."""
    return int(viewer.peer.getTransceivers()[0].receiver.transport._RTCDtlsTransport__rx_bytes)


async def attack(viewer: Client, seconds: float) -> None:
    """Say again and again that the link takes one bit a second, and that a key frame is missing."""
    receiver: Any = viewer.peer.getTransceivers()[0].receiver
    own = receiver._RTCRtpReceiver__rtcp_ssrc
    for _ in range(round(seconds / _FLOOD_INTERVAL_S)):
        [ssrc, *_] = list(receiver._RTCRtpReceiver__active_ssrc) or [0]
        limit = RtcpPsfbPacket(RTCP_PSFB_APP, own, 0, pack_remb_fci(1, [ssrc]))
        await receiver._send_rtcp(limit)
        await receiver._send_rtcp(RtcpPsfbPacket(RTCP_PSFB_PLI, own, ssrc))
        await asyncio.sleep(_FLOOD_INTERVAL_S)


async def watch(session: Session) -> Client:
    viewer = Client()
    await viewer.take((await session.accept_viewer(await viewer.offer()))[0])
    await viewer.pictures(2)
    return viewer


async def drain(viewer: Client) -> None:
    """Take its pictures, as a page does."""
    while True:
        await viewer.tracks["video"].recv()


async def honest_bitrates(seconds: float, *, hostile: bool, owner: bool) -> tuple[float, float]:
    """The kbit/s of an honest viewer before and after another one has come, who is ``hostile`` or not.

    ``owner``: the performer looks at the avatar, as the studio's page does; a WHIP publisher does not.
    """
    async with sessions() as all_sessions:
        session = await all_sessions.open_session()
        performer = Client(Noise())
        if not owner:
            performer.peer.getTransceivers()[0].direction = "sendonly"
        await performer.take(await session.accept_publisher(await performer.offer()))
        honest = await watch(session)
        tasks = [asyncio.create_task(drain(honest))]
        if owner:
            tasks.append(asyncio.create_task(drain(performer)))
        try:
            await asyncio.sleep(2.5)
            before = await _measure(honest, seconds)
            other = await watch(session)
            tasks.append(asyncio.create_task(drain(other)))
            if hostile:
                tasks.append(asyncio.create_task(attack(other, 3600)))
            await asyncio.sleep(1.0)
            after = await _measure(honest, seconds)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            for each in (performer, honest, other):
                await each.close()
        return before, after


async def _measure(viewer: Client, seconds: float) -> float:
    start = received_bytes(viewer)
    await asyncio.sleep(seconds)
    return (received_bytes(viewer) - start) * 8 / 1000 / seconds


if __name__ == "__main__":
    for owner in (True, False):
        for hostile in (False, True):
            before, after = asyncio.run(honest_bitrates(8.0, hostile=hostile, owner=owner))
            sys.stdout.write(f"{owner=} {hostile=}: {before:.0f} -> {after:.0f} kbit/s\n")
