"""One encode for all receivers; a slow one loses only its own pictures."""

import asyncio
import threading
from fractions import Fraction
from itertools import count
from typing import Any, cast

import numpy as np
import pytest
from aiortc.codecs.opus import OpusDecoder
from aiortc.codecs.vpx import Vp8Decoder, VpxPayloadDescriptor
from aiortc.jitterbuffer import JitterFrame
from aiortc.mediastreams import MediaStreamError

from livehead.clock import NS, now_ns
from livehead.codecs.h264 import ENCODER_FACTORIES, X264, H264EncoderSpec
from livehead.frames import AudioFrame, VideoFrame
from livehead.webrtc.broadcast import (
    OPUS_RATE,
    TRACK_QUEUE_LENGTH,
    BroadcastSink,
    SmoothedDelay,
)
from livehead.webrtc.encoded_track import EncodedTrack, PassthroughEncoder
from livehead.webrtc.encoder import START_BITRATE


def picture(number: int) -> VideoFrame:
    image = np.full((64, 64, 3), number * 7 % 255, np.uint8)
    return VideoFrame(image, number * 3000, Fraction(1, 90_000), now_ns())


def sound(number: int, captured_ns: int) -> AudioFrame:
    tone = np.sin(np.arange(960) * 0.1).astype(np.float32)[None] * 0.5
    return AudioFrame(tone, OPUS_RATE, number * 960, captured_ns)


async def test_receivers_of_one_codec_get_the_very_same_packets() -> None:
    async with BroadcastSink() as broadcast:
        one, other = broadcast.add_video_track("H264"), broadcast.add_video_track("H264")
        await broadcast.send(picture(0))
        assert (await one.recv()) is (await other.recv())
        assert broadcast.stats.read_counters()["encoded"] == 1


async def test_only_those_who_ask_get_the_matte_beside_the_colours() -> None:
    image = np.full((64, 64, 4), 200, np.uint8)
    image[..., 3] = np.where(np.arange(64) < 32, 0, 255)
    frame = VideoFrame(image, 0, Fraction(1, 90_000), now_ns())
    async with BroadcastSink() as broadcast:
        plain, other = broadcast.add_video_track("VP8"), broadcast.add_video_track("VP8", with_alpha=True)
        await broadcast.send(frame)
        decoder = Vp8Decoder()

        async def shown(track: EncodedTrack) -> np.ndarray:
            payloads = (await track.recv()).payloads
            data = b"".join(VpxPayloadDescriptor.parse(payload)[1] for payload in payloads)
            return decoder.decode(JitterFrame(data, 0))[0].to_ndarray(format="gray").astype(int)

        flat, both = await shown(plain), await shown(other)
        assert (flat.shape, both.shape) == ((64, 64), (64, 128))
        assert flat[:, :24].max() < 6, "black"
        assert abs(both[:, :24].mean() - both[:, 40:60].mean()) < 6, "colours as they are"
        assert both[:, 72:90].mean() < 20 < 225 < both[:, 104:].mean(), "the matte"


async def test_a_hardware_encoder_is_tried_at_the_start_and_never_on_the_event_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    happened: list[str] = []

    class Card(H264EncoderSpec):
        def open(self, *args: Any) -> Any:
            happened.append("opened")
            return super().open(*args)

    def find() -> H264EncoderSpec:
        happened.append("tried" if threading.current_thread() is not threading.main_thread() else "loop held up")
        return Card(X264.name, X264.options)

    monkeypatch.setitem(cast("dict[str, object]", ENCODER_FACTORIES), "auto", find)
    async with BroadcastSink(encoder="auto") as broadcast:
        assert happened == ["tried"]
        track = broadcast.add_video_track("H264")
        await broadcast.send(picture(0))
        assert (await track.recv()).payloads
    async with BroadcastSink(encoder="software") as broadcast:
        track = broadcast.add_video_track("H264")
        await broadcast.send(picture(0))
        assert (await track.recv()).payloads
    assert happened == ["tried", "opened"]


async def test_nothing_is_encoded_for_nobody() -> None:
    async with BroadcastSink() as broadcast:
        await broadcast.send(picture(0))
        await broadcast.send(sound(0, now_ns()))
        assert broadcast.stats.read_counters() == {}


async def test_a_receiver_begins_with_a_key_frame_and_a_late_one_too() -> None:
    async with BroadcastSink() as broadcast:
        first = broadcast.add_video_track("H264")
        for number in range(3):
            await broadcast.send(picture(number))
        assert (await first.recv()).is_key_frame
        assert not (await first.recv()).is_key_frame
        await asyncio.sleep(0.3)
        late = broadcast.add_video_track("H264")
        for number in range(3, 6):
            await broadcast.send(picture(number))
        assert (await late.recv()).is_key_frame


async def test_a_slow_receiver_is_emptied_and_goes_on_with_a_key_frame() -> None:
    async with BroadcastSink() as broadcast:
        slow, quick = broadcast.add_video_track("H264"), broadcast.add_video_track("H264")
        seen = 0
        for number in range(TRACK_QUEUE_LENGTH + 5):
            await broadcast.send(picture(number))
            seen += (await quick.recv()).timestamp == number * 3000
            if number == TRACK_QUEUE_LENGTH:
                await asyncio.sleep(0.3)  # after which a new key frame is allowed
        assert seen == TRACK_QUEUE_LENGTH + 5
        assert slow.dropped == TRACK_QUEUE_LENGTH
        assert (await slow.recv()).is_key_frame
        assert quick.dropped == 0


async def test_a_request_storm_makes_few_key_frames() -> None:
    async with BroadcastSink() as broadcast:
        track = broadcast.add_video_track("H264")
        for number in range(10):
            track.request_key_frame()
            await broadcast.send(picture(number))
            await track.recv()
        assert broadcast.stats.read_counters()["key_frames"] == 1


async def test_the_owner_s_estimate_sets_the_bitrate_and_no_viewer_s() -> None:
    async with BroadcastSink() as broadcast:
        owner, viewer = broadcast.add_video_track("H264", is_owner=True), broadcast.add_video_track("H264")
        for track, bitrate in ((owner, 2_000_000), (viewer, 700_000)):
            PassthroughEncoder(track).target_bitrate = bitrate
        await broadcast.send(picture(0))
        assert broadcast.total_bitrate == 2_000_000
        owner.stop()
        await broadcast.send(picture(1))
        assert broadcast.total_bitrate == 700_000, "the only one's own link"


async def test_a_slow_viewer_gets_a_coding_of_its_own_and_goes_on_with_a_key_frame(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moments = count(now_ns(), NS // 30)
    monkeypatch.setattr("livehead.webrtc.broadcast.now_ns", lambda: next(moments))
    noise = np.random.default_rng(0).integers(0, 255, (8, 96, 96, 3), np.uint8)
    async with BroadcastSink() as broadcast:
        owner, slow = broadcast.add_video_track("H264", is_owner=True), broadcast.add_video_track("H264")
        PassthroughEncoder(slow).target_bitrate = 1
        number, high, low = 0, None, None
        while slow.encoding == owner.encoding:
            assert high is low
            frame = VideoFrame(noise[number % 8], number * 3000, Fraction(1, 90_000), number * NS // 30)
            await broadcast.send(frame)
            high, low = await owner.recv(), await slow.recv()
            number += 1
            assert number < 400
        assert low.is_key_frame
        for later in range(number, number + 60):
            await broadcast.send(VideoFrame(noise[later % 8], later * 3000, Fraction(1, 90_000), later * NS // 30))
            high, low = await owner.recv(), await slow.recv()
            assert high is not low
            assert not low.is_key_frame
        assert broadcast.stats.read_counters()["viewers.low"] == 1
        assert sum(map(len, low.payloads)) < sum(map(len, high.payloads)) / 2
        slow.stop()
        await broadcast.send(picture(number + 100))
        assert broadcast.total_bitrate == START_BITRATE, "nothing is encoded for nobody"


async def test_a_receiver_that_left_gets_nothing_more() -> None:
    async with BroadcastSink() as broadcast:
        track = broadcast.add_video_track("VP8")
        track.stop()
        await broadcast.send(picture(0))
        assert broadcast.receiver_count == 0
        with pytest.raises(MediaStreamError):
            await track.recv()


async def test_sound_waits_until_the_picture_of_its_moment_is_out() -> None:
    async with BroadcastSink(delay_ms=lambda: 120.0) as broadcast:
        track = broadcast.add_audio_track()
        captured = now_ns()
        for number in range(4):
            await broadcast.send(sound(number, captured))
        first = await track.recv()
        assert now_ns() - captured >= 0.12 * NS
        second = await track.recv()
        assert second.timestamp - first.timestamp == 960


async def test_sound_goes_before_its_picture_by_what_receivers_keep_it_back_and_is_no_later_for_that() -> None:
    async with BroadcastSink(delay_ms=lambda: 400.0, audio_lead_ms=lambda: 380.0) as broadcast:
        track = broadcast.add_audio_track()
        for number in range(4):
            await broadcast.send(sound(number, now_ns() - 3 * NS // 10))
        async with asyncio.timeout(5):
            await track.recv()
        assert "sound.late" not in broadcast.stats.read_counters()


async def test_sound_that_is_far_too_late_is_left_out_so_that_it_catches_up_with_the_picture() -> None:
    async with BroadcastSink() as broadcast:
        track = broadcast.add_audio_track()
        for number in range(5):
            await broadcast.send(sound(number, now_ns() - NS))
        assert broadcast.stats.read_counters()["sound.late"] == 5
        for number in range(5, 9):
            await broadcast.send(sound(number, now_ns()))
        async with asyncio.timeout(5):
            packets = [await track.recv() for _ in range(3)]
        steps = [after.timestamp - before.timestamp for before, after in zip(packets, packets[1:], strict=False)]
        assert steps == [960, 960]  # no gap in the receiver's time, which it would fill


def test_a_delay_of_sound_changes_slowly_and_not_for_nothing() -> None:
    delay = SmoothedDelay()
    assert delay.next_delay_ms(60) == 60
    assert {delay.next_delay_ms(wanted) for wanted in (55, 66, 53, 67)} == {60}
    way = [delay.next_delay_ms(100) for _ in range(100)]
    steps = [after - before for before, after in zip([60.0, *way], way, strict=False)]
    assert max(steps) <= 0.5
    assert way[-1] == 100
    assert delay.next_delay_ms(80) == 99.5


async def test_sound_keeps_its_level() -> None:
    decoder = OpusDecoder()
    async with BroadcastSink() as broadcast:
        track = broadcast.add_audio_track()
        for number in range(20):
            await broadcast.send(sound(number, now_ns()))
        items = [await track.recv() for _ in range(15)]
    frames = [
        frame
        for item in items
        for frame in decoder.decode(JitterFrame(data=item.payloads[0], timestamp=item.timestamp))
    ]
    levels = [np.abs(frame.to_ndarray().astype(float)).max() / 32768 for frame in frames[5:]]
    assert np.median(levels) == pytest.approx(0.5, rel=0.2)
