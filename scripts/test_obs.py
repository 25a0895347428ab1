"""livehead in a real OBS: set up by the command over obs-websocket and by the script inside OBS, looked at through OBS.

Everything runs in a network of its own (OBS listens on all addresses), so it needs Linux, `unshare`, root or user
namespaces, and OBS with Xvfb. Checks that each thing that can be wrong is told in one line, that the source is made,
mended and left alone, that numbered pictures arrive in sequence and how old they are, that the picture comes back after
the sender ended, after its scene was off air and after OBS could not read for a while, that a green background is keyed
out, and that the script inside OBS tells how it is. Writes screenshots into --pictures. Prints figures as JSON; exit
status 0 when all is well, 1 when not, 3 when something is missing. Installs nothing. About two minutes.

    python scripts/test_obs.py [--size 640x360] [--fps 30] [--seconds 8] [--pictures DIR] [--json FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import itertools
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "plugins" / "obs"))

import cv2
import numpy as np
from devices import barcode, obs
from devices.report import EXIT_CANNOT_RUN, summarize_ages, write_report
from livehead_source import NAME
from obs_socket import PASSWORD, ObsConnection, RequestError

from livehead.clock import NS, now_ns
from livehead.errors import LiveheadError
from livehead.frames import AudioFrame, VideoFrame
from livehead.sinks.stream import StreamSink, udp_target

ROOT = Path(__file__).resolve().parents[1]
PLUGIN = ROOT / "plugins" / "obs"
INSIDE = "LIVEHEAD_TEST_OBS_INSIDE"
PORT = 5000
SECRET = "a password of this test"
SOUND_RATE = 48_000
LOUDNESS = 0.25
METERS = 1 << 16  # of obs-websocket: events that tell how loud each source is
GREEN = "#00ff00"
RECOVERY_TIMEOUT_S = 15.0
MAX_EXTRA_AGE_MS = 700.0
AVATAR_TIMEOUT_S = 120.0  # for livehead to start beside OBS, both on two cores that others use too


def missing_requirements() -> str:
    """Why this cannot run here; empty when it can."""
    if sys.platform != "linux" or shutil.which("unshare") is None:
        return "a network of its own needs Linux and unshare"
    lacking = obs.missing_programs()
    return f"missing: {', '.join(lacking)}. On Debian: sudo apt-get install {obs.PACKAGES}" if lacking else ""


@dataclass
class NumberedFrameSender:
    """``livehead run --sink udp:...`` in short: its stream sink, with numbered pictures and, if wished, sound."""

    size: tuple[int, int]
    fps: int
    sound: bool
    sent: dict[int, int] = field(default_factory=dict)
    """When each picture was captured (ns)."""

    @asynccontextmanager
    async def run(self, first: int = 0) -> AsyncIterator[None]:
        rate = SOUND_RATE if self.sound else None
        target = udp_target(f"127.0.0.1:{PORT}")
        async with StreamSink(target, size=self.size, fps=self.fps, bitrate=3_000_000, audio_rate=rate) as sink:
            task = asyncio.create_task(self._send_frames(sink, first))
            try:
                yield
            finally:
                task.cancel()
                await asyncio.wait([task])

    async def _send_frames(self, sink: StreamSink, first: int) -> None:
        start_ns, samples = now_ns(), np.arange(SOUND_RATE // self.fps, dtype=np.float32)
        tone = LOUDNESS * np.sin(samples * 2 * np.pi * 16 / len(samples))[None]  # whole waves: no clicks
        for count in itertools.count():
            number = first + count
            frame = VideoFrame(barcode.draw_barcode(number, *self.size), count, Fraction(1, self.fps), now_ns())
            self.sent[number & 0xFFFF] = frame.captured_ns
            await sink.send(frame)
            if self.sound:
                await sink.send(AudioFrame(tone, SOUND_RATE, count * tone.shape[1], frame.captured_ns))
            await asyncio.sleep(max(0.0, (start_ns + (count + 1) * NS / self.fps - now_ns()) / NS))


def take_screenshot(client: ObsConnection, source: str, width: int = 0, kind: str = "png") -> np.ndarray[Any, Any]:
    """What OBS shows of a source or scene: uint8 [H, W, 3 or 4] RGB(A)."""
    size = {"imageWidth": width} if width else {}
    data = client.ask("GetSourceScreenshot", sourceName=source, imageFormat=kind, **size)["imageData"]
    raw = np.frombuffer(base64.b64decode(data.partition(",")[2]), np.uint8)
    image = cv2.imdecode(raw, cv2.IMREAD_UNCHANGED)
    order = cv2.COLOR_BGRA2RGBA if image.shape[2] == 4 else cv2.COLOR_BGR2RGB
    return cv2.cvtColor(image, order)


def take_source_screenshot(client: ObsConnection) -> np.ndarray[Any, Any] | None:
    """What the source shows; None while it shows nothing, and so has no size."""
    try:
        return take_screenshot(client, NAME, 640, "jpg")
    except RequestError:
        return None


def save_image(image: np.ndarray[Any, Any], folder: Path | None, name: str) -> None:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        order = cv2.COLOR_RGBA2BGRA if image.shape[2] == 4 else cv2.COLOR_RGB2BGR
        cv2.imwrite(str(folder / f"{name}.png"), cv2.cvtColor(image, order))


def measure_source(client: ObsConnection, sent: dict[int, int], seconds: float) -> dict[str, Any]:
    """Look at the source again and again: how old what it shows is when it has been looked at."""
    ages: list[float] = []
    took: list[float] = []
    numbers: list[int | None] = []
    colours: list[bool] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        asked = now_ns()
        image = take_source_screenshot(client)
        came = now_ns()
        number = None if image is None else barcode.read_barcode(image)
        numbers.append(number)
        colours.append(image is not None and barcode.are_colours_correct(image))
        took.append((came - asked) / 1e6)
        if number is not None and number in sent:
            ages.append((came - sent[number]) / 1e6)
        time.sleep(0.011)  # no multiple of a frame period
    told = barcode.summarize_sequence(numbers, colours)
    figures: dict[str, Any] = {"looked": len(numbers), "unreadable": told["unreadable"]}
    figures |= {"disordered": told["disordered"], "colours_wrong": told["colours_wrong"]}
    seen = {number for number in numbers if number is not None}
    figures["different"] = len(seen)
    figures["look_ms"] = round(statistics.median(took), 1)
    if ages:
        figures["age_ms"] = summarize_ages(ages)
    return figures


def wait_until_shown(client: ObsConnection, wanted: bool, min_number: int = 0) -> float:
    """Seconds until a number not below ``least`` is read (or none is). Raises: TimeoutError."""
    began = time.monotonic()
    while time.monotonic() - began < RECOVERY_TIMEOUT_S:
        image = take_source_screenshot(client)
        number = None if image is None else barcode.read_barcode(image)
        if (number is not None and number >= min_number) == wanted:
            return round(time.monotonic() - began, 2)
        time.sleep(0.03)
    raise TimeoutError(f"the picture did not {'come' if wanted else 'go'} in {RECOVERY_TIMEOUT_S:.0f} s")


def collect_error_messages(machine: obs.ObsInstance) -> dict[str, str]:
    """What the command says of things that are wrong, run as a person runs it."""
    return {
        "no_password": run_setup_command(machine, password="")[1],
        "wrong_password": run_setup_command(machine, password="wrong")[1],
        "no_browser_source": run_setup_command(machine, "--page", "http://localhost:8000/watch?transparent=1#key=x")[1],
    }


def run_setup_command(machine: obs.ObsInstance, *arguments: str, password: str = SECRET) -> tuple[int, str]:
    """The set-up command in a process of its own: its exit status and what it says."""
    line = [sys.executable, str(PLUGIN / "setup_obs.py"), "--port", str(machine.port), *arguments]
    environment = os.environ | {PASSWORD: password, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(line, capture_output=True, text=True, env=environment, timeout=30, check=False)
    return done.returncode, (done.stdout + done.stderr).strip()


async def measure_command_setup(
    size: tuple[int, int], fps: int, seconds: float, pictures: Path | None
) -> dict[str, Any]:
    """The source made by the command, and what becomes of it when things go wrong."""
    figures: dict[str, Any] = {}
    sender = NumberedFrameSender(size, fps, sound=False)
    with obs.run_obs(password=SECRET) as machine:
        figures["told"] = await asyncio.to_thread(collect_error_messages, machine)
        figures["made"] = await asyncio.to_thread(run_setup_command, machine)
        figures["again"] = await asyncio.to_thread(run_setup_command, machine)
        figures["listens_at"] = find_udp_listeners(PORT)
        with ObsConnection("127.0.0.1", machine.port, SECRET) as client:
            async with sender.run():
                figures["shown_after_s"] = await asyncio.to_thread(wait_until_shown, client, True)
                figures |= await asyncio.to_thread(measure_source, client, sender.sent, seconds)
                save_image(take_screenshot(client, "Scene"), pictures, "scene")
                client.ask("CreateScene", sceneName="Elsewhere")
                client.ask("SetCurrentProgramScene", sceneName="Elsewhere")
                await asyncio.sleep(3)
                client.ask("SetCurrentProgramScene", sceneName="Scene")
                now = max(sender.sent)
                figures["back_on_air_s"] = await asyncio.to_thread(wait_until_shown, client, True, now)
                figures["age_back_on_air"] = (await asyncio.to_thread(measure_source, client, sender.sent, 3))["age_ms"]
            figures["gone_after_s"] = await asyncio.to_thread(wait_until_shown, client, False)
            first = max(sender.sent) + 100
            await asyncio.sleep(2)
            async with sender.run(first):
                figures["sender_back_s"] = await asyncio.to_thread(wait_until_shown, client, True, first)
                figures["age_sender_back"] = (await asyncio.to_thread(measure_source, client, sender.sent, 3))["age_ms"]
            await asyncio.to_thread(wait_until_shown, client, False)
            loud = NumberedFrameSender(size, fps, sound=True)
            async with loud.run():
                await asyncio.to_thread(wait_until_shown, client, True)
                figures["age_with_sound"] = (await asyncio.to_thread(measure_source, client, loud.sent, 3))["age_ms"]
                figures["level"] = await asyncio.to_thread(measure_audio_level, machine)
    return figures


def measure_audio_level(machine: obs.ObsInstance) -> float:
    """Peak of the source's sound in [0, 1], from when there is any: the median of a second of OBS's meter."""
    peaks: list[float] = []
    end = time.monotonic() + RECOVERY_TIMEOUT_S
    with ObsConnection("127.0.0.1", machine.port, machine.password, events=METERS) as client:
        while len(peaks) < 20 and time.monotonic() < end:
            inputs = client.event("InputVolumeMeters")["inputs"]
            levels = [each["inputLevelsMul"] for each in inputs if each["inputName"] == NAME]
            heard = [channels[0][1] for channels in levels if channels]
            peaks += heard if peaks else [peak for peak in heard if peak > 0]
    return round(statistics.median(peaks or [0.0]), 3)


def find_udp_listeners(port: int) -> list[str]:
    """Addresses with a UDP socket at ``port``, of this network."""
    found = []
    for line in Path("/proc/net/udp").read_text().splitlines()[1:]:
        address, _, number = line.split()[1].partition(":")
        if int(number, 16) == port:
            found.append(".".join(str(part) for part in bytes.fromhex(address)[::-1]))
    return found


async def measure_chroma_key(pictures: Path | None) -> dict[str, Any]:
    """A real avatar on green, keyed out: shares of the picture that are clear and that are solid."""
    line = [sys.executable, "-m", "livehead", "run", "--avatar", str(ROOT / "livehead" / "assets" / "drawn.png")]
    line += ["--driver", "idle", "--model", "warp", "--background", GREEN, "--size", "640x360", "--fit", "crop"]
    line += ["--sink", f"udp:127.0.0.1:{PORT}"]
    with obs.run_obs(password=SECRET) as machine:
        status, told = await asyncio.to_thread(run_setup_command, machine, "--key", GREEN)
        if status:
            return {"told": told}
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        avatar = await asyncio.create_subprocess_exec(*line, env=environment, stderr=subprocess.DEVNULL)
        try:
            with ObsConnection("127.0.0.1", machine.port, SECRET) as client:
                image = await asyncio.to_thread(_wait_for_picture, client)
                await asyncio.sleep(2)
                image = take_screenshot(client, NAME)
                save_image(image, pictures, "keyed")
                save_image(take_screenshot(client, "Scene"), pictures, "keyed_scene")
        finally:
            avatar.terminate()
            await avatar.wait()
    alpha = image[..., 3]
    return {"clear": round(float((alpha == 0).mean()), 3), "solid": round(float((alpha == 255).mean()), 3)}


def _wait_for_picture(client: ObsConnection) -> np.ndarray[Any, Any]:
    deadline = time.monotonic() + AVATAR_TIMEOUT_S
    while time.monotonic() < deadline:
        image = take_source_screenshot(client)
        if image is not None:
            return image
        time.sleep(0.1)
    raise TimeoutError("no picture of livehead run came")


async def measure_script_setup(
    size: tuple[int, int], fps: int, seconds: float, pictures: Path | None
) -> dict[str, Any]:
    """The source made by the script inside OBS, which tells how it is."""
    figures: dict[str, Any] = {}
    sender = NumberedFrameSender(size, fps, sound=False)
    settings = {"port": PORT, "on_screen": True, "make_at_start": True, "server": "http://127.0.0.1:8999"}
    script = PLUGIN / "livehead_status.py"
    with obs.run_obs(password=SECRET, scripts={script: settings}) as machine:
        with ObsConnection("127.0.0.1", machine.port, SECRET) as client:
            await asyncio.sleep(3)
            figures["status_without"] = read_status(client)
            async with sender.run():
                figures["shown_after_s"] = await asyncio.to_thread(wait_until_shown, client, True)
                figures |= await asyncio.to_thread(measure_source, client, sender.sent, seconds)
                figures["status_with"] = read_status(client)
                save_image(take_screenshot(client, "Scene"), pictures, "status")
            await asyncio.to_thread(wait_until_shown, client, False)
            await asyncio.sleep(2)
            figures["status_after"] = read_status(client)
        figures["script_log"] = [line for line in machine.log.splitlines() if "livehead_status" in line][-6:]
    return figures


def read_status(client: ObsConnection) -> str:
    told = client.find("GetInputSettings", inputName="Livehead status")
    return "" if told is None else str(told["inputSettings"].get("text", ""))


def try_websocket_disabled() -> tuple[int, str]:
    """What the command says of an OBS whose WebSocket server is off."""
    with obs.run_obs(listening=False) as machine:
        return run_setup_command(machine)


def try_without_obs() -> tuple[int, str]:
    return run_setup_command(obs.ObsInstance(4455, "", Path()))


def find_failures(results: dict[str, Any]) -> list[str]:
    """What is not as it should be."""
    by, script, key = results["by_command"], results["by_script"], results["keyed"]
    told = by["told"]
    checks = {
        "told: OBS wants its password": "OBS wants its password" in told["no_password"],
        "told: the password is wrong": "password is wrong" in told["wrong_password"],
        "told: no browser source": "no Browser Source" in told["no_browser_source"],
        "told: not running": "OBS is not running" in results["not_running"][1],
        "told: switched off": "tick Enable WebSocket server" in results["switched_off"][1],
        "made, then right": "is made" in by["made"][1] and "was right" in by["again"][1],
        "listens on its own address alone": by["listens_at"] == ["127.0.0.1"],
        "pictures by command": _is_stream_ok(by),
        "pictures by script": _is_stream_ok(script),
        "sound": abs(by["level"] - LOUDNESS) < 0.4 * LOUDNESS,
        # Seconds would tell that old pictures were kept; OBS never makes up for what it loses when it begins.
        "young when back on air": by["age_back_on_air"]["median"] < by["age_ms"]["median"] + MAX_EXTRA_AGE_MS,
        "young when the sender is back": by["age_sender_back"]["median"] < by["age_ms"]["median"] + MAX_EXTRA_AGE_MS,
        "status without livehead": script["status_without"].startswith("no stream"),
        "status with livehead": " fps" in script["status_with"] and "does not answer" in script["status_with"],
        "status after livehead": script["status_after"].startswith("no stream"),
        "green is keyed out": key.get("clear", 0) > 0.3 and key.get("solid", 0) > 0.2,
    }
    return [name for name, right in checks.items() if not right]


def _is_stream_ok(figures: dict[str, Any]) -> bool:
    return bool(
        figures["looked"] > 20
        and figures["disordered"] == 0
        and figures["unreadable"] <= 0.05 * figures["looked"]
        and figures["colours_wrong"] <= 0.05 * figures["looked"]
        and figures["different"] > 0.5 * figures["looked"]
    )


def run_inside_namespace(chosen: argparse.Namespace) -> int:
    width, height = (int(part) for part in chosen.size.split("x"))
    began = time.monotonic()
    arguments = ((width, height), chosen.fps, chosen.seconds, chosen.pictures)
    results: dict[str, Any] = {}
    try:
        results |= {"not_running": try_without_obs(), "switched_off": try_websocket_disabled()}
        results["by_command"] = asyncio.run(measure_command_setup(*arguments))
        results["by_script"] = asyncio.run(measure_script_setup(*arguments))
        results["keyed"] = asyncio.run(measure_chroma_key(chosen.pictures))
        wrong = find_failures(results)
    except (TimeoutError, obs.ObsError, LiveheadError) as error:
        wrong = [str(error)]
    settings = {"size": chosen.size, "fps": chosen.fps, "cores": len(os.sched_getaffinity(0))}
    settings |= {"load": round(os.getloadavg()[0], 1), "wall_s": round(time.monotonic() - began)}
    report = {"command": "scripts/test_obs.py", "settings": settings, "results": results, "wrong": wrong}
    write_report(report, chosen.json)
    return 1 if wrong else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--fps", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--pictures", type=Path, help="a folder for screenshots")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    chosen = parser.parse_args()
    if os.environ.get(INSIDE):
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        return run_inside_namespace(chosen)
    if lacking := missing_requirements():
        print(lacking, file=sys.stderr)
        return EXIT_CANNOT_RUN
    own = ["unshare", "--net", "--pid", "--fork", "--mount-proc"] if os.geteuid() == 0 else ["unshare", "--net", "-r"]
    again = [*own, sys.executable, *sys.argv]
    return subprocess.run(again, env=os.environ | {INSIDE: "1"}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
