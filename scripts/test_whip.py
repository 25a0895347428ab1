"""WHIP to strangers: livehead publishes to Meetecho's simple-whip-server before Janus; a viewer of Janus' room looks.

Everything runs in a network of its own (Janus ignores the loopback address), so it needs root on Linux, `janus`,
`node`, and a folder with simple-whip-server and its modules (docs/broadcast.md says how to make one). Checks that a
wrong token is told, that numbered pictures and sound arrive in sequence, that DELETE empties the room, and that
servers which were restarted get the picture again. Prints figures as JSON; exit status 0 when all is well, 1 when not,
3 when something is missing. Installs nothing. About 30 seconds.

    sudo python scripts/test_whip.py --whip-server DIR [--size 512x512] [--seconds 8] [--codec h264|vp8] [--json FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import websockets
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from devices import barcode
from devices.network_namespace import (
    ADDRESS,
    enter_network_namespace,
    make_network,
    run_program,
    wait_for_port,
)
from devices.report import EXIT_CANNOT_RUN, summarize_ages, write_report

from livehead.clock import NS, now_ns
from livehead.errors import SinkError
from livehead.frames import AudioFrame, VideoFrame
from livehead.sinks.whip import WhipSink
from livehead.webrtc.receiver_patches import patch_receiver

INSIDE = "LIVEHEAD_TEST_WHIP_INSIDE"
ROOM, STREAM, TOKEN = 1234, "avatar", "a-token-of-this-test"
ENDPOINT = f"http://{ADDRESS}:7080/whip/endpoint/{STREAM}"
SOCKET = f"ws://{ADDRESS}:8188"
PROTOCOL = websockets.Subprotocol("janus-protocol")
PLUGINS = "audiobridge duktape echotest lua nosip recordplay sip streaming textroom videocall voicemail"
TRANSPORTS = "http mqtt nanomsg pfunix rabbitmq"
FPS = 30
SOUND_RATE = 48_000
LOUDNESS = 0.25
START_TIMEOUT_S = 20.0
RECONNECT_TIMEOUT_S = 40.0


def missing_requirements(whip_server: Path | None) -> str:
    """Why this cannot run here; empty when it can."""
    programs = [name for name in ("janus", "node", "ip", "unshare") if shutil.which(name) is None]
    if programs:
        return f"missing: {', '.join(programs)}. On Debian: sudo apt-get install janus nodejs iproute2"
    if whip_server is None or not (whip_server / "src" / "server.js").is_file():
        return "give the folder of simple-whip-server with --whip-server; docs/broadcast.md says how to make one"
    if not (whip_server / "node_modules" / "express").is_dir():
        return f"the modules are missing: npm install --prefix {whip_server} (docs/broadcast.md says which)"
    return "" if os.geteuid() == 0 else "a network of its own needs root: run it with sudo"


def janus_command(folder: Path, codec: str) -> list[str]:
    """Janus with one room and the WebSocket transport alone."""
    configs = folder / "janus"
    configs.mkdir(exist_ok=True)
    # The others look for servers of theirs, which a network without any keeps them waiting for.
    unused = f'plugins: {{ disable = "{_library_names(PLUGINS)}" }}\n'
    unused += f'transports: {{ disable = "{_library_names(TRANSPORTS)}" }}'
    (configs / "janus.jcfg").write_text(f"general: {{ debug_level = 4 }}\n{unused}\n")
    (configs / "janus.transport.websockets.jcfg").write_text("general: { ws = true\n ws_port = 8188 }\n")
    room = (
        f'publishers = 6\n bitrate = 4000000\n videocodec = "{codec}"\n audiocodec = "opus"\n playoutdelay_ext = true'
    )
    (configs / "janus.plugin.videoroom.jcfg").write_text(f"room-{ROOM}: {{ {room} }}\n")
    return ["janus", "-F", str(configs), "-o", "-i", ADDRESS]


def _library_names(names: str) -> str:
    return ",".join(f"libjanus_{name}.so" for name in names.split())


def copy_whip_server(source: Path, folder: Path) -> None:
    """A copy whose settings are ours."""
    (folder / "src").mkdir()
    for name in ("server.js", "whip-janus.js"):
        shutil.copy(source / "src" / name, folder / "src" / name)
    (folder / "node_modules").symlink_to(source.resolve() / "node_modules")
    settings = {"janus": {"address": SOCKET}, "port": 7080, "rest": "/whip", "iceServers": []}
    (folder / "src" / "config.js").write_text(f"module.exports = {json.dumps(settings)};\n")


def create_endpoint() -> None:
    """Map a WHIP endpoint to the room, as simple-whip-server wants it."""
    body = json.dumps({"id": STREAM, "room": ROOM, "token": TOKEN, "label": STREAM}).encode()
    request = urllib.request.Request(f"http://{ADDRESS}:7080/whip/create", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=5):
        pass


class JanusRoom:
    """Janus' VideoRoom by its WebSocket API."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._numbers = itertools.count()
        self._session = self._handle = 0

    async def attach_plugin(self) -> None:
        self._session = (await self._send_request({"janus": "create"}))["data"]["id"]
        plugin = {"janus": "attach", "plugin": "janus.plugin.videoroom"}
        self._handle = (await self._send_request(plugin))["data"]["id"]

    async def list_publishers(self) -> list[int]:
        """Who publishes in the room."""
        told = await self._send_message({"request": "listparticipants", "room": ROOM})
        return [each["id"] for each in told["plugindata"]["data"]["participants"] if each.get("publisher")]

    async def request_offer(self, publisher: int) -> str:
        """SDP by which Janus offers what ``publisher`` sends."""
        join = {"request": "join", "room": ROOM, "ptype": "subscriber", "streams": [{"feed": publisher}]}
        return str((await self._send_message(join))["jsep"]["sdp"])

    async def start_stream(self, answer: str) -> None:
        await self._send_message({"request": "start"}, jsep={"type": "answer", "sdp": answer})

    async def _send_message(self, body: dict[str, Any], **rest: Any) -> dict[str, Any]:
        return await self._send_request({"janus": "message", "body": body, **rest})

    async def _send_request(self, message: dict[str, Any]) -> dict[str, Any]:
        transaction = f"t{next(self._numbers)}"
        message |= {"transaction": transaction}
        message |= {"session_id": self._session} if self._session else {}
        message |= {"handle_id": self._handle} if self._handle else {}
        await self._connection.send(json.dumps(message))
        while True:
            told: dict[str, Any] = json.loads(await asyncio.wait_for(self._connection.recv(), 10))
            if told.get("transaction") == transaction and told["janus"] != "ack":
                return told


@asynccontextmanager
async def open_room() -> AsyncIterator[JanusRoom]:
    async with websockets.connect(SOCKET, subprotocols=[PROTOCOL]) as connection:
        made = JanusRoom(connection)
        await made.attach_plugin()
        yield made


class JanusViewer:
    """Watches one publisher: numbers of pictures, when each was decoded (ns), level of the sound in [0, 1]."""

    def __init__(self) -> None:
        self.received: list[tuple[int, int]] = []
        self.codec = ""
        self.sizes: set[str] = set()
        self.levels: list[float] = []
        self._peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._tasks: list[asyncio.Task[None]] = []
        self._peer.on("track", lambda track: self._tasks.append(asyncio.create_task(self._read_track(track))))

    async def watch_publisher(self, room: JanusRoom, publisher: int) -> None:
        await self._peer.setRemoteDescription(RTCSessionDescription(await room.request_offer(publisher), "offer"))
        for transceiver in self._peer.getTransceivers():
            patch_receiver(transceiver.receiver, transceiver.kind)
            if transceiver.kind == "video":
                self.codec = transceiver._codecs[0].name
        await self._peer.setLocalDescription(await self._peer.createAnswer())
        await room.start_stream(self._peer.localDescription.sdp)

    async def _read_track(self, track: MediaStreamTrack) -> None:
        while True:
            try:
                frame: Any = await track.recv()
            except MediaStreamError:
                return
            if track.kind == "audio":
                self.levels.append(float(np.abs(frame.to_ndarray().astype(np.float32)).max()) / 32768)
                continue
            came_ns = now_ns()
            number = barcode.read_barcode(frame.to_ndarray(format="rgb24"))
            self.sizes.add(f"{frame.width}x{frame.height}")
            self.received.append((-1 if number is None else number, came_ns))

    async def close(self) -> None:
        await self._peer.close()
        for task in self._tasks:
            task.cancel()


async def send_frames(sink: WhipSink, size: tuple[int, int], sent: dict[int, int]) -> None:
    """Numbered pictures and a tone, as a pipeline sends them; ``sent``: when each was captured (ns)."""
    start_ns = now_ns()
    samples = np.arange(SOUND_RATE // FPS, dtype=np.float32)
    tone = LOUDNESS * np.sin(samples * 2 * np.pi * 16 / len(samples))[None]  # whole waves: no clicks
    for number in itertools.count():
        frame = VideoFrame(barcode.draw_barcode(number, *size), number, Fraction(1, FPS), now_ns())
        sent[number & 0xFFFF] = frame.captured_ns
        await sink.send(frame)
        await sink.send(AudioFrame(tone, SOUND_RATE, number * tone.shape[1], frame.captured_ns))
        await asyncio.sleep(max(0.0, (start_ns + (number + 1) * NS / FPS - now_ns()) / NS))


async def publish_error(token: str) -> str:
    """The line that publishing with ``token`` ends with."""
    try:
        async with WhipSink(ENDPOINT, token=token):
            return "it was taken"
    except SinkError as error:
        return str(error)


async def wait_until_ready() -> None:
    """Until Janus, which listens before it is, gives sessions."""
    async with asyncio.timeout(START_TIMEOUT_S):
        while True:
            try:
                async with open_room() as place:
                    await place.list_publishers()
                return
            except (OSError, KeyError, websockets.WebSocketException):
                await asyncio.sleep(0.1)


async def wait_for_publisher(limit_s: float) -> int:
    """The publisher that is in the room, or comes within ``limit_s``."""
    async with asyncio.timeout(limit_s):
        while True:
            try:
                async with open_room() as place:
                    if found := await place.list_publishers():
                        return found[0]
            except (OSError, KeyError, websockets.WebSocketException):
                pass  # Janus is not up yet
            await asyncio.sleep(0.2)


async def watch_stream(seconds: float) -> JanusViewer:
    viewer = JanusViewer()
    publisher = await wait_for_publisher(START_TIMEOUT_S)
    async with open_room() as place:
        await viewer.watch_publisher(place, publisher)
        await asyncio.sleep(seconds)
    await viewer.close()
    return viewer


async def measure_whip(size: tuple[int, int], seconds: float, restart: Any) -> dict[str, Any]:
    """Publish, look, kill the servers and start them again, look again, leave."""
    figures: dict[str, Any] = {"no_token": await publish_error(""), "wrong_token": await publish_error("wrong")}
    sent: dict[int, int] = {}
    async with WhipSink(ENDPOINT, token=TOKEN, fps=FPS, sound=True) as sink:
        task = asyncio.create_task(send_frames(sink, size, sent))
        figures |= summarize_viewer(await watch_stream(seconds), sent)
        killed = time.monotonic()
        await asyncio.to_thread(restart)
        figures["servers_back_s"] = round(time.monotonic() - killed, 1)
        await wait_for_publisher(RECONNECT_TIMEOUT_S)
        figures["published_again_s"] = round(time.monotonic() - killed, 1)
        figures["frames_after_restart"] = len((await watch_stream(3)).received)
        figures["published"] = sink.stats.read_counters()["published"]
        task.cancel()
        await asyncio.wait([task])
    async with open_room() as place:
        figures["left_in_room"] = len(await place.list_publishers())
    figures["passed"] = is_passed(figures)
    return figures


def summarize_viewer(viewer: JanusViewer, sent: dict[int, int]) -> dict[str, Any]:
    numbers = [number for number, _ in viewer.received if number >= 0]
    figures: dict[str, Any] = {
        "codec": viewer.codec,
        "sizes": sorted(viewer.sizes),
        "level": round(statistics.median(viewer.levels or [0.0]), 3),
    }
    figures |= {"frames": len(viewer.received), "unreadable": len(viewer.received) - len(numbers)}
    steps = np.diff(numbers)
    figures |= {"missed": int((steps[steps > 1] - 1).sum()), "disordered": int((steps < 1).sum())}
    ages = [(at - sent[number]) / 1e6 for number, at in viewer.received[FPS:] if number in sent]
    if ages:
        figures["age_ms"] = summarize_ages(ages)
    return figures


def is_passed(figures: dict[str, Any]) -> bool:
    return bool(
        "LIVEHEAD_WHIP_TOKEN" in figures["no_token"]
        and "LIVEHEAD_WHIP_TOKEN" in figures["wrong_token"]
        and figures["frames"] > FPS
        and figures["unreadable"] == figures["disordered"] == figures["left_in_room"] == 0
        and figures["missed"] <= 0.1 * figures["frames"]  # a shared machine hiccups
        and abs(figures["level"] - LOUDNESS) < 0.4 * LOUDNESS
        and figures["published"] == 2
        and figures["frames_after_restart"] > 10
    )


@contextmanager
def run_media_server(folder: Path, codec: str) -> Iterator[None]:
    """Janus, then simple-whip-server, which wants a Janus that is ready."""
    with run_program(janus_command(folder, codec), folder), ExitStack() as stack:
        wait_for_port(8188)
        asyncio.run(wait_until_ready())
        stack.enter_context(run_program(["node", "src/server.js"], folder))
        wait_for_port(7080)
        create_endpoint()
        yield


def run(chosen: argparse.Namespace) -> dict[str, Any]:
    width, height = (int(part) for part in chosen.size.split("x"))
    make_network()
    with tempfile.TemporaryDirectory(prefix="livehead-whip-") as name, ExitStack() as stack:
        folder = Path(name)
        copy_whip_server(chosen.whip_server, folder)
        servers = stack.enter_context(ExitStack())
        servers.enter_context(run_media_server(folder, chosen.codec))

        def restart() -> None:
            servers.close()
            servers.enter_context(run_media_server(folder, chosen.codec))

        try:
            return asyncio.run(measure_whip((width, height), chosen.seconds, restart))
        except (OSError, KeyError):
            for log in folder.glob("*.log"):
                print(f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}", file=sys.stderr)
            raise


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--whip-server", type=Path, metavar="DIR", help="simple-whip-server with its node_modules")
    parser.add_argument("--size", default="512x512")
    parser.add_argument("--seconds", type=float, default=8.0, help="how long the viewer looks")
    parser.add_argument("--codec", choices=("h264", "vp8"), default="h264", help="what the room takes")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    return parser.parse_args()


def main() -> int:
    chosen = parse_options()
    reason = missing_requirements(chosen.whip_server)
    if reason:
        print(reason)
        return EXIT_CANNOT_RUN
    enter_network_namespace(INSIDE)
    begun = time.monotonic()
    results = run(chosen)
    results["wall_s"] = round(time.monotonic() - begun, 1)
    report = {"command": "scripts/test_whip.py", "settings": {"size": chosen.size, "codec": chosen.codec}}
    write_report({**report, "results": results}, chosen.json)
    return 0 if results["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
