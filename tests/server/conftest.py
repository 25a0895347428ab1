"""A server whose avatar is the camera's own picture: everything is real but the renderer."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamTrack

from livehead.commands.bench_webrtc import PassthroughAvatar
from livehead.commands.performer import DRAWN_PORTRAIT
from livehead.commands.players import ServerAvatarFactory
from livehead.commands.serve import make_server
from livehead.config import GainSettings, RunSettings
from livehead.errors import NoFaceError
from livehead.frames import Image
from livehead.motion.keypoints import MESH478, Keypoints
from livehead.perception.portrait import Crop, Portrait
from livehead.server.access import AccessPolicy
from livehead.server.app import StudioApp
from livehead.server.caller import ServerAddress
from livehead.server.listener import HttpListener
from livehead.server.session import SessionLimits, SessionDefaults
from livehead.server.sessions import SessionManager
from livehead.server.stage import AvatarSettings, AvatarRuntime
from livehead.sinks.ice import NO_ICE_SERVERS, IceServers, patch_transceiver_gathering

SIZE = (128, 96)
FPS = 30.0
TOKEN = "a token of twenty-four c"
SETTINGS = RunSettings.model_validate(
    {"model": "warp", "driver": "idle", "render_size": 128, "stream": {"size": (128, 128)}, "sinks": ("null",)}
)


def blank_portrait(name: str) -> Portrait:
    nothing = np.zeros((1, 478, 2), np.float32)
    motion = Keypoints(MESH478, nothing, nothing[..., 0], None, np.ones(1, np.float32), 0)
    photo = np.zeros((64, 64, 3), np.uint8)
    return Portrait(name, photo, Crop(0, 0, 64), photo, motion, (), name)


class MirrorTroupe:
    """Stages that give the camera's picture back; a dark photo counts as one without a face."""

    drivers = ("face", "idle")
    models = ("passthrough",)

    def __init__(self, seconds: float = 0.0) -> None:
        """``seconds`` that a change of the stage takes."""
        self.seconds = seconds

    def default_settings(self) -> AvatarSettings:
        return AvatarSettings(blank_portrait("first"), "face", "passthrough", "relative", GainSettings(), "keep", False)

    def prepare_portrait(self, pixels: Image) -> Portrait:
        if pixels.mean() < 10:
            raise NoFaceError("No face was found in your photo", "use another one")
        return blank_portrait("second")

    def create_runtime(self, settings: AvatarSettings, previous: AvatarRuntime | None) -> AvatarRuntime:
        if previous is not None:
            time.sleep(self.seconds)
        return PassthroughAvatar(settings, SIZE)


def sessions(
    seconds: float = 0.0, troupe: MirrorTroupe | None = None, ice: IceServers = NO_ICE_SERVERS, **limits: float
) -> SessionManager:
    return SessionManager(
        troupe or MirrorTroupe(seconds), SessionDefaults(FPS, SIZE[0], SessionLimits(**limits), ice=ice)
    )


@contextmanager
def serving(
    access: AccessPolicy | None = None,
    port: int = 0,
    troupe: MirrorTroupe | None = None,
    ice: IceServers = NO_ICE_SERVERS,
    **limits: float,
) -> Iterator[str]:
    """A server on a thread of its own: ``host:port``."""
    studio = StudioApp(sessions(troupe=troupe, ice=ice, **limits), access or AccessPolicy(), "Ask first.")
    listener = HttpListener(studio.build_app(), "127.0.0.1", port)
    thread = threading.Thread(target=lambda: asyncio.run(listener.serve()))
    thread.start()
    try:
        while not listener.started:
            assert thread.is_alive()
            threading.Event().wait(0.01)
        yield f"127.0.0.1:{listener.port}"
    finally:
        listener.stop()
        thread.join(20)
        assert not thread.is_alive()


@pytest.fixture
def server() -> Iterator[str]:
    with serving() as address:
        yield address


class Colours(MediaStreamTrack):
    """A camera that shows one colour, brighter from frame to frame."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    async def recv(self) -> av.VideoFrame:
        await asyncio.sleep(1 / FPS)
        image = np.full((96, 128, 3), (200, 60, 20), np.uint8)
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts, frame.time_base = self.count * 3000, Fraction(1, 90_000)
        self.count += 1
        return frame


class Tone(MediaStreamTrack):
    """A microphone that hums."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    async def recv(self) -> av.AudioFrame:
        await asyncio.sleep(0.02)
        times = (self.count + np.arange(960)) / 48_000
        samples = np.rint(12_000 * np.sin(2 * np.pi * 200 * times)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, self.count, Fraction(1, 48_000)
        self.count += 960
        return frame


class Client:
    """A stranger's end of the connection: aiortc as it is."""

    def __init__(
        self,
        camera: MediaStreamTrack | None = None,
        microphone: MediaStreamTrack | None = None,
        *,
        sound: bool = False,
    ) -> None:
        self.peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.tracks: dict[str, MediaStreamTrack] = {}
        self.peer.on("track", lambda track: self.tracks.update({track.kind: track}))
        first = self.peer.addTransceiver(camera or "video", "sendrecv" if camera else "recvonly")
        if microphone is not None:
            self.peer.addTransceiver(microphone, "sendrecv")
        elif sound:
            self.peer.addTransceiver("audio", "recvonly")
        patch_transceiver_gathering(first)

    async def offer(self) -> str:
        await self.peer.setLocalDescription(await self.peer.createOffer())
        return self.peer.localDescription.sdp

    async def take(self, answer: str) -> None:
        await self.peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))

    async def pictures(self, count: int, timeout_s: float = 15.0) -> list[np.ndarray]:
        async with asyncio.timeout(timeout_s):
            return [(await self.tracks["video"].recv()).to_ndarray(format="rgb24") for _ in range(count)]

    async def close(self) -> None:
        await self.peer.close()


class Served:
    """``livehead serve`` on a thread, at a port that stays the same from start to start."""

    def __init__(self, folder: Path) -> None:
        self.port = 0
        self._folder = folder
        self.start()

    def start(self) -> None:
        troupe = ServerAvatarFactory(SETTINGS, DRAWN_PORTRAIT, self._folder)
        self.studio = make_server(troupe, SETTINGS, AccessPolicy(TOKEN), SessionLimits())
        self._listener = HttpListener(self.studio.build_app(), "127.0.0.1", self.port)
        self.port = self._listener.port
        self._thread = threading.Thread(target=lambda: asyncio.run(self._listener.serve()))
        self._thread.start()

    def stop(self) -> None:
        self._listener.stop()
        self._thread.join(20)
        assert not self._thread.is_alive()

    @property
    def address(self) -> ServerAddress:
        return ServerAddress.parse(f"ws://127.0.0.1:{self.port}")


@pytest.fixture
async def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    monkeypatch.setenv("LIVEHEAD_HOME", str(tmp_path))
    server = await asyncio.to_thread(Served, tmp_path / "guests")
    yield server
    await asyncio.to_thread(server.stop)
