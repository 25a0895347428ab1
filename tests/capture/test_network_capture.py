"""Streams of real servers at this machine: as they come, in time, and again after the server was started anew."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import numpy as np
import pytest

from livehead.capture.network_capture import NetworkAudioCapture, NetworkVideoCapture, share_stream
from livehead.capture.network_stream import NetworkStream
from livehead.capture.stream_address import StreamAddress
from livehead.clock import NS, ExponentialBackoff, now_ns
from livehead.errors import CaptureError, ConfigError
from livehead.frames import AudioFrame, VideoFrame
from livehead.interfaces import EndOfStream
from tests.fixtures.stream_servers import (
    answer_files,
    answer_mjpeg,
    answer_mpegts,
    free_port,
    serve_http,
    serve_rtsp,
    write_stream,
)

from .conftest import rest


@contextmanager
def stream(kind: str, folder: Path) -> Iterator[str]:
    """The address of a stream of ``kind``, served while the block lasts."""
    with ExitStack() as stack:
        if kind == "mjpeg":
            yield f"http://127.0.0.1:{stack.enter_context(serve_http(answer_mjpeg))}/video"
        elif kind == "mpegts":
            yield f"http://127.0.0.1:{stack.enter_context(serve_http(answer_mpegts))}/live.ts"
        elif kind == "rtsp":
            yield f"rtsp://127.0.0.1:{stack.enter_context(serve_rtsp())}/live"
        elif kind == "udp":
            port = free_port(socket.SOCK_DGRAM)
            target = f"udp://127.0.0.1:{port}?pkt_size=1316"
            options = {"seconds": 15, "in_real_time": True, "format": "mpegts"}
            threading.Thread(target=write_stream, args=(target,), kwargs=options, daemon=True).start()
            yield f"udp://127.0.0.1:{port}"
        else:
            options = {"format": "hls", "options": {"hls_time": "1", "hls_list_size": "0"}} if kind == "hls" else {}
            name = "clip.m3u8" if kind == "hls" else "clip.mp4"
            write_stream(str(folder / name), seconds=3, **options)
            yield f"http://127.0.0.1:{stack.enter_context(serve_http(answer_files(folder)))}/{name}"


def open_stream(url: str, notices: list[str] | None = None) -> NetworkStream:
    say = (notices if notices is not None else []).append
    return NetworkStream(StreamAddress.parse(url), say, ExponentialBackoff(0.1, 0.2))


@pytest.mark.parametrize("kind", ["mjpeg", "mpegts", "rtsp", "udp", "hls", "mp4"])
async def test_pictures_of_a_stream_come_in_time(kind: str, tmp_path: Path) -> None:
    frames: list[VideoFrame] = []
    with stream(kind, tmp_path) as url:
        async with NetworkVideoCapture(open_stream(url)) as capture:
            while len(frames) < 30:
                frames.append(await capture.recv())
                assert 0 <= now_ns() - frames[-1].captured_ns < NS // 2
    assert not any(frame.attached for frame in frames)
    assert frames[0].size == (64, 48)
    moments = np.array([frame.captured_ns for frame in frames]) / 1e6
    assert np.median(np.diff(moments)) == pytest.approx(40, abs=5)
    levels = [float(frame.image.mean()) for frame in frames]
    assert levels == sorted(levels)
    assert np.diff([frame.pts for frame in frames]).min() > 0


@pytest.mark.parametrize("kind", ["mpegts", "hls"])
async def test_picture_and_sound_come_by_one_connection_and_in_step(kind: str, tmp_path: Path) -> None:
    blocks: list[AudioFrame] = []
    with stream(kind, tmp_path) as url:
        shared = share_stream(StreamAddress.parse(url))
        assert share_stream(StreamAddress.parse(url)) is shared
        captures = NetworkVideoCapture(shared), NetworkAudioCapture(shared)
        async with captures[0] as pictures, captures[1] as sound:
            picture = await pictures.recv()
            while len(blocks) < 40:
                blocks.append(await sound.recv())
        assert share_stream(StreamAddress.parse(url)) is not shared, "a closed stream is not used again"
    assert abs(blocks[0].captured_ns - picture.captured_ns) < 2 * NS
    assert {(block.rate, len(block.samples)) for block in blocks} == {(48_000, 2)}
    ends = [block.pts + block.samples.shape[1] for block in blocks]
    assert [block.pts for block in blocks[1:]] == ends[:-1]
    heard = np.concatenate([block.samples[0] for block in blocks[10:]])
    assert abs(np.abs(np.fft.rfft(heard)).argmax() * 48_000 / len(heard) - 500) < 5
    assert 0.4 < np.abs(heard).max() < 0.6


async def test_a_recording_ends(tmp_path: Path) -> None:
    with stream("mp4", tmp_path) as url:
        async with NetworkVideoCapture(open_stream(url)) as capture:
            begin = time.monotonic()
            with pytest.raises(EndOfStream):
                await rest(capture, [])
    assert 2 < time.monotonic() - begin < 6, "it is played in its own time"


async def test_a_server_that_is_started_anew_is_connected_again(tmp_path: Path) -> None:
    notices: list[str] = []
    port = free_port()
    with ExitStack() as first:
        first.enter_context(serve_http(answer_mjpeg, port))
        async with NetworkVideoCapture(open_stream(f"http://127.0.0.1:{port}/video", notices), fps=25) as capture:
            live = [await capture.recv() for _ in range(10)]
            first.close()
            begin = time.monotonic()
            while not (lost := await capture.recv()).attached.get("stale"):
                assert time.monotonic() - begin < 5
            repeated = [lost, *[await capture.recv() for _ in range(10)]]
            with serve_http(answer_mjpeg, port):
                while (frame := await capture.recv()).attached.get("stale"):
                    assert time.monotonic() - begin < 10
                again = [frame, *[await capture.recv() for _ in range(5)]]
            assert capture.reopened == 1
    assert all(np.array_equal(frame.image, repeated[0].image) for frame in repeated)
    steps = np.diff([frame.pts for frame in (*live, *repeated, *again)])
    assert steps.min() > 0, "times go on counting"
    address = f"http://127.0.0.1:{port}/video"
    reasons = "it has ended|the connection broke off"
    assert re.match(rf"the stream {re.escape(address)} is gone \(({reasons})\): its last picture stays", notices[0])
    assert notices[1] == f"the stream {address} is back"


async def test_a_camera_that_stalls_is_taken_for_gone() -> None:
    silent = threading.Event()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        class _Pausing:
            def write(self, data: bytes) -> None:
                silent.wait(0)
                if silent.is_set():
                    time.sleep(30)
                original.write(data)

        original = handler.wfile
        handler.wfile = _Pausing()  # type: ignore[assignment]
        handler.wfile.flush = lambda: None  # type: ignore[method-assign]
        answer_mjpeg(handler)

    notices: list[str] = []
    with serve_http(answer) as port:
        async with NetworkVideoCapture(open_stream(f"http://127.0.0.1:{port}/video", notices)) as capture:
            for _ in range(5):
                await capture.recv()
            silent.set()
            begin = time.monotonic()
            while not notices:
                await capture.recv()
                assert time.monotonic() - begin < 8
    assert "nothing comes any more" in notices[0]


def refuse(status: int) -> Callable[[BaseHTTPRequestHandler], None]:
    return lambda handler: handler.send_error(status)


def answer_page(handler: BaseHTTPRequestHandler) -> None:
    page = b"<!DOCTYPE html><html><body>" + b"<p>no stream</p>" * 300 + b"</body></html>"
    handler.send_response(200)
    handler.send_header("Content-Type", "text/html")
    handler.send_header("Content-Length", str(len(page)))
    handler.end_headers()
    handler.wfile.write(page)


@pytest.mark.parametrize(
    ("answer", "problem", "remedy"),
    [
        (refuse(401), "asks for a password", "USER:PASSWORD"),
        (refuse(404), "nothing at that path", "check the address"),
        (answer_page, "no picture or sound", "web page"),
    ],
)
async def test_what_a_server_refuses_is_told_with_a_remedy(
    answer: Callable[[BaseHTTPRequestHandler], None], problem: str, remedy: str
) -> None:
    with serve_http(answer) as port:
        url = f"http://someone:secret@127.0.0.1:{port}/video?key=secret"
        with pytest.raises(CaptureError, match=problem) as caught:
            async with NetworkVideoCapture(open_stream(url)):
                pass
    assert remedy in caught.value.remedy
    assert "secret" not in str(caught.value)


async def test_a_server_that_is_not_there_is_told_at_once() -> None:
    begin = time.monotonic()
    with pytest.raises(CaptureError, match="nothing listens there"):
        async with NetworkVideoCapture(open_stream(f"http://127.0.0.1:{free_port()}/video")):
            pass
    with pytest.raises(CaptureError, match="no host of that name"):
        async with NetworkVideoCapture(open_stream("rtsp://no-such-host.invalid/live")):
            pass
    assert time.monotonic() - begin < 5


async def test_a_stream_without_sound_is_no_microphone() -> None:
    with (
        serve_http(answer_mjpeg) as port,
        pytest.raises(CaptureError, match="has no sound"),
    ):
        async with NetworkAudioCapture(open_stream(f"http://127.0.0.1:{port}/video")):
            pass


async def test_leaving_does_not_wait_for_a_silent_server() -> None:
    with serve_http(lambda handler: time.sleep(20)) as port:
        begin = time.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3), NetworkVideoCapture(open_stream(f"http://127.0.0.1:{port}/video")):
                pass
        assert time.monotonic() - begin < 2


@pytest.mark.parametrize("line", ["file:{path}", "{path}", "concat:{path}", "subfile,,start,0,end,0,,:{path}"])
async def test_a_playlist_cannot_name_a_file_of_this_machine(tmp_path: Path, line: str) -> None:
    served = tmp_path / "served"
    served.mkdir()
    write_stream(str(tmp_path / "private.ts"), seconds=1, format="mpegts")
    listed = line.format(path=tmp_path / "private.ts")
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{listed}\n#EXT-X-ENDLIST\n"
    (served / "list.m3u8").write_text(playlist)
    with serve_http(answer_files(served)) as port, pytest.raises(CaptureError):
        async with NetworkVideoCapture(open_stream(f"http://127.0.0.1:{port}/list.m3u8")):
            pass


@pytest.mark.parametrize(
    "address",
    ["", "camera", "file:///etc/passwd", "concat:a|b", "http://", "http://a b/", "udp://0.0.0.0", "rtsp://h:99999/x"],
)
def test_what_is_no_address_of_a_stream_is_refused(address: str) -> None:
    with pytest.raises(ConfigError) as caught:
        StreamAddress.parse(address)
    assert caught.value.remedy


@pytest.mark.parametrize("address", ["udp://@:5000", "udp://:5000", "udp://239.0.0.1:5000", "rtsps://u:p@host/x"])
def test_addresses_that_players_take_are_taken(address: str) -> None:
    assert "u:p" not in StreamAddress.parse(address).shown
