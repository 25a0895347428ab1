"""No decoder gets more pixels than it may: a few bytes do not take gigabytes."""

import subprocess
import sys
from pathlib import Path

import av
import pytest
from aiortc.jitterbuffer import JitterFrame
from aiortc.rtcrtpparameters import RTCRtpCodecParameters

from livehead.capture.file import read_video_frames
from livehead.codecs.pixel_limits import MAX_RECEIVED_PIXELS, create_bounded_decoder
from livehead.errors import CaptureError
from livehead.webrtc.receiver_patches import create_decoder
from tests.fixtures.huge_pictures import huge_h264, huge_vp8, small_vp8

REFUSED_MB = 150  # H.264 takes tables of 85 MB before it looks at the limit

# decodes what a peer sends on aiortc's own thread, and tells by how many MB the process has grown at most
RECEIVE = """
import asyncio, queue, re, sys, threading
from aiortc import RTCPeerConnection, rtcrtpreceiver
from aiortc.jitterbuffer import JitterFrame
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from livehead.webrtc.receiver_patches import patch_receiver
name, path, bounded = sys.argv[1:]
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
async def main():
    peer = RTCPeerConnection()
    transceiver = peer.addTransceiver("video", "recvonly")
    if bounded == "bounded":
        patch_receiver(transceiver.receiver, "video")
    codec = RTCRtpCodecParameters(mimeType=f"video/{name}", clockRate=90000, payloadType=97)
    tasks, error, before = queue.Queue(), threading.Event(), peak()
    for number in range(4):
        tasks.put((codec, JitterFrame(open(path, "rb").read(), number * 3000)))
    tasks.put(None)
    await asyncio.to_thread(rtcrtpreceiver.decoder_worker, asyncio.get_running_loop(), tasks, asyncio.Queue(), error)
    print(peak() - before)
    await peer.close()
asyncio.run(main())
"""


def grown_mb(codec: str, path: Path, how: str) -> float:
    command = [sys.executable, "-c", RECEIVE, codec, str(path), how]
    return float(subprocess.run(command, check=True, capture_output=True, text=True, timeout=100).stdout)


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="reads the memory as Linux tells it")
@pytest.mark.parametrize(("codec", "data"), [("H264", huge_h264()), ("VP8", huge_vp8())])
def test_a_received_picture_of_260_megapixels_takes_no_memory(codec: str, data: bytes, tmp_path: Path) -> None:
    assert len(data) < 200
    path = tmp_path / "huge"
    path.write_bytes(data)
    assert grown_mb(codec, path, "as aiortc does") > 2 * REFUSED_MB, "or else this would show nothing"
    assert grown_mb(codec, path, "bounded") < REFUSED_MB


def test_pictures_of_4k_are_decoded_and_larger_ones_are_not() -> None:
    assert MAX_RECEIVED_PIXELS == 4096 * 2304
    decoder = create_bounded_decoder("h264")
    with pytest.raises(av.FFmpegError):
        decoder.decode(av.Packet(huge_h264(240)))  # 3840x3840
    [picture] = create_bounded_decoder("h264").decode(av.Packet(huge_h264(190)))  # 3040x3040, as large as 4K is wide
    assert picture.width == 3040


def test_a_decoder_gives_each_picture_at_once() -> None:
    [picture] = create_bounded_decoder("vp8").decode(av.Packet(small_vp8()))
    assert (picture.width, picture.height) == (64, 64)


def test_a_file_of_such_pictures_is_refused_by_its_header(tmp_path: Path) -> None:
    path = tmp_path / "huge.h264"
    path.write_bytes(huge_h264())
    with pytest.raises(CaptureError, match="16192x16192"):
        next(read_video_frames(path))


def test_a_stream_whose_pictures_grow_on_the_way_goes_on_when_they_are_small_again() -> None:
    decoder = create_decoder(RTCRtpCodecParameters(mimeType="video/H264", clockRate=90_000, payloadType=97))
    for number in range(3):
        assert decoder.decode(JitterFrame(huge_h264(4), 6000 * number))
        with pytest.raises(av.FFmpegError):
            decoder.decode(JitterFrame(huge_h264(), 6000 * number + 3000))
