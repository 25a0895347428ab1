"""A program that sends its voice and no picture by WHIP: the voice moves the avatar."""

import asyncio
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamTrack

from livehead.assembly.server_avatars import ServerAvatarFactory
from livehead.assembly.synthetic_performer import DRAWN_PORTRAIT
from livehead.bench.voice_timing import synthesize_babble
from livehead.config import RunSettings
from livehead.evaluation.speech import lip_opening
from livehead.perception.voice_activity import VoiceActivityDetector
from livehead.server.session import Session
from livehead.server.session_defaults import SessionDefaults
from livehead.server.session_manager import SessionManager
from livehead.server.whip_whep import WhipWhepStreams
from livehead.webrtc.ice import patch_transceiver_gathering
from tests.fixtures.studio import Client, Colours, sessions

RATE, PACKET = 48_000, 960


class Voice(MediaStreamTrack):
    """A bot's voice: so many seconds of speech, then silence."""

    kind = "audio"

    def __init__(self, seconds: float) -> None:
        super().__init__()
        speech = np.repeat(synthesize_babble(seconds), RATE // 16_000) if seconds else np.zeros(0, np.float32)
        self._samples = np.concatenate([speech, np.zeros(20 * RATE, np.float32)])
        self._at = 0

    async def recv(self) -> av.AudioFrame:
        await asyncio.sleep(PACKET / RATE)
        samples = (self._samples[self._at : self._at + PACKET] * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, self._at, Fraction(1, RATE)
        self._at += PACKET
        return frame


class Bot:
    """A publisher with sound only."""

    def __init__(self, voice: MediaStreamTrack) -> None:
        self.peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        patch_transceiver_gathering(self.peer.addTransceiver(voice, "sendonly"))

    async def publish(self, streams: WhipWhepStreams, name: str) -> None:
        await self.peer.setLocalDescription(await self.peer.createOffer())
        answer = await streams.publish_stream(name, self.peer.localDescription.sdp)
        await self.peer.setRemoteDescription(RTCSessionDescription(answer.sdp, "answer"))


async def widest_mouth(session: Session, seconds: float) -> float:
    """The widest opening of the mouth that moves the avatar."""
    widest = 0.0
    with session.connections.subscribe_motion() as motions, suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while (motion := await motions.get()) is not None:
                widest = max(widest, float(lip_opening(motion.points3d())[0]))
    return widest


async def test_the_voice_of_a_publisher_without_a_picture_moves_the_avatar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIVEHEAD_HOME", str(tmp_path))
    # it is not sure of the babble, which has no words
    monkeypatch.setattr(VoiceActivityDetector, "speech_probabilities", lambda _, samples: np.ones(len(samples) // 512))
    settings = RunSettings.model_validate(
        {"model": "warp", "driver": "face", "render_size": 128, "stream": {"size": (128, 128)}, "sinks": ("null",)}
    )
    factory = await asyncio.to_thread(ServerAvatarFactory, settings, DRAWN_PORTRAIT)
    async with SessionManager(factory, SessionDefaults(30.0, 128)) as manager:
        streams, opened = WhipWhepStreams(manager), []
        for seconds in (6.0, 0.0):
            bot = Bot(Voice(seconds))
            await bot.publish(streams, "bot" if seconds else "silent-bot")
            session = list(manager)[-1]
            assert session.avatar_settings.driver == "voice"
            opened.append(await widest_mouth(session, 5.0))
            await bot.peer.close()
        viewer = Client()
        watched = await streams.watch_stream("bot", await viewer.offer())
        await viewer.take(watched.sdp)
        assert (await viewer.pictures(3))[-1].shape == (128, 128, 3)
        await viewer.close()
    assert opened[0] > 3 * opened[1], opened


async def test_a_camera_that_comes_later_drives_the_same_stream() -> None:
    async with sessions() as manager:
        streams, bot, camera = WhipWhepStreams(manager), Bot(Voice(0.0)), Client(Colours())
        await bot.publish(streams, "me")
        [session] = manager
        published = await streams.publish_stream("me", await camera.offer())
        await camera.take(published.sdp)
        assert (await camera.pictures(5))[-1].shape == (96, 128, 3)
        assert list(manager) == [session]
        assert session.avatar_settings.driver == "face"
        await camera.close()
        await bot.peer.close()
