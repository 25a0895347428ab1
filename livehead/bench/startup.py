"""How long a command needs until its first frame, measured from outside, in a process of its own."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Sequence

from livehead.errors import DeviceError


def measure_seconds_until(command: Sequence[str], marker: str, timeout_s: float = 60.0) -> float:
    """Start ``command``, give the seconds until a line of its stdout or stderr contains ``marker``, and end it.

    Raises: DeviceError with the command's last line when it ends, or ``timeout_s`` is over, before such a line.
    """
    start = time.monotonic()
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
    )
    timeout = threading.Timer(timeout_s, process.kill)
    timeout.start()
    last = "it said nothing"
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if marker in line:
                return time.monotonic() - start
            last = line.strip() or last
    finally:
        timeout.cancel()
        process.terminate()
        process.communicate()
    raise DeviceError(f"{' '.join(command)} gave no frame ({last})", "run it by hand to see why")
