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
_IGNORE_ALSA_ERRORS = _ALSA_HANDLER(lambda *_: None)
_START_WINDOW = 50  # estimates of when a stream began, the median of which gives the time: it follows the clocks' drift
_SETTLING_S = {"input": 2.0, "output": 0.3}  # PulseAudio's first ages are 0.4 s too long; it needs 1.5 s to mend them
_OUTPUT_LATENCY_S = 0.03  # the shortest breaks off on a busy machine; the picture is later than this anyway
_CLOSE_TIMEOUT_S = 3.0
_MAX_CREDIBLE_S = 1.0  # a time further away than this is a driver's fancy
_NAMES_AND_REMEDIES = {
    "input": ("microphone", "plug one in, or go on without --microphone"),
    "output": ("sound output", ""),
}
_ERROR_TYPES: dict[str, type[DeviceError]] = {"input": CaptureError, "output": SinkError}


class StreamClock:
    """Puts the sound card's times of samples on the monotonic clock, freed of the jitter with which blocks come."""

    def __init__(self, direction: Direction, rate: int) -> None:
        self._rate = rate
        self._settling_s = _SETTLING_S[direction]
        self._start_estimates: deque[int] = deque(maxlen=_START_WINDOW)
        self.sample_position = 0
        """Samples of the stream so far, those lost included."""

    def next_sample_ns(self, offset_s: float, min_offset_s: float) -> int:
        """When the next sample is recorded or heard.

        ``away_s``: the card's word for how far that is from now, in its direction (before now if negative).
        ``nearest_s``: it cannot be nearer than this, which is also what is taken while the card is not credible. (Of
        the monitor of a null sink PulseAudio tells when a sample would be played, which is after it was recorded.)
        """
        settled = self.sample_position > self._settling_s * self._rate
        if not settled or not abs(min_offset_s) <= abs(offset_s) <= _MAX_CREDIBLE_S or offset_s * min_offset_s < 0:
            offset_s = min_offset_s
        self._start_estimates.append(now_ns() + round(offset_s * NS) - self._to_ns(self.sample_position))
        return median_low(self._start_estimates) + self._to_ns(self.sample_position)

    def skip_lost_samples(self) -> int:
        """Samples missing before the newest block, by its time alone; they are passed over."""
        late_ns = self._start_estimates[-1] - median_low(self._start_estimates)
        lost = max(round(late_ns * self._rate / NS), 0)
        self.sample_position += lost
        self._start_estimates[-1] -= self._to_ns(lost)
        return lost

    def _to_ns(self, samples: int) -> int:
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
        """As ``open``, for a device that was lost: close what is left of it and look for it anew."""
        with _PORTAUDIO_LOCK:
            self.close()
            refresh_devices()
            self.open()

    def close(self) -> None:
        """End the stream; ``on_end`` is not called."""
        with _PORTAUDIO_LOCK:
            self._should_run = False
            stream, self._stream = self._stream, None
            _OPEN_STREAMS.discard(self)
            if stream is not None:
                _close_with_timeout(load_portaudio(self.direction), stream)

    def stop_from_callback(self) -> None:
        """To be called within ``callback`` alone: its block is the last."""
        raise load_portaudio(self.direction).CallbackStop

    @property
    def running(self) -> bool:
        """Whether samples flow."""
        return self._stream is not None and bool(self._stream.active)

    def _start_stream(self, sounddevice: ModuleType, device: dict[str, Any], rate: int) -> None:
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


_PORTAUDIO_LOCK = threading.RLock()  # PortAudio's opening and closing are not made for several threads
_OPEN_STREAMS: set[DeviceStream] = set()
_STUCK_STREAMS: list[
    Any
] = []  # streams whose closing has not returned; kept, since freeing them would close them again


def _close_with_timeout(sounddevice: ModuleType, stream: Any) -> None:
    """Close ``stream``, for a while: ALSA's plug-in for a sound server that has died may wait for it for ever."""
    closing = threading.Thread(target=stream.close, kwargs={"ignore_errors": True}, daemon=True)
    closing.start()
    closing.join(_CLOSE_TIMEOUT_S)
    if closing.is_alive():
        log.warning("PortAudio does not let go of a device that is gone")
        _STUCK_STREAMS.append(stream)
        atexit.unregister(sounddevice._exit_handler)  # it would wait as well


def list_devices(direction: Direction) -> list[str]:
    """Names of the devices. Raises: CaptureError or SinkError without PortAudio."""
    return [str(device["name"]) for device in _query_devices(load_portaudio(direction), direction)]


def load_portaudio(direction: Direction) -> ModuleType:
    """The module ``sounddevice``. Raises: CaptureError or SinkError when it has no PortAudio."""
    _silence_alsa()
    try:
        import sounddevice
    except OSError as error:  # it looks for the PortAudio library when it is imported
        kind = _ERROR_TYPES[direction]
        raise kind("the PortAudio library is missing", "sudo apt-get install libportaudio2") from error
    module: ModuleType = sounddevice
    return module


def refresh_devices() -> None:
    """Let PortAudio list the devices anew, unless a stream runs; streams that have ended are closed for it."""
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
    """ALSA, asked for its devices, writes a line to standard error for each that the machine lacks."""
    if sys.platform == "linux":
        with suppress(OSError):  # without the library there is nobody to hush
            ctypes.CDLL("libasound.so.2").snd_lib_error_set_handler(_IGNORE_ALSA_ERRORS)


def _query_devices(sounddevice: ModuleType, direction: Direction) -> list[dict[str, Any]]:
    return [device for device in sounddevice.query_devices() if device[f"max_{direction}_channels"] > 0]


def _find_device(sounddevice: ModuleType, direction: Direction, name: str | int | None) -> dict[str, Any]:
    """The device that ``name`` means. Raises: CaptureError or SinkError with the names there are."""
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
