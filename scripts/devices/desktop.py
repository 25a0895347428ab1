"""A Linux desktop's camera services without a desktop: a session bus, PipeWire, WirePlumber and the camera portal.

They live in a fresh folder, and the camera is granted as a person would by clicking "allow".
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

PACKAGES = (
    "chromium dbus pipewire pipewire-bin wireplumber xdg-desktop-portal "
    "gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-pipewire"
)
_PROGRAMS = ("dbus-daemon", "pipewire", "wireplumber", "pw-cli", "gdbus", "gst-launch-1.0")
_PORTAL_PROGRAM = Path("/usr/libexec/xdg-desktop-portal")
_PERMISSION_STORE_PROGRAM = Path("/usr/libexec/xdg-permission-store")


def missing_programs() -> list[str]:
    """Programs that this machine lacks."""
    lacking = [program for program in _PROGRAMS if shutil.which(program) is None]
    return lacking + [path.name for path in (_PORTAL_PROGRAM, _PERMISSION_STORE_PROGRAM) if not path.exists()]


@contextlib.contextmanager
def run_services() -> Iterator[None]:
    """Run the services, with this process's environment pointing to them."""
    with tempfile.TemporaryDirectory(prefix="livehead-desktop-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o700)
        # The portal asks a desktop's backend for "access"; naming a desktop of our own with no backend leaves the
        # permission store to answer.
        (folder / "livehead.portal").write_text(
            "[portal]\nDBusName=org.freedesktop.impl.portal.desktop.livehead\n"
            "Interfaces=org.freedesktop.impl.portal.Access\nUseIn=livehead\n"
        )
        os.environ.update(
            XDG_RUNTIME_DIR=name,
            XDG_DATA_HOME=f"{name}/data",
            XDG_CONFIG_HOME=f"{name}/config",
            XDG_STATE_HOME=f"{name}/state",
            XDG_DESKTOP_PORTAL_DIR=name,
            XDG_CURRENT_DESKTOP="livehead",
            PIPEWIRE_RUNTIME_DIR=name,
            DBUS_SESSION_BUS_ADDRESS=f"unix:path={name}/bus",
        )
        with contextlib.ExitStack() as running, (folder / "services.log").open("wb") as log:

            def start(*command: str) -> None:
                child = subprocess.Popen(command, stdout=log, stderr=log)
                running.callback(_stop_process, child)

            # The bus starts services on demand, so it needs the environment above.
            start("dbus-daemon", "--session", "--nofork", "--nopidfile", f"--address=unix:path={name}/bus")
            _wait_until((folder / "bus").exists, "the session bus")
            start("pipewire")
            _wait_until((folder / "pipewire-0").exists, "pipewire")
            start("wireplumber")
            start(str(_PERMISSION_STORE_PROGRAM))
            _wait_until(_grant_camera, "the permission store")
            start(str(_PORTAL_PROGRAM))
            _wait_until(_is_portal_ready, "the camera portal")
            yield


def _stop_process(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(3)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _wait_until(ready: Callable[[], bool], what: str, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come up in {seconds:.0f} s")
        time.sleep(0.1)


def _call_dbus(destination: str, path: str, method: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["gdbus", "call", "--session", "--dest", destination, "--object-path", path, "--method", method]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=10, check=False)


def _grant_camera() -> bool:
    store = "org.freedesktop.impl.portal.PermissionStore"
    path = "/org/freedesktop/impl/portal/PermissionStore"
    return _call_dbus(store, path, f"{store}.SetPermission", "devices", "true", "camera", "", "['yes']").returncode == 0


def _is_portal_ready() -> bool:
    name = "org.freedesktop.portal.Desktop"
    where = "/org/freedesktop/portal/desktop"
    answer = _call_dbus(
        name, where, "org.freedesktop.DBus.Properties.Get", "org.freedesktop.portal.Camera", "IsCameraPresent"
    )
    return answer.returncode == 0
