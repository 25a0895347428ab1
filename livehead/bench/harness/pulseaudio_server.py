"""A private PulseAudio server whose null sinks stand for a microphone and a virtual cable, without any sound card.

What is played into ``MICROPHONE_SINK`` is recorded from the device ``MICROPHONE``; what is played on the device
``CABLE`` is recorded from the device ``CABLE_END``. PortAudio lists these devices, through ALSA's plug-in.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType

from livehead.errors import DeviceError

MICROPHONE, CABLE, CABLE_END = "livehead_microphone", "livehead_cable", "livehead_cable_end"
MICROPHONE_SINK = "microphone"
INSTALL_REMEDY = "sudo apt-get install pulseaudio pulseaudio-utils libportaudio2 libasound2-plugins"

_PULSE_CONFIG = """
load-module module-null-sink sink_name=microphone rate={rate} channels=1
load-module module-null-sink sink_name=cable rate={rate} channels=2
load-module module-native-protocol-unix auth-anonymous=1 socket={socket}
"""
_ALSA_CONFIG = """
</usr/share/alsa/alsa.conf>
pcm.livehead_microphone {{ type pulse server "{server}" device "microphone.monitor" hint.description "microphone" }}
pcm.livehead_cable {{ type pulse server "{server}" device "cable" hint.description "cable" }}
pcm.livehead_cable_end {{ type pulse server "{server}" device "cable.monitor" hint.description "cable's end" }}
"""
_START_TIMEOUT_S = 10.0


class PulseServer:
    """A server that runs from ``start`` to ``stop``, or inside a ``with`` block. ``rate``: Hz of the two null sinks.

    Set ``environment`` before PortAudio is loaded, in this process or in another one.
    Raises (on starting): DeviceError where PulseAudio is not installed or does not start.
    """

    def __init__(self, rate: int = 48_000) -> None:
        self._rate = rate
        self._folder = TemporaryDirectory(prefix="livehead-pulse-")
        self._process: subprocess.Popen[bytes] | None = None
        home = Path(self._folder.name)
        self._socket = home / "native"
        server = f"unix:{self._socket}"
        (home / "pulse.pa").write_text(_PULSE_CONFIG.format(rate=rate, socket=self._socket))
        (home / "alsa.conf").write_text(_ALSA_CONFIG.format(server=server))
        self.environment = {"PULSE_SERVER": server, "ALSA_CONFIG_PATH": str(home / "alsa.conf")}

    def __enter__(self) -> PulseServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._folder.cleanup()

    def start(self) -> None:
        """Start the server and wait until it answers. Raises: DeviceError."""
        missing = find_missing_package()
        if missing:
            raise DeviceError(f"{missing} is not installed", INSTALL_REMEDY)
        home = self._folder.name
        self._process = subprocess.Popen(
            [
                "pulseaudio",
                "-n",
                "-F",
                f"{home}/pulse.pa",
                "--exit-idle-time=-1",
                "--daemonize=no",
                "--use-pid-file=no",
            ],
            env={**os.environ, **self.environment, "XDG_RUNTIME_DIR": home, "HOME": home},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        end = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < end and self._process.poll() is None:
            if self._run_pactl("info"):
                return
            time.sleep(0.05)
        self.stop()
        raise DeviceError("PulseAudio does not start", "run pulseaudio -n -v to see why")

    def stop(self) -> None:
        """End the server as if it had crashed; its devices are gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        self._socket.unlink(missing_ok=True)

    def play(self, sound: Path) -> subprocess.Popen[bytes]:
        """Play a sound file into the microphone."""
        command = ["paplay", "--latency-msec=50", f"--device={MICROPHONE_SINK}", str(sound)]
        return subprocess.Popen(command, env={**os.environ, **self.environment})

    def _run_pactl(self, *words: str) -> bool:
        done = subprocess.run(
            ["pactl", *words], env={**os.environ, **self.environment}, capture_output=True, check=False, timeout=10
        )
        return done.returncode == 0


def find_missing_package() -> str | None:
    """The first needed part that is not installed, None when all are there."""
    if sys.platform != "linux":
        return "PulseAudio (Linux only)"
    for tool in ("pulseaudio", "paplay", "pactl"):
        if shutil.which(tool) is None:
            return tool
    plugins = (Path(folder).glob("**/alsa-lib/libasound_module_pcm_pulse.so") for folder in ("/usr/lib", "/usr/lib64"))
    return None if any(True for found in plugins for _ in found) else "ALSA's plug-in for PulseAudio"
