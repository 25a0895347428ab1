"""How late are udp: and rtmp:? Numbered pictures, and sound, are sent and read back with FFmpeg's libraries.

Sender and reader share this process. Prints JSON: the age of a picture from being sent to being decoded, and how many
arrived of those sent. About 20 seconds.

    python scripts/measure_broadcast.py [--size 512x512] [--seconds 6] [--json FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import av
import av.error
import numpy as np
from devices import barcode

from livehead.clock import NS, now_ns, sleep_until
from livehead.frames import AudioFrame, VideoFrame
from livehead.sinks.stream import StreamSink, rtmp_target, udp_target
from livehead.stats import summarize_ms

FPS, SOUND_RATE = 30, 48_000
SETTLE_FRAMES = 2 * FPS  # pictures until the reader has found its feet
VIDEO_DELAY_FRAMES = 2  # pictures that the avatar is later than the sound of the same moment, as in a run
READER_OPTIONS = {
    "udp": {"fflags": "nobuffer", "timeout": "2000000"},
    "rtmp": {"listen": "1", "analyzeduration": "200000", "fflags": "nobuffer"},
}


class StreamReader:
    """Decodes on a thread of its own: numbers of the pictures, and when each was there (ns)."""

    def __init__(self, url: str, options: dict[str, str]) -> None:
        self.received: list[tuple[int | None, int]] = []
        self._url, self._options = url, options
        self.thread = threading.Thread(target=self._read_stream, daemon=True)
        self.thread.start()

    def _read_stream(self) -> None:
        try:
            with av.open(self._url, options=self._options) as container:
                for packet in container.demux():
                    for frame in packet.decode():
                        self._record_frame(frame)
        except av.error.FFmpegError:
            pass  # the stream is over

    def _record_frame(self, frame: Any) -> None:
        if isinstance(frame, av.VideoFrame):
            self.received.append((barcode.read_barcode(frame.to_ndarray(format="rgb24")), now_ns()))


async def measure_stream(kind: str, size: tuple[int, int], seconds: float) -> dict[str, Any]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    path = "" if kind == "udp" else "/live/test"
    reader = StreamReader(f"{kind}://127.0.0.1:{port}{path}", READER_OPTIONS[kind])
    await asyncio.sleep(0.5)  # until it listens
    target = udp_target(f"127.0.0.1:{port}") if kind == "udp" else rtmp_target(f"//127.0.0.1:{port}{path}")
    sink = StreamSink(target, size=size, fps=FPS, bitrate=3_000_000, audio_rate=SOUND_RATE)
    await sink.__aenter__()
    sent: dict[int, int] = {}
    start_ns = now_ns()
    count = round(seconds * FPS) + SETTLE_FRAMES
    for tick in range(count + VIDEO_DELAY_FRAMES):
        captured_ns, silence = start_ns + round(tick * NS / FPS), np.zeros((1, SOUND_RATE // FPS), np.float32)
        await sink.send(AudioFrame(silence, SOUND_RATE, tick * silence.shape[1], captured_ns))
        if (number := tick - VIDEO_DELAY_FRAMES) >= 0:
            captured_ns, sent[number] = start_ns + round(number * NS / FPS), now_ns()
            await sink.send(VideoFrame(barcode.draw_barcode(number, *size), number, Fraction(1, FPS), captured_ns))
        await sleep_until(start_ns + round((tick + 1) * NS / FPS))
    await sink.__aexit__(None, None, None)
    await asyncio.to_thread(reader.thread.join, 10)
    ages = [
        (at - sent[number]) / 1e6 for number, at in reader.received if number is not None and number >= SETTLE_FRAMES
    ]
    return {
        "age_ms": summarize_ms(ages),
        "sent": count - SETTLE_FRAMES,
        "unreadable": sum(n is None for n, _ in reader.received),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="512x512")
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    chosen = parser.parse_args()
    width, height = (int(part) for part in chosen.size.split("x"))
    began = time.monotonic()
    results = {kind: asyncio.run(measure_stream(kind, (width, height), chosen.seconds)) for kind in READER_OPTIONS}
    settings = {"size": chosen.size, "fps": FPS, "wall_s": round(time.monotonic() - began, 1)}
    text = json.dumps({"command": "scripts/measure_broadcast.py", "settings": settings, "results": results}, indent=2)
    print(text)
    if chosen.json:
        chosen.json.write_text(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
