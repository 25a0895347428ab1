"""PortAudio's devices: found by name, opened at a rate they take, opened again when they come back.

PortAudio lists its devices once, when it is loaded. It is loaded anew for a device that is sought again, which may only
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
from statistics import median_low
from types import ModuleType
from typing import Any, Literal

from livehead.clock import NS, now_ns
from livehead.errors import CaptureError, DeviceError, SinkError

log = logging.getLogger(__name__)

Direction = Literal["input", "output"]

_ALSA_HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p)
_IGNORED = _ALSA_HANDLER(lambda *_: None)
_STARTS = 50  # estimates of when a stream began, the median of which gives the time: it follows the clocks' drift
_SETTLING_S = {"input": 2.0, "output": 0.3}  # PulseAudio's first ages are 0.4 s too long; it needs 1.5 s to mend them
_OUTPUT_LATENCY_S = 0.03  # the shortest breaks off on a busy machine; the picture is later than this anyway
_CLOSING_S = 3.0
_CREDIBLE_S = 1.0  # a time further away than this is a driver's fancy
_WORDS = {"input": ("microphone", "plug one in, or go on without --microphone"), "output": ("sound output", "")}
_ERRORS: dict[str, type[DeviceError]] = {"input": CaptureError, "output": SinkError}


class StreamClock:
    """Puts the sound card's times of samples on the monotonic clock, freed of the jitter with which blocks come."""

    def __init__(self, direction: Direction, rate: int) -> None:
        self._rate = rate
        self._settling_s = _SETTLING_S[direction]
        self._starts: deque[int] = deque(maxlen=_STARTS)
        self.passed = 0
        """Samples of the stream so far, those lost included."""

    def moment_ns(self, away_s: float, nearest_s: float) -> int:
        """When the next sample is recorded or heard.

        ``away_s``: the card's word for how far that is from now, in its direction (before now if negative).
        ``nearest_s``: it cannot be nearer than this, which is also what is taken while the card is not credible. (Of
        the monitor of a null sink PulseAudio tells when a sample would be played, which is after it was recorded.)
        """
        settled = self.passed > self._settling_s * self._rate
        if not settled or not abs(nearest_s) <= abs(away_s) <= _CREDIBLE_S or away_s * nearest_s < 0:
            away_s = nearest_s
        self._starts.append(now_ns() + round(away_s * NS) - self._since(self.passed))
        return median_low(self._starts) + self._since(self.passed)

    def lost(self) -> int:
        """Samples missing before the newest block, by its time alone; they are passed over."""
        late_ns = self._starts[-1] - median_low(self._starts)
        lost = max(round(late_ns * self._rate / NS), 0)
        self.passed += lost
        self._starts[-1] -= self._since(lost)
        return lost

    def _since(self, samples: int) -> int:
        return samples * NS // self._rate


class DeviceStream:
    """One direction of one device. All but ``callback`` and ``on_end`` run on the caller's thread, and may block.

    ``name``: a device's number, its name or a part of it, in any case; None takes the system's default.
    ``rate``: Hz wished for; ``device_rate`` is what the device runs at. ``callback``: PortAudio's, on its own thread.
    ``on_end``: called when the stream ends unasked, on PortAudio's thread.
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
        self._wanted = False

    def open(self) -> None:
        """Start the stream. Raises: CaptureError or SinkError when PortAudio or the device is missing or refuses."""
        with _LOCK:
            sounddevice = load_portaudio(self.direction)
            device = _find(sounddevice, self.direction, self.name)
            own_rate = round(device["default_samplerate"])
            for rate in dict.fromkeys((self.rate, own_rate)):
                try:
                    self._start(sounddevice, device, rate)
                except sounddevice.PortAudioError as error:
                    if rate == own_rate:
                        raise _refused(sounddevice, self.direction, device["name"], error) from error
                else:
                    if rate != self.rate:
                        log.info("%s does not run at %d Hz: resampling from %d Hz", device["name"], self.rate, rate)
                    return

    def open_again(self) -> None:
        """As ``open``, for a device that was lost: close what is left of it and look for it anew."""
        with _LOCK:
            self.close()
            look_again()
            self.open()

    def close(self) -> None:
        """End the stream; ``on_end`` is not called."""
        with _LOCK:
            self._wanted = False
            stream, self._stream = self._stream, None
            _OPEN.discard(self)
            if stream is not None:
                _close(load_portaudio(self.direction), stream)

    def stop_from_callback(self) -> None:
        """To be called within ``callback`` alone: its block is the last."""
        raise load_portaudio(self.direction).CallbackStop

    @property
    def running(self) -> bool:
        """Whether samples flow."""
        return self._stream is not None and bool(self._stream.active)

    def _start(self, sounddevice: ModuleType, device: dict[str, Any], rate: int) -> None:
        kind = sounddevice.InputStream if self.direction == "input" else sounddevice.OutputStream
        self.device_rate = rate
        # a microphone's first channel will do; a mono output would be heard on one side only with some systems
        self.channels = 1 if self.direction == "input" else min(device["max_output_channels"], 2)
        stream = kind(
            device=device["index"],
            samplerate=rate,
            blocksize=round(rate * self._block_ms / 1000),
            channels=self.channels,
            dtype="float32",
            latency="low" if self.direction == "input" else _OUTPUT_LATENCY_S,
            callback=self._callback,
            finished_callback=self._ended,
        )
        self._wanted = True
        self._stream = stream
        _OPEN.add(self)
        try:
            stream.start()
        except sounddevice.PortAudioError:
            self.close()
            raise

    def _ended(self) -> None:
        if self._wanted:
            self._on_end()


_LOCK = threading.RLock()  # PortAudio's opening and closing are not made for several threads
_OPEN: set[DeviceStream] = set()
_STUCK: list[Any] = []  # streams whose closing has not returned; kept, since freeing them would close them again


def _close(sounddevice: ModuleType, stream: Any) -> None:
    """Close ``stream``, for a while: ALSA's plug-in for a sound server that has died may wait for it for ever."""
    closing = threading.Thread(target=stream.close, kwargs={"ignore_errors": True}, daemon=True)
    closing.start()
    closing.join(_CLOSING_S)
    if closing.is_alive():
        log.warning("PortAudio does not let go of a device that is gone")
        _STUCK.append(stream)
        atexit.unregister(sounddevice._exit_handler)  # it would wait as well


def devices_found(direction: Direction) -> list[str]:
    """Names of the devices. Raises: CaptureError or SinkError without PortAudio."""
    return [str(device["name"]) for device in _devices(load_portaudio(direction), direction)]


def load_portaudio(direction: Direction) -> ModuleType:
    """The module ``sounddevice``. Raises: CaptureError or SinkError when it has no PortAudio."""
    _hush_alsa()
    try:
        import sounddevice
    except OSError as error:  # it looks for the PortAudio library when it is imported
        kind = _ERRORS[direction]
        raise kind("the PortAudio library is missing", "sudo apt-get install libportaudio2") from error
    module: ModuleType = sounddevice
    return module


def look_again() -> None:
    """Let PortAudio list the devices anew, unless a stream runs; streams that have ended are closed for it."""
    if _STUCK or any(stream.running for stream in _OPEN):
        return
    sounddevice = load_portaudio("input")
    for stream in list(_OPEN):
        stream.close()
    with suppress(sounddevice.PortAudioError):
        sounddevice._terminate()
    with suppress(sounddevice.PortAudioError):
        sounddevice._initialize()


def _hush_alsa() -> None:
    """ALSA, asked for its devices, writes a line to standard error for each that the machine lacks."""
    if sys.platform == "linux":
        with suppress(OSError):  # without the library there is nobody to hush
            ctypes.CDLL("libasound.so.2").snd_lib_error_set_handler(_IGNORED)


def _devices(sounddevice: ModuleType, direction: Direction) -> list[dict[str, Any]]:
    return [device for device in sounddevice.query_devices() if device[f"max_{direction}_channels"] > 0]


def _find(sounddevice: ModuleType, direction: Direction, name: str | int | None) -> dict[str, Any]:
    """The device that ``name`` means. Raises: CaptureError or SinkError with the names there are."""
    devices = _devices(sounddevice, direction)
    word, remedy = _WORDS[direction]
    if not devices:
        raise _ERRORS[direction](f"no {word} was found", remedy or "go on without --sound-out")
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
    raise _ERRORS[direction](f"there is no {word} {name!r}", f"found: {names}", subject=str(name))


def _refused(sounddevice: ModuleType, direction: Direction, name: str, error: Exception) -> DeviceError:
    names = ", ".join(str(device["name"]) for device in _devices(sounddevice, direction))
    reason = str(error).splitlines()[0]
    remedy = f"end the other program that uses it, or choose another of: {names}"
    return _ERRORS[direction](f"{_WORDS[direction][0]} {name} cannot be opened ({reason})", remedy, subject=name)
