"""Tracked here, drawn there: the avatar follows, comes back after a loss and after the server's restart."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from livehead.assembly.synthetic_performer import DRAWN_PORTRAIT, bundled_portrait
from livehead.bench.av_offset import measure_file_offset
from livehead.bench.vowel_bursts import synthesize_vowel_bursts, write_wav
from livehead.client.connection import ServerAddress
from livehead.client.remote_renderer import RemoteRenderer, SessionRequest
from livehead.client.remote_run import RemoteRenderRun
from livehead.drivers.idle import IdleDriver
from livehead.errors import ConfigError, SourceError
from livehead.frames import Image
from livehead.motion.face.face_rig import FaceControls, FaceRig
from livehead.protocol import messages
from tests.fixtures.studio import SETTINGS, TOKEN, Served

IN_STEP_MS = 66  # two frames, for a busy machine
PATIENCE_S = 40.0  # on a busy machine; alone it takes two seconds
PLAIN = SessionRequest(messages.SettingsUpdate())


class Relay:
    """A way to the server for the WebSocket alone, which can be cut."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Relay:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cut()
        self._server.close()

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers += [writer, there[1]]
        await asyncio.gather(self._copy(reader, there[1]), self._copy(there[0], writer), return_exceptions=True)

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not true():  # noqa: ASYNC110 - what is waited for lies on other threads
            await asyncio.sleep(0.05)


@asynccontextmanager
async def running(studio: RemoteRenderer) -> AsyncIterator[None]:
    task = asyncio.create_task(studio.run())
    try:
        yield
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        await asyncio.wait([task])


class Film:
    """Holds a pose before the tracker, and looks at the avatar."""

    def __init__(self, studio: RemoteRenderer) -> None:
        self._studio = studio
        self._rig = FaceRig(bundled_portrait(DRAWN_PORTRAIT).motion)
        self._now_ns = 0

    async def show(self, pose: FaceControls, seconds: float) -> Image:
        """The last picture after so long."""
        image: Image | None = None
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while loop.time() < end:
            self._now_ns += 33_000_000
            self._studio.submit_motion(self._rig.pose_face(pose, self._now_ns))
            async with asyncio.timeout(5):
                image = (await self._studio.camera.recv()).image
            await asyncio.sleep(0.02)
        assert image is not None
        return image


async def test_the_avatar_follows_what_is_tracked_here(served: Served) -> None:
    studio = RemoteRenderer(served.address, TOKEN, PLAIN, fps=30)
    async with studio.camera, running(studio):
        film = Film(studio)
        studio.submit_motion(film._rig.pose_face(FaceControls(), 0))
        await until(lambda: studio.connection_count)
        await film.show(FaceControls(), 3.0)
        straight = await film.show(FaceControls(), 1.5)
        aside = await film.show(FaceControls(yaw=20.0, right=0.2), 1.5)
        back = await film.show(FaceControls(), 1.5)
    assert straight.shape == (128, 128, 3)
    assert straight.std() > 20  # the portrait, not a grey picture
    moved, returned = (np.abs(each.astype(int) - straight).mean() for each in (aside, back))
    assert moved > 3 * returned
    assert moved > 4
    assert studio.sent_bytes / studio.sent_packets <= 200  # 6 kB a second


async def test_after_a_lost_connection_the_same_session_goes_on(served: Served) -> None:
    async with Relay(served.port) as relay:
        studio = RemoteRenderer(ServerAddress.parse(f"ws://127.0.0.1:{relay.port}"), TOKEN, PLAIN, fps=30)
        async with studio.camera, running(studio):
            film = Film(studio)
            studio.submit_motion(film._rig.pose_face(FaceControls(), 0))
            await until(lambda: studio.connection_count == 1)
            await film.show(FaceControls(), 1.0)
            relay.cut()
            await until(lambda: studio.connection_count == 2)
            before = studio.camera.received
            await until(lambda: studio.camera.received > before + 10)
    assert served.studio.sessions.opened_count == 1


async def test_after_a_restart_of_the_server_the_run_comes_back(served: Served, tmp_path: Path) -> None:
    told: list[str] = []
    portrait = bundled_portrait(DRAWN_PORTRAIT)
    session_request = SessionRequest(messages.SettingsUpdate(badge=True), photo=DRAWN_PORTRAIT.read_bytes())
    driver = IdleDriver(portrait.motion)
    run = RemoteRenderRun(SETTINGS, driver, served.address, TOKEN, session_request, notify=told.append)
    going = asyncio.create_task(run.run())
    try:
        await until(lambda: going.done() or run.remote_renderer.connection_count)
        await until(lambda: going.done() or run.display_relay.stats.read_counters().get("sent", 0) > 30)
        await asyncio.to_thread(served.stop)
        await until(lambda: any("trying again" in line for line in told))
        before = run.remote_renderer.camera.received
        await asyncio.to_thread(served.start)
        await until(lambda: going.done() or run.remote_renderer.connection_count == 2)
        await until(lambda: going.done() or run.remote_renderer.camera.received > before + 30)
        (session,) = served.studio.sessions
        await until(lambda: session.avatar_settings.badge)  # the new session was told everything again
        assert session.avatar_settings.portrait.name == "your photo"
    finally:
        run.stop()
        await asyncio.wait([going])
    going.result()
    await until(lambda: not len(served.studio.sessions))  # and it has said good-bye
    assert not [thread.name for thread in threading.enumerate() if "webrtc-capture" in thread.name]


async def test_a_wrong_token_ends_the_run_and_is_not_told(served: Served) -> None:
    wrong = "another token of that length"
    studio = RemoteRenderer(served.address, wrong, PLAIN, fps=30)
    studio.submit_motion(bundled_portrait(DRAWN_PORTRAIT).motion)
    with pytest.raises(ConfigError, match="token is wrong") as refusal:
        await asyncio.wait_for(studio.run(), PATIENCE_S)
    assert wrong not in str(refusal.value)
    await studio.camera.__aexit__(None, None, None)


async def test_a_photo_without_a_face_ends_the_run(served: Served, tmp_path: Path) -> None:
    import cv2

    cv2.imwrite(str(tmp_path / "grey.png"), np.full((200, 200, 3), 128, np.uint8))
    session_request = SessionRequest(messages.SettingsUpdate(), photo=(tmp_path / "grey.png").read_bytes())
    studio = RemoteRenderer(served.address, TOKEN, session_request, fps=30)
    studio.submit_motion(bundled_portrait(DRAWN_PORTRAIT).motion)
    with pytest.raises(SourceError, match="face"):
        await asyncio.wait_for(studio.run(), PATIENCE_S)
    await studio.camera.__aexit__(None, None, None)


async def test_a_model_that_is_not_there_ends_the_run(served: Served) -> None:
    studio = RemoteRenderer(served.address, TOKEN, SessionRequest(messages.SettingsUpdate(model="nobody-s")), fps=30)
    studio.submit_motion(bundled_portrait(DRAWN_PORTRAIT).motion)
    with pytest.raises(ConfigError, match="no such model"):
        await asyncio.wait_for(studio.run(), PATIENCE_S)
    await studio.camera.__aexit__(None, None, None)


async def test_a_server_that_is_not_there_yet_is_waited_for() -> None:
    told: list[str] = []
    studio = RemoteRenderer(ServerAddress.parse("ws://127.0.0.1:9"), TOKEN, PLAIN, fps=30, report=told.append)
    studio.submit_motion(bundled_portrait(DRAWN_PORTRAIT).motion)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(studio.run(), 1.5)
    assert len(told) == 1  # once, not with each try
    await studio.camera.__aexit__(None, None, None)


@pytest.mark.parametrize(
    ("url", "socket", "http"),
    [
        ("wss://studio.example", "wss://studio.example/signal", "https://studio.example"),
        ("wss://studio.example:8443/", "wss://studio.example:8443/signal", "https://studio.example:8443"),
        ("ws://localhost:8000", "ws://localhost:8000/signal", "http://localhost:8000"),
        ("ws://[::1]:8000", "ws://[::1]:8000/signal", "http://[::1]:8000"),
    ],
)
def test_addresses(url: str, socket: str, http: str) -> None:
    assert ServerAddress.parse(url) == ServerAddress(socket, http)


@pytest.mark.parametrize(
    "url",
    [
        *(
            "studio.example",
            "https://studio.example",
            "wss://",
            "wss://host:port",
            "wss://host/path",
            "wss://host#token=x",
        ),
        *("ws://studio.example", "ws://192.168.1.5:8000", "wss://me:secret@host", "wss://[::1", "wss://host?token=x"),
    ],
)
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        ServerAddress.parse(url)
    assert "secret" not in str(refusal.value)


async def test_a_certificate_that_nobody_vouches_for_ends_the_run(tmp_path: Path) -> None:
    import ssl

    from tests.server.test_http_listener import certificate

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate(tmp_path))
    stranger = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    async with stranger:
        studio = RemoteRenderer(
            ServerAddress.parse(f"wss://127.0.0.1:{stranger.sockets[0].getsockname()[1]}"), TOKEN, PLAIN, fps=30
        )
        studio.submit_motion(bundled_portrait(DRAWN_PORTRAIT).motion)
        with pytest.raises(ConfigError, match="SSL_CERT_FILE"):
            await asyncio.wait_for(studio.run(), PATIENCE_S)
    await studio.camera.__aexit__(None, None, None)


async def test_sound_stays_here_and_is_in_step_with_the_picture_that_comes_back(served: Served, tmp_path: Path) -> None:
    speech, film = tmp_path / "say.wav", tmp_path / "out.mp4"
    write_wav(speech, synthesize_vowel_bursts(9))
    words = ["run", "--avatar", DRAWN_PORTRAIT, "--render-at", f"ws://127.0.0.1:{served.port}", "--driver", "voice"]
    words += ["--microphone", f"file:{speech}", "--sink", f"file:{film}", "--size", "256x256"]
    pipe = asyncio.subprocess.PIPE
    environment = {**os.environ, "LIVEHEAD_TOKEN": TOKEN}
    run = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "livehead", *map(str, words), stderr=pipe, env=environment
    )
    said = (await run.communicate())[1].decode()
    assert run.returncode == 0, said
    offset = await asyncio.to_thread(measure_file_offset, film)
    assert abs(offset.ms) <= IN_STEP_MS
    assert offset.correlation > 0.7
