"""Finds PortAudio's devices by name, opens them at a rate that they accept, and opens them again after a loss.

PortAudio lists its devices once, when it is loaded. To find a device that came back it is loaded again, which may only
happen while no stream runs.
"""

from __future__ import annotations

import atexit
import ctypes
import logging
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from statistics import median_low
from types import ModuleType
from typing import Any, Literal

from livehead.clock import NS, now_ns
from livehead.errors import CaptureError, DeviceError, SinkError

log = logging.getLogger(__name__)

Direction = Literal["input", "output"]

_ALSA_HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p)
_IGNORE_ALSA_ERRORS = _ALSA_HANDLER(lambda *_: None)
_START_WINDOW = 50  # the newest estimates of a stream's start; their median follows the drift of the clocks
_SETTLING_S = {"input": 2.0, "output": 0.3}  # PulseAudio's first ages are 0.4 s too long for 1.5 s
_OUTPUT_LATENCY_S = 0.03  # the shortest latency breaks off on a busy machine; the picture is later than this anyway
_CLOSE_TIMEOUT_S = 3.0
_MAX_CREDIBLE_S = 1.0  # a driver's time further away than this is wrong
_NAMES_AND_REMEDIES = {
    "input": ("microphone", "plug one in, or go on without --microphone"),
    "output": ("sound output", ""),
}
_ERROR_TYPES: dict[str, type[DeviceError]] = {"input": CaptureError, "output": SinkError}


class StreamClock:
    """Puts the sound card's times of samples on the monotonic clock, without the jitter with which blocks arrive.

    ``read_clock_ns``: the monotonic clock, which a test may replace.
    """

    def __init__(self, direction: Direction, rate: int, read_clock_ns: Callable[[], int] = now_ns) -> None:
        self._rate = rate
        self._read_clock_ns = read_clock_ns
        self._settling_s = _SETTLING_S[direction]
        self._start_estimates: deque[int] = deque(maxlen=_START_WINDOW)
        self.sample_position = 0
        """The number of the stream's next sample; lost samples count too."""

    def next_sample_ns(self, offset_s: float, min_offset_s: float) -> int:
        """The monotonic time in ns at which the next sample is recorded or heard.

        ``offset_s``: the card's own figure for how far that is from now (before now if negative). ``min_offset_s``: it
        cannot be nearer to now than this, which is also used while the card's figure is not credible. (For the monitor
        of a null sink PulseAudio gives the time when a sample would be played, which is after it was recorded.)
        """
        settled = self.sample_position > self._settling_s * self._rate
        if not settled or not abs(min_offset_s) <= abs(offset_s) <= _MAX_CREDIBLE_S or offset_s * min_offset_s < 0:
            offset_s = min_offset_s
        self._start_estimates.append(self._read_clock_ns() + round(offset_s * NS) - self._to_ns(self.sample_position))
        return median_low(self._start_estimates) + self._to_ns(self.sample_position)

    def skip_lost_samples(self) -> int:
        """Count the samples that are missing before the newest block by its time, and skip their numbers."""
        late_ns = self._start_estimates[-1] - median_low(self._start_estimates)
        lost = max(round(late_ns * self._rate / NS), 0)
        self.sample_position += lost
        self._start_estimates[-1] -= self._to_ns(lost)
        return lost

    def _to_ns(self, samples: int) -> int:
        return samples * NS // self._rate


class DeviceStream:
    """A stream from or to one device. Its methods run on the caller's thread and may block.

    ``name``: a device's number, its name or a part of it, in upper or lower case; None takes the system's default.
    ``rate``: the wanted rate in Hz; ``device_rate`` is the rate at which the device runs. PortAudio calls ``callback``
    with each block, and ``on_end`` when the stream ends unexpectedly, on its own thread.
    """

    def __init__(
        self,
        direction: Direction,
        name: str | int | None,
        rate: int,
        block_ms: float,
        callback: Callable[[Any, int, Any, Any], None],
        on_end: Callable[[], None],
    ) -> None:
        self.direction = direction
        self.name = name
        self.rate = rate
        self.device_rate = rate
        self.channels = 1
        self._block_ms = block_ms
        self._callback = callback
        self._on_end = on_end
        self._stream: Any = None
        self._should_run = False

    def open(self) -> None:
        """Start the stream. Raises: CaptureError or SinkError when PortAudio or the device is missing or refuses."""
        with _PORTAUDIO_LOCK:
            sounddevice = load_portaudio(self.direction)
            device = _find_device(sounddevice, self.direction, self.name)
            own_rate = round(device["default_samplerate"])
            for rate in dict.fromkeys((self.rate, own_rate)):
                try:
                    self._start_stream(sounddevice, device, rate)
                except sounddevice.PortAudioError as error:
                    if rate == own_rate:
                        raise _open_error(sounddevice, self.direction, device["name"], error) from error
                else:
                    if rate != self.rate:
                        log.info("%s does not run at %d Hz: resampling from %d Hz", device["name"], self.rate, rate)
                    return

    def reopen(self) -> None:
        """Close a lost device, let PortAudio list its devices again, and open it. Raises: the errors of ``open``."""
        with _PORTAUDIO_LOCK:
            self.close()
            refresh_devices()
            self.open()

    def close(self) -> None:
        """End the stream without a call of ``on_end``."""
        with _PORTAUDIO_LOCK:
            self._should_run = False
            stream, self._stream = self._stream, None
            _OPEN_STREAMS.discard(self)
            if stream is not None:
                _close_with_timeout(load_portaudio(self.direction), stream)

    def stop_from_callback(self) -> None:
        """End the stream with the present block; only ``callback`` may call this, and the call does not return."""
        raise load_portaudio(self.direction).CallbackStop

    @property
    def running(self) -> bool:
        """Tells whether the stream is open and active."""
        return self._stream is not None and bool(self._stream.active)

    def _start_stream(self, sounddevice: ModuleType, device: dict[str, Any], rate: int) -> None:
        kind = sounddevice.InputStream if self.direction == "input" else sounddevice.OutputStream
        self.device_rate = rate
        # an interface's second input may be the one in use, and a mono output would be heard on one side only with some
        # systems; beyond two, an input may be what the loudspeakers play
        self.channels = min(device[f"max_{self.direction}_channels"], 2)
        stream = kind(
            device=device["index"],
            samplerate=rate,
            blocksize=round(rate * self._block_ms / 1000),
            channels=self.channels,
            dtype="float32",
            latency="low" if self.direction == "input" else _OUTPUT_LATENCY_S,
            callback=self._callback,
            finished_callback=self._on_finished,
        )
        self._should_run = True
        self._stream = stream
        _OPEN_STREAMS.add(self)
        try:
            stream.start()
        except sounddevice.PortAudioError:
            self.close()
            raise

    def _on_finished(self) -> None:
        if self._should_run:
            self._on_end()


_PORTAUDIO_LOCK = threading.RLock()  # PortAudio may not open and close streams on several threads at once
_OPEN_STREAMS: set[DeviceStream] = set()
# streams whose closing has not returned; they are kept, since freeing them would close them again
_STUCK_STREAMS: list[Any] = []


def _close_with_timeout(sounddevice: ModuleType, stream: Any) -> None:
    """Close ``stream``, but wait only some seconds: ALSA's plug-in for a dead sound server may never return."""
    closing = threading.Thread(target=stream.close, kwargs={"ignore_errors": True}, daemon=True)
    closing.start()
    closing.join(_CLOSE_TIMEOUT_S)
    if closing.is_alive():
        log.warning("PortAudio does not release a device that is gone")
        _STUCK_STREAMS.append(stream)
        atexit.unregister(sounddevice._exit_handler)  # the exit handler would wait as well


@dataclass(frozen=True, slots=True)
class SoundDevice:
    """One of PortAudio's devices: its number, its name, and whether the system takes it where none is named."""

    number: int
    name: str
    is_default: bool


def list_sound_devices(direction: Direction) -> list[SoundDevice]:
    """The devices of one direction. Raises: CaptureError or SinkError without PortAudio."""
    sounddevice = load_portaudio(direction)
    default = sounddevice.default.device[direction == "output"]
    return [
        SoundDevice(device["index"], str(device["name"]), device["index"] == default)
        for device in _query_devices(sounddevice, direction)
    ]


def list_devices(direction: Direction) -> list[str]:
    """The names of the devices of one direction. Raises: CaptureError or SinkError without PortAudio."""
    return [device.name for device in list_sound_devices(direction)]


def require_device(direction: Direction, name: str | int | None) -> None:
    """Look whether there is a device that ``name`` means, without opening it. Raises: CaptureError or SinkError."""
    _find_device(load_portaudio(direction), direction, name)


def load_portaudio(direction: Direction) -> ModuleType:
    """Import the module ``sounddevice``. Raises: CaptureError or SinkError when the PortAudio library is missing."""
    _silence_alsa()
    try:
        import sounddevice
    except OSError as error:  # it looks for the PortAudio library when it is imported
        kind = _ERROR_TYPES[direction]
        raise kind("the PortAudio library is missing", "sudo apt-get install libportaudio2") from error
    module: ModuleType = sounddevice
    return module


def refresh_devices() -> None:
    """Let PortAudio list its devices again, unless a stream runs; streams that have ended are closed before."""
    if _STUCK_STREAMS or any(stream.running for stream in _OPEN_STREAMS):
        return
    sounddevice = load_portaudio("input")
    for stream in list(_OPEN_STREAMS):
        stream.close()
    with suppress(sounddevice.PortAudioError):
        sounddevice._terminate()
    with suppress(sounddevice.PortAudioError):
        sounddevice._initialize()


def _silence_alsa() -> None:
    """Keep ALSA from writing a line to standard error for each device that the machine lacks."""
    if sys.platform == "linux":
        with suppress(OSError):  # without the library there is nothing to silence
            ctypes.CDLL("libasound.so.2").snd_lib_error_set_handler(_IGNORE_ALSA_ERRORS)


def _query_devices(sounddevice: ModuleType, direction: Direction) -> list[dict[str, Any]]:
    return [device for device in sounddevice.query_devices() if device[f"max_{direction}_channels"] > 0]


def _find_device(sounddevice: ModuleType, direction: Direction, name: str | int | None) -> dict[str, Any]:
    """The device that ``name`` means. Raises: CaptureError or SinkError that lists the devices found."""
    devices = _query_devices(sounddevice, direction)
    word, remedy = _NAMES_AND_REMEDIES[direction]
    if not devices:
        raise _ERROR_TYPES[direction](f"no {word} was found", remedy or "go on without --sound-out")
    default = sounddevice.default.device[direction == "output"]
    wanted = str(default if name is None else name).lower()
    for fits in (
        lambda device: wanted == str(device["index"]),
        lambda device: wanted == device["name"].lower(),
        lambda device: wanted in device["name"].lower(),
    ):
        for device in devices:
            if fits(device):
                return device
    if name is None:
        return devices[0]
    names = ", ".join(str(device["name"]) for device in devices)
    raise _ERROR_TYPES[direction](f"there is no {word} {name!r}", f"found: {names}", subject=str(name))


def _open_error(sounddevice: ModuleType, direction: Direction, name: str, error: Exception) -> DeviceError:
    names = ", ".join(str(device["name"]) for device in _query_devices(sounddevice, direction))
    reason = str(error).splitlines()[0]
    remedy = f"end the other program that uses it, or choose another of: {names}"
    return _ERROR_TYPES[direction](
        f"{_NAMES_AND_REMEDIES[direction][0]} {name} cannot be opened ({reason})", remedy, subject=name
    )
