"""FFmpeg's own WHIP muxer, by PyAV, publishes to us: a stranger that has nothing of aiortc in it."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import pytest

from livehead.server.access import AccessPolicy
from livehead.server.certificate import make_certificate
from tests.fixtures.studio import TOKEN, serving
from tests.sinks.test_whip import COLOUR, sessions_of, watch

pytestmark = pytest.mark.skipif("whip" not in av.format.formats_available, reason="this FFmpeg has no WHIP muxer")

# In a process of its own: PyAV keeps the interpreter's lock while FFmpeg waits for the server's answer.
PUBLISHER = """
import sys, time
from fractions import Fraction
import av, numpy as np
url, token, chain, key, *colour = sys.argv[1:]
options = {"authorization": token, "cert_file": chain, "key_file": key}
picture = np.full((96, 128, 3), [int(value) for value in colour], np.uint8)
tone = (10_000 * np.sin(np.arange(1600) * 0.1)).astype(np.int16)
with av.open(url, "w", format="whip", options=options) as out:
    quick = {"preset": "ultrafast", "tune": "zerolatency", "g": "15", "profile": "baseline"}
    video = out.add_stream("libx264", rate=30, options=quick)
    video.width, video.height, video.pix_fmt, video.time_base = 128, 96, "yuv420p", Fraction(1, 90_000)
    sound = out.add_stream("libopus", rate=48_000, layout="stereo")
    began, number = time.monotonic(), 0
    while time.monotonic() - began < 60:
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = number * 3000, Fraction(1, 90_000)
        heard = av.AudioFrame.from_ndarray(np.repeat(tone, 2)[None], format="s16", layout="stereo")
        heard.sample_rate, heard.pts, heard.time_base = 48_000, number * 1600, Fraction(1, 48_000)
        for packet in [*video.encode(frame), *sound.encode(heard)]:
            out.mux(packet)
        number += 1
        time.sleep(max(0, began + number / 30 - time.monotonic()))
"""


@contextmanager
def published(address: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    chain, key = folder / "chain.pem", folder / "key.pem"
    make_certificate(["publisher.example"]).write_pem_files(chain, key, folder / "root.pem")
    words = [f"http://{address}/whip/talk", TOKEN, str(chain), str(key), *map(str, COLOUR)]
    publisher = subprocess.Popen([sys.executable, "-c", PUBLISHER, *words], stderr=subprocess.PIPE)
    try:
        yield publisher
    finally:
        publisher.kill()
        publisher.communicate()


async def test_what_ffmpeg_publishes_moves_the_avatar(tmp_path: Path) -> None:
    with serving(AccessPolicy(TOKEN)) as address, published(address, tmp_path) as publisher:
        async with asyncio.timeout(20):
            while not await sessions_of(address):
                assert publisher.poll() is None, publisher.communicate()[1].decode()
                await asyncio.sleep(0.1)
        viewer = await watch(address)
        async with asyncio.timeout(20):
            while np.abs((await viewer.pictures(1))[0][48, 64].astype(int) - COLOUR).max() > 8:
                pass
        heard = [await viewer.tracks["audio"].recv() for _ in range(30)]
        assert max(np.abs(frame.to_ndarray()).max() for frame in heard) > 0.1 * 32767
        await viewer.close()
