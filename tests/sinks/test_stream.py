"""MPEG-TS and RTMP, read back by FFmpeg: every picture, in order, the sound in step; receivers may come and go."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import av
import av.error
import numpy as np
import pytest

from livehead.clock import NS, now_ns
from livehead.errors import ConfigError, SinkError
from livehead.frames import AudioFrame, VideoFrame
from livehead.sinks.stream import StreamSink, StreamTarget, rtmp_target, udp_target

SIZE = (192, 96)
FPS = 30
RATE = 48_000
BITS = 12
LISTEN = {"listen": "1", "analyzeduration": "200000"}
CLICK_S = 1.4  # when the picture turns bright and the tone begins


def picture(number: int, start_ns: int) -> VideoFrame:
    """Twelve stripes for the number's bits; the lower half is bright from ``CLICK_S`` on."""
    image = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    bits = np.array([(number >> bit) & 1 for bit in range(BITS)])
    image[: SIZE[1] // 2] = np.repeat(bits * 255, SIZE[0] // BITS).astype(np.uint8)[None, :, None]
    if number >= CLICK_S * FPS:
        image[SIZE[1] // 2 :] = 220
    captured_ns = start_ns + round(number * NS / FPS)
    return VideoFrame(image, number * 3000, Fraction(1, 90_000), captured_ns)


def number_of(image: np.ndarray) -> int:
    stripes = image[SIZE[1] // 4].mean(-1).reshape(BITS, -1).mean(-1) > 127
    return int(stripes @ (1 << np.arange(BITS)))


def sound(number: int, start_ns: int) -> AudioFrame:
    """The 1600 samples beside picture ``number``: a tone from ``CLICK_S`` on."""
    times = (number * 1600 + np.arange(1600)) / RATE
    tone = np.where(times >= CLICK_S, 0.5 * np.sin(times * 2 * np.pi * 440), 0)
    return AudioFrame(tone.astype(np.float32)[None], RATE, number * 1600, start_ns + round(number * 1600 / RATE * NS))


def sink_for(target: StreamTarget, *, audio: bool = True, proof_s: float = 4.0) -> StreamSink:
    rate = RATE if audio else None
    return StreamSink(target, size=SIZE, fps=FPS, bitrate=1_500_000, audio_rate=rate, proof_s=proof_s)


async def play(sink: StreamSink, pictures: int, *, audio: bool = True) -> None:
    start_ns = now_ns()
    for number in range(pictures):
        if audio:
            await sink.send(sound(number, start_ns))
        await sink.send(picture(number, start_ns))
        await asyncio.sleep(max(0.0, (start_ns + (number + 1) * NS / FPS - now_ns()) / NS))


class Receiver:
    """Reads a stream on a thread: pictures' numbers, when each came, and where brightness and tone begin (s)."""

    def __init__(self, url: str, options: dict[str, str]) -> None:
        self.numbers: list[int] = []
        self.came: list[float] = []
        self.keys: list[float] = []
        self.bright_s: float | None = None
        self.loud_s: float | None = None
        self.codecs: set[str] = set()
        self._url, self._options = url, options
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            with av.open(self._url, options=self._options) as container:
                self._read(container)
        except av.error.FFmpegError:
            pass  # the stream is over

    def _read(self, container: Any) -> None:
        for packet in container.demux():
            for frame in packet.decode():
                self.codecs.add(packet.stream.codec_context.name)
                if isinstance(frame, av.VideoFrame):
                    self._see(frame)
                elif self.loud_s is None:
                    loud = np.flatnonzero(np.abs(frame.to_ndarray()[0]) > 0.1)
                    if len(loud):
                        self.loud_s = frame.time + float(loud[0]) / frame.sample_rate

    def _see(self, frame: av.VideoFrame) -> None:
        image = frame.to_ndarray(format="rgb24")
        self.numbers.append(number_of(image))
        self.came.append(time.monotonic())
        if frame.key_frame:
            self.keys.append(frame.time)
        if self.bright_s is None and image[SIZE[1] * 3 // 4].mean() > 127:
            self.bright_s = frame.time


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def listen(url: str) -> Receiver:
    return Receiver(url, LISTEN)


async def watch_for_pauses(pauses: list[float]) -> None:
    """How long the event loop, and so whatever holds the interpreter, kept others waiting (s)."""
    while True:
        began = time.monotonic()
        await asyncio.sleep(0.02)
        pauses.append(time.monotonic() - began)


async def test_mpeg_ts_arrives_whole_in_order_and_in_step() -> None:
    port = free_port(socket.SOCK_DGRAM)
    receiver = Receiver(f"udp://127.0.0.1:{port}", {"fflags": "nobuffer", "timeout": "3000000"})
    await asyncio.sleep(0.2)
    async with sink_for(udp_target(f"127.0.0.1:{port}")) as sink:
        await play(sink, 75)
    await asyncio.to_thread(receiver.thread.join, 20)
    assert receiver.codecs == {"h264", "aac"}
    first = receiver.numbers[0]
    assert first in (0, 30)  # a key frame: the first, or the next, a second later
    assert receiver.numbers == list(range(first, 75))
    assert receiver.bright_s is not None
    assert receiver.loud_s is not None
    assert abs(receiver.bright_s - receiver.loud_s) < 0.04
    assert np.allclose(np.diff(receiver.keys), 1.0, atol=0.1)


async def test_rtmp_arrives_whole_in_order_and_in_step() -> None:
    url = f"rtmp://127.0.0.1:{free_port(socket.SOCK_STREAM)}/live/secret"
    receiver = listen(url)
    await asyncio.sleep(0.5)  # until it listens
    async with sink_for(rtmp_target(url.removeprefix("rtmp:").removesuffix("/secret"), "secret")) as sink:
        await play(sink, 60)
    await asyncio.to_thread(receiver.thread.join, 20)
    assert receiver.codecs == {"h264", "aac"}
    assert receiver.numbers == list(range(60))
    assert receiver.bright_s is not None
    assert receiver.loud_s is not None
    assert abs(receiver.bright_s - receiver.loud_s) < 0.04


async def test_a_server_that_comes_back_gets_the_stream_again() -> None:
    url = f"rtmp://127.0.0.1:{free_port(socket.SOCK_STREAM)}/live/one"
    with leaving_after(url, 12) as first:
        await asyncio.sleep(0.5)
        async with sink_for(rtmp_target(url), audio=False, proof_s=0) as sink:
            await play(sink, 60, audio=False)
            await asyncio.to_thread(first.join, 10)
            receiver = listen(url)
            await play(sink, 120, audio=False)
    await asyncio.to_thread(receiver.thread.join, 20)
    assert sink.stats.read_counters()["begun"] >= 2
    assert sink.stats.read_counters()["dropped"] > 0
    assert len(receiver.numbers) > 30
    assert receiver.numbers == list(range(receiver.numbers[0], 120))


@contextmanager
def leaving_after(url: str, packets: int) -> Iterator[threading.Thread]:
    """A server that takes a few packets and goes."""

    def take() -> None:
        with av.open(url, options=LISTEN) as container:
            for number, _ in enumerate(container.demux()):
                if number == packets:
                    return

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    yield thread


async def test_a_udp_receiver_that_is_not_there_is_no_matter() -> None:
    async with sink_for(udp_target(f"127.0.0.1:{free_port(socket.SOCK_DGRAM)}")) as sink:
        await play(sink, 10)
    assert "dropped" not in sink.stats.read_counters()


async def test_a_server_that_never_answers_is_told_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        began = time.monotonic()
        async with sink_for(rtmp_target(f"rtmp://127.0.0.1:{mute.getsockname()[1]}/live/secret"), audio=False) as sink:
            pauses: list[float] = []
            watching = asyncio.create_task(watch_for_pauses(pauses))
            with pytest.raises(SinkError, match="no answer"):
                await play(sink, 200, audio=False)
            watching.cancel()
            assert max(pauses) < 1  # nothing else in the process waited for it
        assert time.monotonic() - began < 8


async def test_a_server_that_is_not_there_is_told_without_the_stream_key() -> None:
    target = rtmp_target(f"rtmp://127.0.0.1:{free_port(socket.SOCK_STREAM)}/live/secret")
    async with sink_for(target, audio=False) as sink:
        with pytest.raises(SinkError, match="nothing listens there") as told:
            await play(sink, 60, audio=False)
    assert "secret" not in str(told.value)


async def test_a_host_that_does_not_exist_is_told() -> None:
    with pytest.raises(SinkError, match="no host of that name"):
        await sink_for(udp_target("nobody.invalid:5000")).__aenter__()


@pytest.mark.parametrize("address", ["", "127.0.0.1", "127.0.0.1:port", "127.0.0.1:0", "host:99999", "a b:5", "h:5/x"])
def test_a_wrong_udp_address_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="udp:127.0.0.1:5000"):
        udp_target(address)


@pytest.mark.parametrize("address", ["", "//host", "http://host/live/key", "//:1935/live", "//host:x/live"])
def test_a_wrong_rtmp_address_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="rtmp://HOST/APPLICATION/KEY"):
        rtmp_target(address)


def test_nothing_of_an_rtmp_address_but_its_host_is_shown() -> None:
    assert rtmp_target("//host.example/live", "secret").name == "rtmp://host.example"
    with pytest.raises(ConfigError) as told:
        rtmp_target("//me:secret@host.example/live")
    assert "secret" not in str(told.value)
