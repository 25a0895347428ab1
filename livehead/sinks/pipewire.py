"""A virtual camera for Linux desktops without a kernel module; browsers find it through the desktop's camera portal.

Frames go through a pipe to a GStreamer process whose ``pipewiresink`` offers them as a PipeWire ``Video/Source``. It is
a separate process because PipeWire has no bindings that pip can install, and a fault in a media server must not end a
call.
"""

from __future__ import annotations

import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import IO

import cv2

from livehead.concurrency import Worker
from livehead.errors import ConfigError, SinkError
from livehead.frames import Frame, Image, VideoFrame

_PIPE_BYTES = 1 << 20  # Linux's limit for a pipe of an ordinary user
_START_TIMEOUT_S = 10.0
_STALL_TIMEOUT_S = 3.0
_STOP_TIMEOUT_S = 2.0
_ELEMENTS = ("rawvideoparse", "compositor", "pipewiresink")
_INSTALL_COMMANDS = {
    "debian": "sudo apt install pipewire wireplumber gstreamer1.0-{tools,plugins-base,pipewire}",
    "fedora": "sudo dnf install pipewire wireplumber gstreamer1 gstreamer1-plugins-base pipewire-gstreamer",
    "arch": "sudo pacman -S pipewire wireplumber gstreamer gst-plugins-base gst-plugin-pipewire",
    "suse": "sudo zypper install pipewire wireplumber gstreamer gstreamer-plugins-base gstreamer-plugin-pipewire",
}


class PipeWireSink:
    """Offers frames of ``size`` (width, height) as the camera ``name`` to programs that use the camera portal.

    When no more frames come the last one stays visible. A frame is written as planar YUV 4:2:0 (BT.601, limited range),
    so its size has to be even. Raises: ConfigError for an impossible size or rate.
    """

    def __init__(self, size: tuple[int, int] = (1280, 720), fps: int = 30, name: str = "Livehead Avatar") -> None:
        if size[0] < 2 or size[1] < 2 or size[0] % 2 or size[1] % 2:
            raise ConfigError(f"a PipeWire camera cannot be {size[0]}x{size[1]}", "give an even width and height")
        if fps < 1:
            raise ConfigError(f"a PipeWire camera cannot have {fps} frames a second", "give at least 1")
        self.size = size
        self.fps = fps
        self.name = name
        self._worker = Worker("pipewire")
        self._stack = AsyncExitStack()
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        self._server_connection: socket.socket | None = None

    async def __aenter__(self) -> PipeWireSink:
        """Start the camera. Raises: SinkError when a program, a plugin or the PipeWire server is missing."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._worker)
            stack.push_async_callback(self._worker.run, self._stop_camera)
            await self._worker.run(self._start_camera)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def send(self, frame: Frame) -> None:
        """Show a picture of the camera's size; sound is not for a camera. Raises: SinkError."""
        if isinstance(frame, VideoFrame):
            await self._worker.run(self._write_image, frame.image)

    def _start_camera(self) -> None:
        require_pipewire()
        # GStreamer does not end with the server and would swallow every frame; this connection shows the server's end.
        self._server_connection = _connect_to_server()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by _stop_camera
        self._process = subprocess.Popen(
            [*_parent_death_prefix(), *_gstreamer_command(self.size, self.fps, self.name)],
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            process_group=0,  # Ctrl-C reaches livehead alone, which then ends the camera
        )
        assert self._process.stdin is not None
        _configure_pipe(self._process.stdin.fileno())
        deadline = time.monotonic() + _START_TIMEOUT_S
        while b"PLAYING" not in self._read_log():
            if self._process.poll() is not None:
                raise self._ended_error()
            if time.monotonic() > deadline:
                raise SinkError(
                    f"the PipeWire camera did not start in {_START_TIMEOUT_S:.0f} s",
                    "try again after `systemctl --user restart pipewire wireplumber`",
                    subject=self.name,
                )
            time.sleep(0.01)

    def _write_image(self, image: Image) -> None:
        if self._process is None or self._process.stdin is None or self._server_connection is None:
            raise SinkError("the PipeWire camera is not open", "use it in `async with`", subject=self.name)
        if (image.shape[1], image.shape[0]) != self.size:
            raise SinkError(
                f"a frame of {image.shape[1]}x{image.shape[0]} for a PipeWire camera of {self.size[0]}x{self.size[1]}",
                "give the pipeline and the sink the same size",
                subject=self.name,
            )
        code = cv2.COLOR_RGB2YUV_I420 if image.shape[2] == 3 else cv2.COLOR_RGBA2YUV_I420
        # the server sends nothing to a silent client: what can be read is the end of the connection
        if select.select([self._server_connection], [], [], 0)[0]:
            raise self._ended_error("the PipeWire server went away")
        rest = cv2.cvtColor(image, code).data.cast("B")
        pipe = self._process.stdin.fileno()
        deadline = time.monotonic() + _STALL_TIMEOUT_S
        while rest:
            if not select.select([], [pipe], [], max(0.0, deadline - time.monotonic()))[1]:
                raise SinkError(
                    f"the PipeWire camera took no frame for {_STALL_TIMEOUT_S:.0f} s",
                    "close the programs that use it, then `systemctl --user restart pipewire wireplumber`",
                    subject=self.name,
                )
            try:
                rest = rest[os.write(pipe, rest) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                raise self._ended_error() from None

    def _stop_camera(self) -> None:
        child, self._process = self._process, None
        if child is not None:
            child.terminate()
            try:
                child.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            assert child.stdin is not None
            child.stdin.close()
        for held in (self._log, self._server_connection):
            if held is not None:
                held.close()
        self._log = self._server_connection = None

    def _read_log(self) -> bytes:
        assert self._log is not None
        return os.pread(self._log.fileno(), 1 << 16, 0)

    def _ended_error(self, reason: str = "GStreamer gave no reason") -> SinkError:
        complaints = [line for line in self._read_log().decode(errors="replace").splitlines() if "ERROR" in line]
        if complaints:
            reason = complaints[0].strip()
        return SinkError(
            f"the PipeWire camera ended ({reason})",
            "see that PipeWire runs (`systemctl --user restart pipewire wireplumber`) and start livehead again",
            subject=self.name,
        )


def require_pipewire() -> None:
    """Check that all that ``PipeWireSink`` needs is there. Raises: SinkError naming what is missing and its remedy."""
    if sys.platform != "linux":
        raise SinkError("PipeWire cameras exist on Linux only", "use the sink virtualcam", subject="pipewire")
    for tool in ("gst-launch-1.0", "gst-inspect-1.0"):
        if shutil.which(tool) is None:
            raise SinkError(f"GStreamer's {tool} is not installed", _install_command(), subject=tool)
    for element in _ELEMENTS:
        # Not with --exists: it also compares the plugin's version with GStreamer's own, and PipeWire's is lower.
        if subprocess.run(["gst-inspect-1.0", element], capture_output=True, check=False).returncode:
            raise SinkError(f"GStreamer's element {element} is not installed", _install_command(), subject=element)
    _connect_to_server().close()


def _connect_to_server() -> socket.socket:
    """Connect to the PipeWire server. Raises: SinkError when none answers."""
    server = _server_socket_path()
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(str(server))
    except OSError as error:
        connection.close()
        raise SinkError(
            f"no PipeWire server answers at {server} ({error.strerror})",
            "in your desktop session run `systemctl --user start pipewire wireplumber`; if that fails, "
            + _install_command(),
            subject=str(server),
        ) from error
    return connection


def _server_socket_path() -> Path:
    """The socket that PipeWire's client library would connect to."""
    folder = os.environ.get("PIPEWIRE_RUNTIME_DIR") or os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    return Path(folder, os.environ.get("PIPEWIRE_REMOTE") or "pipewire-0")


def _install_command() -> str:
    """The command that installs PipeWire and GStreamer on this Linux distribution."""
    try:
        lines = Path("/etc/os-release").read_text().splitlines()
    except OSError:
        lines = []
    fields = dict(line.split("=", 1) for line in lines if "=" in line)
    families = f"{fields.get('ID', '')} {fields.get('ID_LIKE', '')}".replace('"', "").split()
    for family in families:
        for known, command in _INSTALL_COMMANDS.items():
            if known in family:
                return command
    return "install PipeWire, WirePlumber, GStreamer with its base plugins, and PipeWire's GStreamer plugin"


def _parent_death_prefix() -> list[str]:
    """A command prefix that ends the camera if livehead is killed; without it the last picture would stay visible."""
    return ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []


def _configure_pipe(pipe: int) -> None:
    """Let the pipe hold most of a frame, and let writes return at once instead of blocking."""
    import fcntl  # not on Windows, where this module still has to be imported

    fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    os.set_blocking(pipe, False)


def _gstreamer_command(size: tuple[int, int], fps: int, name: str) -> list[str]:
    """The GStreamer command that lays pictures of ``size`` from standard input over a live source, for PipeWire.

    The live source makes the compositor repeat the last picture while none comes, and pipewiresink (0.3.65) crashes
    without one when a program connects. It is tiny, since it is never seen, and fast, since a live source's frame
    period is added to the delay (measured to a page at 30 fps: 85 ms with a source at 30 fps, 55 ms at 120 fps).
    Frames are stamped as they come; counted stamps would fall behind for good whenever the pipeline pauses.
    The compositor draws into memory of its own: with buffers of PipeWire's pool it fills that pool before a program
    connects, and then about one connection in ten waits for ever (none of 23 with ``drop-allocation``).
    """
    width, height = size
    shape = f"width={width},height={height}"
    label = "".join(letter if letter.isalnum() else f"\\{letter}" for letter in name)
    properties = (
        f'props,media.class=Video/Source,media.role=Camera,node.name=livehead,node.description=(string)"{label}"'
    )
    return [
        "gst-launch-1.0",
        *f"compositor name=screen ! video/x-raw,format=I420,{shape},framerate={fps}/1 !".split(),
        *["identity", "drop-allocation=true", "!", "pipewiresink", "mode=provide"],
        f"stream-properties={properties}",
        *["videotestsrc", "is-live=true", "pattern=black", "!"],
        *f"video/x-raw,format=I420,width=16,height=16,framerate={4 * fps}/1 ! screen.".split(),
        *f"fdsrc fd=0 do-timestamp=true blocksize={width * height * 3 // 2} !".split(),
        *f"rawvideoparse format=i420 width={width} height={height} framerate={fps}/1 !".split(),
        *["queue", "leaky=downstream", "max-size-buffers=1", "max-size-bytes=0", "max-size-time=0", "!", "screen."],
    ]
