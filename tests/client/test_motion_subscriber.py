"""A performer there, the avatar drawn here: motion comes as it was, again after a loss, and ends with the session."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from websockets.asyncio.client import connect

from livehead.assembly.synthetic_performer import DRAWN_PORTRAIT, bundled_portrait
from livehead.capture.file import FileCapture
from livehead.client.connection import ServerAddress
from livehead.client.motion_subscriber import RemoteMotionSource, ViewerLink
from livehead.concurrency import Latest
from livehead.errors import ConfigError
from livehead.frames import VideoFrame
from livehead.interfaces import EndOfStream
from livehead.motion.face.face_rig import FaceControls, FaceRig
from livehead.motion.keypoints import Keypoints
from livehead.motion_stages import TimedMotion
from livehead.protocol.motion_packets import MotionPacketEncoder
from tests.capture.conftest import rest
from tests.client.test_remote_renderer import PATIENCE_S, Relay
from tests.fixtures.studio import TOKEN, Served

STILL, ASIDE = FaceControls(), FaceControls(yaw=20.0, right=0.2)


class Stranger:
    """A performer of whom nothing but motion is known; ``pose`` is held."""

    def __init__(self, served: Served) -> None:
        self.pose = STILL
        self.key = ""
        self._served = served
        self._rig = FaceRig(bundled_portrait(DRAWN_PORTRAIT).motion)
        self._now_ns = 0

    def motion(self) -> Keypoints:
        self._now_ns += 33_000_000
        return self._rig.pose_face(self.pose, self._now_ns)

    async def perform(self) -> None:
        async with connect(self._served.address.websocket_url) as page:
            await page.send(json.dumps({"type": "hello", "role": "studio", "token": TOKEN}))
            self.key = json.loads(await page.recv())["viewer_key"]
            writer = MotionPacketEncoder(self.motion(), 30)
            await page.send(json.dumps({"type": "motion", "opening": writer.header.pack().hex()}))
            try:
                while True:
                    await page.send(writer.encode(self.motion()))
                    await asyncio.sleep(0.03)
            finally:
                await page.send(json.dumps({"type": "bye"}))

    @property
    def link(self) -> str:
        return f"http://127.0.0.1:{self._served.port}/watch#key={self.key}"


@asynccontextmanager
async def performing(served: Served) -> AsyncIterator[Stranger]:
    stranger = Stranger(served)
    task = asyncio.create_task(stranger.perform())
    async with asyncio.timeout(PATIENCE_S):
        while not stranger.key:  # noqa: ASYNC110 - the stranger has no event to tell
            await asyncio.sleep(0.02)
    yield stranger
    task.cancel()
    await asyncio.wait([task])


async def arrival(following: RemoteMotionSource, where: Keypoints) -> None:
    """Wait for motion that is ``where`` to within 0.3 pixels of a picture of 256; the session idles before it comes."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            motion = (await following.recv()).motion
            assert isinstance(motion, Keypoints)
            if motion.seen and float(np.abs(motion.value - where.value).max()) * 128 < 0.3:
                return


async def test_the_motion_comes_as_it_was(served: Served) -> None:
    async with (
        performing(served) as stranger,
        await RemoteMotionSource.connect(ViewerLink.parse(stranger.link), fps=30) as following,
    ):
        for stranger.pose in (STILL, ASIDE):
            await arrival(following, stranger.motion())


async def test_the_key_may_stand_in_the_environment(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    async with performing(served) as stranger:
        link, _, key = stranger.link.partition("#key=")
        monkeypatch.setenv("LIVEHEAD_VIEWER_KEY", key)
        async with await RemoteMotionSource.connect(ViewerLink.parse(link), fps=30) as following:
            await arrival(following, stranger.motion())


async def test_a_lost_connection_is_made_anew(served: Served) -> None:
    told: list[str] = []
    async with performing(served) as stranger, Relay(served.port) as relay:
        link = ViewerLink(ServerAddress.parse(f"ws://127.0.0.1:{relay.port}"), stranger.key)
        async with await RemoteMotionSource.connect(link, fps=30, report=told.append) as following:
            await arrival(following, stranger.motion())
            relay.cut()
            stranger.pose = ASIDE
            await arrival(following, stranger.motion())
    assert [line.partition(" to ")[0] for line in told] == ["no connection", "connected"]
    assert told[1].endswith("again")
    assert stranger.key not in str(told)


async def test_it_ends_with_the_session(served: Served) -> None:
    told: list[str] = []
    async with performing(served) as stranger:
        following = await RemoteMotionSource.connect(ViewerLink.parse(stranger.link), fps=30, report=told.append)
        await following.__aenter__()
        await arrival(following, stranger.motion())
    output: Latest[TimedMotion] = Latest()
    await asyncio.wait_for(following.run(output), PATIENCE_S)
    await following.__aexit__(None, None, None)
    assert "nobody to watch" in told[-1]


async def test_followers_count_as_viewers_and_leave_no_trace(served: Served) -> None:
    async with performing(served) as stranger:
        [session] = served.studio.sessions
        async with await RemoteMotionSource.connect(ViewerLink.parse(stranger.link), fps=30) as following:
            await arrival(following, stranger.motion())
            assert session.connections.viewer_count == 1
        async with asyncio.timeout(PATIENCE_S):
            while session.connections.viewer_count:  # noqa: ASYNC110 - on the server's thread
                await asyncio.sleep(0.02)


async def test_only_so_many_may_follow(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    async with performing(served) as stranger:
        [session] = served.studio.sessions
        monkeypatch.setattr(session.connections, "_max_viewers", 0)
        with pytest.raises(ConfigError, match="as many viewers"):
            await RemoteMotionSource.connect(ViewerLink.parse(stranger.link), fps=30)


async def test_a_link_that_opens_nothing_gets_one_line_without_its_key(served: Served) -> None:
    with pytest.raises(ConfigError, match="nobody to watch") as refused:
        await RemoteMotionSource.connect(
            ViewerLink.parse(f"http://127.0.0.1:{served.port}/watch#key=nobody-s-key"), fps=30
        )
    assert "nobody-s-key" not in str(refused.value)
    with pytest.raises(ConfigError, match="does not answer"):
        await RemoteMotionSource.connect(ViewerLink.parse("http://127.0.0.1:9/watch#key=nobody-s-key"), fps=30)


@pytest.mark.parametrize(
    "link",
    [
        "https://studio.example/watch",
        "https://studio.example/#key=abc",
        "https://studio.example:port/watch#key=abc",
        "ftp://studio.example/watch#key=abc",
        "http://studio.example/watch#key=abc",  # in the clear
        "https://me:word@studio.example/watch#key=abc",
    ],
)
def test_what_is_no_viewer_s_link_is_refused_without_its_key(link: str) -> None:
    with pytest.raises(ConfigError) as refused:
        ViewerLink.parse(link)
    assert "abc" not in str(refused.value)
    assert "--render-at" not in str(refused.value)


async def test_the_command_line_draws_whom_it_follows(served: Served, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    words = [
        "run",
        "--avatar",
        DRAWN_PORTRAIT,
        "--model",
        "warp",
        "--size",
        "128x128",
        "--render-size",
        "128",
        "--absolute",
    ]
    async with performing(served) as stranger:
        words += ["--driver", f"motion:{stranger.link}", "--sink", f"file:{out}", "--seconds", "6"]
        pipe = asyncio.subprocess.PIPE
        run = await asyncio.create_subprocess_exec(sys.executable, "-m", "livehead", *map(str, words), stderr=pipe)
        assert run.stderr is not None
        said = ""
        async with asyncio.timeout(PATIENCE_S):
            while "first frame" not in said:
                line = (await run.stderr.readline()).decode()
                assert line, said
                said += line
        await asyncio.sleep(3)
        stranger.pose = ASIDE
        said += (await run.communicate())[1].decode()
    assert run.returncode == 0, said
    assert stranger.key not in said
    film: list[VideoFrame] = []
    async with FileCapture(out) as capture:
        with pytest.raises(EndOfStream):
            await rest(capture, film)
    assert len(film) > 60
    assert np.abs(film[-1].image.astype(int) - film[30].image).mean() > 3
