"""A real OBS without a screen: under Xvfb, with settings of its own, in a folder that is thrown away.

It listens on all addresses of its network and asks obsproject.com, so it is best started in a network of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PACKAGES = "obs-studio obs-plugins xvfb dbus libgl1-mesa-dri"
_PROGRAMS = ("obs", "Xvfb", "dbus-run-session")
_START_TIMEOUT_S = 40.0
# A session bus that starts nothing on demand: a desktop's portals would mount a file system into the folder.
_BUS_CONFIG = """<busconfig><type>session</type><listen>unix:tmpdir=/tmp</listen>
<policy context="default">
<allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>
</policy></busconfig>
"""


class ObsError(Exception):
    """OBS did not come up, or ended."""


def missing_programs() -> list[str]:
    """Programs that this machine lacks."""
    return [program for program in _PROGRAMS if shutil.which(program) is None]


@dataclass(frozen=True, slots=True)
class ObsInstance:
    """An OBS that runs: its WebSocket ``port`` and ``password``, and its ``folder``."""

    port: int
    password: str
    folder: Path

    @property
    def log(self) -> str:
        """What it has said so far."""
        return (self.folder / "obs.log").read_text(encoding="utf-8", errors="replace")


@contextlib.contextmanager
def run_obs(
    size: tuple[int, int] = (1280, 720),
    fps: int = 60,
    *,
    password: str = "",
    scripts: dict[Path, dict[str, Any]] | None = None,
    websocket_enabled: bool = True,
) -> Iterator[ObsInstance]:
    """OBS with a canvas of ``size``; ``scripts`` with the settings of each; ``listening``: with its WebSocket server.

    Raises: ObsError.
    """
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="livehead-obs-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o700)
        _write_settings(folder / "config" / "obs-studio", size, fps, port, password, scripts or {}, websocket_enabled)
        # OpenCV's own Qt, which it puts into the environment, is another one than OBS's
        environment = {key: value for key, value in os.environ.items() if not key.startswith("QT_")} | {
            "HOME": name,
            "XDG_CONFIG_HOME": f"{name}/config",
            "XDG_RUNTIME_DIR": name,
            "LIBGL_ALWAYS_SOFTWARE": "1",
        }
        with contextlib.ExitStack() as stack, (folder / "obs.log").open("wb") as log:
            display = stack.enter_context(_run_virtual_display(log))
            (folder / "bus.conf").write_text(_BUS_CONFIG)
            command = [
                "dbus-run-session",
                "--config-file",
                f"{name}/bus.conf",
                "--",
                "obs",
                "--multi",
                "--disable-updater",
            ]
            command += ["--disable-missing-files-check", "--minimize-to-tray"]
            environment["DISPLAY"] = display
            child = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
            stack.callback(_stop_process, child)
            machine = ObsInstance(port, password, folder)
            _wait_until_ready(machine, child, websocket_enabled)
            yield machine


@contextlib.contextmanager
def _run_virtual_display(log: Any) -> Iterator[str]:
    """A display of its own; X tells its number."""
    reader, writer = os.pipe()
    command = ["Xvfb", "-displayfd", str(writer), "-screen", "0", "1280x800x24", "-nolisten", "tcp"]
    child = subprocess.Popen(command, pass_fds=(writer,), stdout=log, stderr=log, start_new_session=True)
    os.close(writer)
    try:
        with os.fdopen(reader) as told:
            number = told.readline().strip()
        if not number:
            raise ObsError("Xvfb did not start")
        yield f":{number}"
    finally:
        _stop_process(child)


def _write_settings(
    home: Path,
    size: tuple[int, int],
    fps: int,
    port: int,
    password: str,
    scripts: dict[Path, dict[str, Any]],
    websocket_enabled: bool,
) -> None:
    profile, scenes = home / "basic" / "profiles" / "Untitled", home / "basic" / "scenes"
    profile.mkdir(parents=True)
    scenes.mkdir(parents=True)
    (home / "global.ini").write_text(
        "[General]\nFirstRun=true\nEnableAutoUpdates=false\nLastVersion=486539266\n"
        "[Basic]\nProfile=Untitled\nProfileDir=Untitled\nSceneCollection=Untitled\nSceneCollectionFile=Untitled\n"
        f"[OBSWebSocket]\nFirstLoad=false\nServerEnabled={str(websocket_enabled).lower()}\nServerPort={port}\n"
        f"AlertsEnabled=false\nAuthRequired={str(bool(password)).lower()}\nServerPassword={password}\n"
    )
    width, height = size
    (profile / "basic.ini").write_text(
        f"[General]\nName=Untitled\n[Video]\nBaseCX={width}\nBaseCY={height}\nOutputCX={width}\nOutputCY={height}\n"
        f"FPSType=0\nFPSCommon={fps}\n"
    )
    listed = [{"path": str(path), "settings": settings} for path, settings in scripts.items()]
    scene = {
        "current_scene": "Scene",
        "current_program_scene": "Scene",
        "name": "Untitled",
        "scene_order": [{"name": "Scene"}],
        "sources": [{"id": "scene", "name": "Scene", "settings": {}}],
        "modules": {"scripts-tool": listed},
    }
    (scenes / "Untitled.json").write_text(json.dumps(scene))


def _wait_until_ready(instance: ObsInstance, child: subprocess.Popen[bytes], websocket_enabled: bool) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise ObsError(f"OBS ended with {child.returncode}: {' | '.join(instance.log.splitlines()[-12:])}")
        if not websocket_enabled and "Loaded scenes" in instance.log:
            return
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", instance.port), 1):
            return
        time.sleep(0.1)
    raise ObsError(f"OBS did not come up in {_START_TIMEOUT_S:.0f} s: {' | '.join(instance.log.splitlines()[-12:])}")


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def _stop_process(child: subprocess.Popen[bytes]) -> None:
    """With all that it has started."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(8)
