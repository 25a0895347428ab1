"""The microphone, through PortAudio: short blocks of mono sound, stamped with the time of their first sample."""

from __future__ import annotations

import ctypes
import logging
import sys
from collections import deque
from contextlib import AsyncExitStack, suppress
from statistics import median_low
from types import ModuleType, TracebackType
from typing import Any

import av
import numpy as np

from livehead.clock import NS, now_ns
from livehead.concurrency import Fifo, Worker
from livehead.errors import CaptureError
from livehead.frames import AudioFrame, Samples

log = logging.getLogger(__name__)

_LINE = 50  # blocks that may wait for the reader: half a second to a second
_STARTS = 50  # estimates of when the stream began, the median of which gives the time: it follows the clocks' drift
_SETTLING_S = 2.0  # PulseAudio begins with ages that are 0.4 s too long and needs 1.5 s to mend them
_ALSA_HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p)
_IGNORED = _ALSA_HANDLER(lambda *_: None)
_CREDIBLE_S = 1.0  # a recording time further back than this is a driver's fancy


class MicrophoneCapture:
    """Blocks of sound, float32 mono, from the input device ``name``.

    ``name``: a device's number, its name or a part of it, in any case; None takes the system's default.
    ``rate``: Hz; the sound of a device that refuses it is resampled. ``block_ms``: 10 to 20.
    ``captured_ns`` is the sound card's time of the first sample, put on the monotonic clock and freed of the jitter
    with which blocks arrive.
    Raises (on entering): CaptureError when PortAudio or the device is missing.
    """

    def __init__(self, name: str | int | None = None, *, rate: int = 16_000, block_ms: float = 20.0) -> None:
        self.name = name
        self.rate = rate
        self.drop_outs = 0
        """Times that the sound card or the system lost samples."""
        self._block_ms = block_ms
        self._line: Fifo[AudioFrame] = Fifo(_LINE)
        self._device_rate = rate
        self._resampler: av.AudioResampler | None = None
        self._taken = 0  # samples of the device's
        self._given = 0  # samples at ``rate``
        self._starts: deque[int] = deque(maxlen=_STARTS)
        self._closing = False
        self._stack = AsyncExitStack()

    @property
    def dropped(self) -> int:
        """Blocks lost because they were not fetched in time."""
        return self._line.dropped

    async def __aenter__(self) -> MicrophoneCapture:
        async with AsyncExitStack() as stack:
            worker = await stack.enter_async_context(Worker("microphone"))
            stream = await worker.run(self._open)
            stack.push_async_callback(worker.run, self._close, stream)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def recv(self) -> AudioFrame:
        """The next block. Raises: CaptureError when the device is gone, EndOfStream once closed."""
        return await self._line.get()

    def _open(self) -> Any:
        sounddevice = _sounddevice()
        device = _input_device(sounddevice, self.name)
        try:
            return self._started(sounddevice, device)
        except sounddevice.PortAudioError as error:
            own_rate = round(device["default_samplerate"])
            if own_rate == self.rate:
                raise _refused(sounddevice, device["name"], error) from error
        log.info("%s does not record at %d Hz: resampling from %d Hz", device["name"], self.rate, own_rate)
        self._device_rate = own_rate
        self._resampler = av.AudioResampler(format="flt", layout="mono", rate=self.rate)
        try:
            return self._started(sounddevice, device)
        except sounddevice.PortAudioError as error:
            raise _refused(sounddevice, device["name"], error) from error

    def _started(self, sounddevice: ModuleType, device: dict[str, Any]) -> Any:
        stream = sounddevice.InputStream(
            device=device["index"],
            samplerate=self._device_rate,
            blocksize=round(self._device_rate * self._block_ms / 1000),
            channels=1,
            dtype="float32",
            latency="low",
            callback=self._take,
            finished_callback=self._finished,
        )
        stream.start()
        return stream

    def _take(self, block: Samples, count: int, time: Any, status: Any) -> None:
        """PortAudio's thread: ``block`` is float32 [N, 1] and only lent."""
        if status:
            self.drop_outs += 1
            self._starts.clear()  # samples are missing: the count no longer tells the time
        # both times are on PortAudio's own clock, which need not be ours; their difference is the block's age
        age_s = time.currentTime - time.inputBufferAdcTime
        settled = self._taken > _SETTLING_S * self._device_rate
        if not (settled and time.inputBufferAdcTime > 0 and 0 <= age_s <= _CREDIBLE_S):
            age_s = count / self._device_rate
        self._starts.append(now_ns() - round(age_s * NS) - self._taken * NS // self._device_rate)
        self._taken += count
        samples = self._resampled(block)
        captured_ns = median_low(self._starts) + self._given * NS // self.rate
        self._line.put(AudioFrame(samples, self.rate, self._given, captured_ns))
        self._given += samples.shape[1]

    def _resampled(self, block: Samples) -> Samples:
        """float32 [1, N] at ``rate``; a copy in any case, since PortAudio uses its buffer again."""
        samples = block.T.copy()
        if self._resampler is None:
            return samples
        sound = av.AudioFrame.from_ndarray(samples, format="flt", layout="mono")
        sound.rate = self._device_rate
        parts = [part.to_ndarray().astype(np.float32, copy=False) for part in self._resampler.resample(sound)]
        return np.concatenate([np.zeros((1, 0), np.float32), *parts], axis=1)

    def _finished(self) -> None:
        if not self._closing:
            self._line.close(CaptureError("the microphone is gone", "plug it in and start again"))

    def _close(self, stream: Any) -> None:
        self._closing = True
        stream.close()
        self._line.close()


def microphones_found() -> list[str]:
    """Names of the input devices. Raises: CaptureError without PortAudio."""
    return [str(device["name"]) for device in _inputs(_sounddevice())]


def _hush_alsa() -> None:
    """ALSA, asked for its devices, writes a line to standard error for each that the machine lacks."""
    if sys.platform == "linux":
        with suppress(OSError):  # without the library there is nobody to hush
            ctypes.CDLL("libasound.so.2").snd_lib_error_set_handler(_IGNORED)


def _sounddevice() -> ModuleType:
    _hush_alsa()
    try:
        import sounddevice
    except OSError as error:  # it looks for the PortAudio library when it is imported
        raise CaptureError("the PortAudio library is missing", "sudo apt-get install libportaudio2") from error
    module: ModuleType = sounddevice
    return module


def _inputs(sounddevice: ModuleType) -> list[dict[str, Any]]:
    return [device for device in sounddevice.query_devices() if device["max_input_channels"] > 0]


def _input_device(sounddevice: ModuleType, name: str | int | None) -> dict[str, Any]:
    """The device that ``name`` means. Raises: CaptureError with the names there are."""
    inputs = _inputs(sounddevice)
    if not inputs:
        raise CaptureError("no microphone was found", "plug one in, or go on without --microphone")
    wanted = str(sounddevice.default.device[0] if name is None else name).lower()
    for fits in (
        lambda device: wanted == str(device["index"]),
        lambda device: wanted == device["name"].lower(),
        lambda device: wanted in device["name"].lower(),
    ):
        for device in inputs:
            if fits(device):
                return device
    if name is None:
        return inputs[0]
    names = ", ".join(str(device["name"]) for device in inputs)
    raise CaptureError(f"there is no microphone {name!r}", f"found: {names}", subject=str(name))


def _refused(sounddevice: ModuleType, name: str, error: Exception) -> CaptureError:
    names = ", ".join(str(device["name"]) for device in _inputs(sounddevice))
    reason = str(error).splitlines()[0]
    remedy = f"end the other program that uses it, or choose another of: {names}"
    return CaptureError(f"microphone {name} cannot be opened ({reason})", remedy, subject=name)
