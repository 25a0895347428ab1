"""What viewers cost the server: a camera by WHIP, viewers by WHEP, and the processor time of the server's process.

The viewers live in the measuring process; they take the packets and throw them away, so that the machine is not busy
decoding.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import av
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamTrack

from livehead.bench.process_usage import read_process_usage
from livehead.clock import TIME_BASE, FramePacer
from livehead.errors import DeviceError
from livehead.frames import Image
from livehead.reporting.report import Json
from livehead.webrtc.receiver_patches import discard_received_media

_STREAM_NAME = "bench"
_CONNECT_TIMEOUT_S = 15.0


async def measure_viewers_cpu(
    url: str, pid: int, pictures: Sequence[Image], count: int, seconds: float, settle_s: float = 4.0
) -> dict[str, Json]:
    """Cores that process ``pid``, which serves at ``url``, keeps busy with one viewer and with ``count``.

    ``pictures`` are uint8 [H, W, 3] RGB, which the camera plays at 30 a second. ``settle_s`` passes after the viewers
    have joined and before anything is measured. The ``ratio`` compares the processor time for each picture sent, as a
    busy machine may send fewer in one of the two runs. Raises: DeviceError.
    """
    async with AsyncExitStack() as stack:
        camera = await _connect(url, "whip", _LoopingVideoTrack(pictures))
        stack.push_async_callback(camera.close)
        cores, rates = {}, {}
        viewers = 0
        for wanted in (1, count):
            for _ in range(wanted - viewers):
                viewer = await _connect(url, "whep", None)
                stack.push_async_callback(viewer.close)
            viewers = wanted
            await asyncio.sleep(settle_s)
            before, sent = read_process_usage(pid).cpu_s, await asyncio.to_thread(_read_sent_frames, url)
            await asyncio.sleep(seconds)
            cores[wanted] = (read_process_usage(pid).cpu_s - before) / seconds
            rates[wanted] = (await asyncio.to_thread(_read_sent_frames, url) - sent) / seconds
    if not min(rates.values()):
        raise DeviceError("the server sent no pictures", "is the machine overloaded?")
    return {
        "viewers": count,
        "cores_one": round(cores[1], 3),
        "cores_all": round(cores[count], 3),
        "fps_one": round(rates[1], 1),
        "fps_all": round(rates[count], 1),
        "ratio": round(cores[count] / rates[count] / (cores[1] / rates[1]), 3),
    }


def _read_sent_frames(url: str) -> float:
    """The number of pictures that the server says it has sent so far."""
    lines = _fetch_text(Request(f"{url}metrics")).splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("livehead_frames_sent ")))


class _LoopingVideoTrack(MediaStreamTrack):
    """A camera that plays pictures over and over."""

    kind = "video"

    def __init__(self, pictures: Sequence[Image]) -> None:
        super().__init__()
        self._frames = itertools.cycle([av.VideoFrame.from_ndarray(each, format="rgb24") for each in pictures])
        self._pacer = FramePacer(30.0)
        self._count = 0

    async def recv(self) -> Any:
        await self._pacer.wait_for_slot()
        frame = next(self._frames)
        frame.pts, frame.time_base = self._count * 3000, TIME_BASE
        self._count += 1
        return frame


async def _connect(url: str, protocol: str, camera: MediaStreamTrack | None) -> RTCPeerConnection:
    """A connection by WHIP (with a camera) or WHEP (without). Raises: DeviceError."""
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    transceiver = peer.addTransceiver(camera or "video", "sendonly" if camera else "recvonly")
    discard_received_media(transceiver.receiver)
    connected = asyncio.Event()
    peer.on("connectionstatechange", lambda: connected.set() if peer.connectionState == "connected" else None)
    await peer.setLocalDescription(await peer.createOffer())
    offer = peer.localDescription.sdp.encode()
    request = Request(f"{url}{protocol}/{_STREAM_NAME}", offer, {"content-type": "application/sdp"}, method="POST")
    try:
        answer = await asyncio.to_thread(_fetch_text, request)
        await peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        async with asyncio.timeout(_CONNECT_TIMEOUT_S):
            await connected.wait()
    except (URLError, TimeoutError) as error:
        await peer.close()
        raise DeviceError(f"no connection by {protocol} ({error})") from error
    return peer


def _fetch_text(request: Request) -> str:
    with urlopen(request, timeout=_CONNECT_TIMEOUT_S) as answer:
        return str(answer.read().decode())
