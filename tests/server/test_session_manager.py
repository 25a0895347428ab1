"""What all sessions of a server share: their memory, and what they may still do when they end."""

import asyncio
import threading
import time
from collections.abc import Callable
from functools import cache
from typing import cast

import numpy as np
import pytest

from livehead.assembly.avatar_runtime import AvatarRuntime, AvatarSettings
from livehead.codecs.h264 import ENCODER_FACTORIES, X264, H264EncoderSpec
from livehead.config import FaceChoice
from livehead.errors import ProtocolError, SessionError
from livehead.frames import Image
from livehead.perception.photo_frames import PhotoFrame
from livehead.perception.portrait import Portrait
from livehead.protocol import messages
from livehead.server.session import Session
from livehead.server.whip_whep import WhipWhepStreams
from tests.fixtures.studio import SIZE, Client, Colours, MirrorAvatar, MirrorAvatarFactory, serving, sessions
from tests.server.test_app import studio

IDLE = messages.SettingsUpdate(driver="idle")
PHOTO = np.full((8, 8, 3), 200, np.uint8)


class CountingAvatar(MirrorAvatar):
    """An avatar that counts how often it was closed."""

    closed = 0

    def close(self, successor: AvatarRuntime | None) -> None:
        self.closed += 1


class LateAvatarFactory(MirrorAvatarFactory):
    """What it is asked for while a session plays is there when that session has ended."""

    def __init__(self) -> None:
        super().__init__()
        self.session: Session | None = None
        self.asked = threading.Event()
        self.made: list[CountingAvatar] = []

    def prepare_portrait(self, pixels: Image, face: FaceChoice = "largest") -> Portrait:
        self._wait()
        return super().prepare_portrait(pixels, face)

    def create_runtime(self, settings: AvatarSettings, previous: AvatarRuntime | None) -> AvatarRuntime:
        if previous is not None:
            self._wait()
        self.made.append(CountingAvatar(settings, SIZE))
        return self.made[-1]

    def _wait(self) -> None:
        assert self.session is not None
        self.asked.set()
        while not self.session.ended.is_set():
            time.sleep(0.01)


async def until(true: Callable[[], bool]) -> None:
    for _ in range(1000):
        if true():
            return
        await asyncio.sleep(0.01)
    pytest.fail("it never came")


async def test_hardware_encoders_are_tried_when_the_server_starts_and_not_again_when_somebody_joins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried: list[threading.Thread] = []

    @cache
    def find() -> H264EncoderSpec:
        tried.append(threading.current_thread())
        return X264

    monkeypatch.setitem(cast("dict[str, object]", ENCODER_FACTORIES), "auto", find)
    async with sessions() as running:
        assert len(tried) == 1
        assert tried[0] is not threading.main_thread()
        session = await running.open_session()
        session.broadcast.add_video_track("H264")
        await until(lambda: session.stats.read_counters().get("encoded", 0) > 0)
        assert len(tried) == 1


async def test_a_session_that_everybody_has_left_draws_nothing() -> None:
    async with sessions() as running:
        session, client = await running.open_session(), Client()
        _, viewer = await session.accept_viewer(await client.offer())
        await until(lambda: session.stats.read_counters().get("encoded", 0) > 3)
        await client.close()
        await session.connections.remove_viewer(viewer)
        await asyncio.sleep(0.3)
        drawn = len(session.stats.recent_timings("draw", 1000))
        await asyncio.sleep(0.5)
        assert len(session.stats.recent_timings("draw", 1000)) == drawn
        session.broadcast.add_video_track("H264")
        await until(lambda: len(session.stats.recent_timings("draw", 1000)) > drawn)


async def test_an_address_with_a_port_that_there_cannot_be_does_not_end_the_others() -> None:
    broken: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: broken.append(context))
    async with sessions() as running:
        session, client = await running.open_session(), Client()
        offer = await client.offer()
        [*_, true] = [line for line in offer.splitlines() if line.startswith("a=candidate:")]
        fields = true.split()
        false = " ".join(["a=candidate:falsehood", *fields[1:3], "2147483647", fields[4], "70000", *fields[6:]])
        answer, viewer = await session.accept_viewer(offer.replace(true, f"{false}\r\n{true}"))
        await client.take(answer)
        assert len(await client.pictures(3)) == 3
        await client.close()
        await session.connections.remove_viewer(viewer)
    assert broken == []


async def test_memory_goes_back_when_the_last_session_has_ended_and_not_while_one_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: list[int] = []
    async with sessions(reap_interval_s=0.02) as running:
        monkeypatch.setattr("livehead.server.session_manager.trim_heap", lambda: given.append(len(running)))
        await until(lambda: bool(given))  # what starting took
        given.clear()
        first, second = await running.open_session(), await running.open_session()
        first.close("done")
        await until(lambda: len(running) == 1)
        await asyncio.sleep(0.2)
        assert given == []
        second.close("done")
        await until(lambda: bool(given))
        await asyncio.sleep(0.2)
        assert given == [0]


async def test_an_avatar_that_is_ready_after_its_session_ended_is_closed_too() -> None:
    avatar_factory = LateAvatarFactory()
    async with sessions(avatar_factory=avatar_factory) as running:
        session = avatar_factory.session = await running.open_session()
        change = asyncio.create_task(session.avatar_switcher.update_settings(IDLE))
        await until(avatar_factory.asked.is_set)
        session.close("the page left")
        with pytest.raises(SessionError, match="has ended"):
            await change
        await until(lambda: not len(running))
    assert len(avatar_factory.made) >= 2
    assert {avatar.closed for avatar in avatar_factory.made} == {1}


async def test_a_change_whose_turn_never_came_is_refused_as_any_after_the_end() -> None:
    avatar_factory = LateAvatarFactory()
    async with sessions(avatar_factory=avatar_factory) as running:
        session = avatar_factory.session = await running.open_session()
        photo = asyncio.create_task(session.avatar_switcher.set_portrait([PhotoFrame(PHOTO)]))
        await until(avatar_factory.asked.is_set)
        change = asyncio.create_task(session.avatar_switcher.update_settings(IDLE))
        await asyncio.sleep(0)
        session.close("the page left")
        for refused in (photo, change):
            with pytest.raises(SessionError, match="has ended"):
                await refused


async def test_nothing_is_recorded_once_a_session_has_ended() -> None:
    async with sessions() as running:
        session = await running.open_session()
        session.close("the page left")
        await session.ended.wait()
        with pytest.raises(SessionError, match="has ended"):
            await session.set_recording(True)
        assert not session.recorder.recording


async def test_a_session_that_ends_while_its_avatar_is_made_stops_no_other() -> None:
    async with sessions(seconds=1.0) as all_sessions:
        session = await all_sessions.open_session()
        changing = asyncio.create_task(session.avatar_switcher.update_settings(IDLE))
        await asyncio.sleep(0.2)  # the thread is at it
        session.close("left")
        longest, last = 0.0, time.monotonic()
        while not session.ended.is_set() or not changing.done():
            await asyncio.sleep(0.005)
            longest, last = max(longest, time.monotonic() - last), time.monotonic()
        with pytest.raises(SessionError):
            await changing
    assert longest < 0.5


async def test_an_offer_that_cannot_be_answered_takes_no_place() -> None:
    client = Client(Colours())
    offer = await client.offer()
    bad = ["", "v=0", offer.replace("m=video", "m=text"), offer.replace("VP8/", "X/").replace("H264/", "X/")]
    async with sessions(sessions=1) as all_sessions:
        streams = WhipWhepStreams(all_sessions)
        for number, sdp in enumerate(bad):
            with pytest.raises(ProtocolError):
                await streams.publish_stream(f"stream-{number}", sdp)
        published = await streams.publish_stream("stream", offer)
        await client.take(published.sdp)
        await client.pictures(3)
        for sdp in bad:  # nor does it end the one that is there
            with pytest.raises(ProtocolError):
                await streams.publish_stream("stream", sdp)
        await client.pictures(10)
        await client.close()


async def test_the_session_that_nobody_has_for_longest_gives_way_and_never_one_that_somebody_is_connected_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("livehead.server.session.CONNECT_TIMEOUT_S", 0.5)
    client = Client(Colours())
    async with sessions(sessions=3) as all_sessions:
        streams = WhipWhepStreams(all_sessions)
        await client.take((await streams.publish_stream("mine", await client.offer())).sdp)
        await client.pictures(3)
        [connected] = all_sessions
        stranger = await offer_of_nobody()
        for name in ("first", "second"):
            await streams.publish_stream(name, stranger)
        first = next(session for session in all_sessions if session.number == 2)
        with pytest.raises(SessionError, match="as many sessions as it takes"):
            await streams.publish_stream("third", stranger)  # they may still be connected to
        await asyncio.sleep(0.6)
        await streams.publish_stream("third", stranger)
        assert {session.number for session in all_sessions} == {1, 3, 4}
        assert (first.close_reason, connected.ended.is_set()) == ("its place was needed", False)
        await client.pictures(3)
        await client.close()


async def offer_of_nobody() -> str:
    """An offer of a client that is gone."""
    client = Client(Colours())
    offer = await client.offer()
    await client.close()
    return offer


def test_pages_that_are_loaded_again_and_again_without_a_word_find_a_place_each_time() -> None:
    with serving(sessions=2) as address:
        for _ in range(12):
            with studio(address) as (_, welcome):
                assert welcome["type"] == "welcome"


def test_pages_that_are_there_do_not_drive_each_other_out() -> None:
    with serving(sessions=2) as address, studio(address) as (_, one), studio(address) as (_, other):
        assert one["type"] == other["type"] == "welcome"
        for _ in range(3):
            with studio(address) as (_, third):
                assert third["type"] == "problem"
