"""The avatar to any number of WebRTC receivers: each picture is encoded once for each codec in use, then fanned out.

A receiver has a ``Lane``. Encoded pictures cannot be dropped one by one, as later ones build on them: a lane that falls
behind is emptied and goes on with the next key frame, which is then asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from types import TracebackType
from typing import Any, NamedTuple

import av
import numpy as np
from aiortc.codecs.base import Encoder
from aiortc.codecs.opus import OpusEncoder
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from livehead.clock import NS, now_ns, sleep_until
from livehead.concurrency import Fifo, Worker
from livehead.errors import SinkError
from livehead.frames import AudioFrame, Frame, VideoFrame
from livehead.interfaces import EndOfStream
from livehead.sinks.encoding import START_BITRATE, Codec, PictureEncoder
from livehead.sinks.h264 import MAKERS, X264, Choice
from livehead.sinks.matte import beside, flattened
from livehead.stats import Stats

SOUND_RATE = 48_000
LANE_LENGTH = 8  # pictures that may wait for one receiver
_KEY_REST_NS = NS // 4  # requests within this time after a key frame are answered by it
_SOUND_LINE = 50  # packets of 20 ms
_LATE_SOUND_NS = NS // 4  # sound that is later than its picture by more is left out
_SOUND_PACKET = SOUND_RATE // 50
_WHIM_MS = 8.0  # by which the wanted delay of sound may change for nothing
_PACE_MS = 0.5  # by which the delay changes from packet to packet


class Coding(NamedTuple):
    """What one encoder makes for all lanes that want it. ``matte``: with the matte beside the colours."""

    codec: Codec
    matte: bool = False


@dataclass(frozen=True, slots=True)
class Encoded:
    """One picture or 20 ms of sound as RTP payloads; ``timestamp`` in the codec's clock."""

    payloads: list[bytes]
    timestamp: int
    key: bool = True


class Lane(MediaStreamTrack):
    """The way to one receiver: a track for aiortc's sender, which it gives ``Encoded`` items.

    ``bitrate``: the receiver's newest estimate in bits a second; None before the first.
    """

    def __init__(self, kind: str, coding: Coding | None, ask_key: Callable[[], None], capacity: int) -> None:
        super().__init__()
        self.kind = kind
        self.coding = coding
        self.bitrate: int | None = None
        self.dropped = 0
        self._ask_key = ask_key
        self._capacity = capacity
        self._line: Fifo[Encoded] = Fifo(capacity + 1)
        self._held = 0
        self._needs_key = kind == "video"

    def put(self, item: Encoded) -> None:
        """Add what was encoded; called on the event loop."""
        if self._needs_key and not item.key:
            self._ask_key()
            return
        if self.kind == "video" and self._held >= self._capacity:
            self.dropped += self._held
            self._line.close()
            self._line, self._held, self._needs_key = Fifo(self._capacity + 1), 0, True
            self._ask_key()
            return
        self._needs_key = False
        self._held = min(self._held + 1, self._capacity)
        self._line.put(item)

    def request_key(self) -> None:
        """The receiver cannot go on without a key frame."""
        self._ask_key()

    async def recv(self) -> Any:
        """The next item for aiortc's sender. Raises: MediaStreamError once stopped."""
        while True:
            line = self._line
            try:
                item = await line.get()
            except EndOfStream:
                if line is not self._line:
                    continue  # emptied: the new line holds what follows
                raise MediaStreamError from None
            self._held -= self._held > 0
            return item

    def stop(self) -> None:
        """No more items. Called by aiortc too, when the connection ends."""
        super().stop()
        self._line.close()


class Packed(Encoder):
    """What aiortc's sender takes for its encoder: everything is encoded already."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane

    def encode(self, frame: Any, force_keyframe: bool = False) -> tuple[list[bytes], int]:
        raise TypeError("a lane gives encoded items only")

    def pack(self, packet: Any) -> tuple[list[bytes], int]:
        return packet.payloads, packet.timestamp

    @property
    def target_bitrate(self) -> int:
        """What the receiver says it can take (REMB), in bits a second."""
        return self._lane.bitrate or START_BITRATE

    @target_bitrate.setter
    def target_bitrate(self, bitrate: int) -> None:
        self._lane.bitrate = bitrate


class Broadcast:
    """A ``Sink`` whose pictures and sound go to every lane.

    ``delay_ms``: how long after its capture a picture is sent. Sound goes with it, but ``lead_ms`` sooner: by what
    receivers keep it back for longer. ``encoder``: of H.264; a hardware encoder is tried on entering, so that the first
    picture does not wait for it.
    """

    def __init__(self, *, fps: float = 30.0, stats: Stats | None = None, encoder: Choice = "auto") -> None:
        self.stats = stats or Stats()
        self.delay_ms: Callable[[], float] = lambda: 0.0
        self.lead_ms: Callable[[], float] = lambda: 0.0
        self._fps = fps
        self._choice, self._maker = encoder, X264
        self._encoders: dict[Coding, PictureEncoder] = {}
        self._lanes: set[Lane] = set()
        self._key_wanted: set[Coding] = set()
        self._key_ns: dict[Coding, int] = {}
        self._worker = Worker("webrtc-encode")
        self._sound_worker = Worker("webrtc-sound")
        self._sound = _Sound()
        self._delay = SteadyDelay()

    async def __aenter__(self) -> Broadcast:
        self._maker = await self._worker.run(MAKERS[self._choice])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all lanes and join the threads."""
        for lane in list(self._lanes):
            lane.stop()
        self._worker.close()
        self._sound_worker.close()

    @property
    def receivers(self) -> int:
        """How many lanes get pictures."""
        return sum(lane.kind == "video" for lane in self._lanes)

    @property
    def bitrate(self) -> int:
        """Of all encoders that run, in bits a second."""
        running = {lane.coding for lane in self._lanes}
        return sum(encoder.bitrate for coding, encoder in self._encoders.items() if coding in running)

    def video_lane(self, codec: Codec, *, matte: bool = False) -> Lane:
        """A lane of pictures, with their ``matte`` beside them or over black; the first is a key frame."""
        coding = Coding(codec, matte)

        def ask() -> None:
            self._key_wanted.add(coding)

        lane = Lane("video", coding, ask, LANE_LENGTH)
        ask()
        return self._join(lane)

    def sound_lane(self) -> Lane:
        """A lane of Opus packets."""
        return self._join(Lane("audio", None, lambda: None, _SOUND_LINE))

    def _join(self, lane: Lane) -> Lane:
        self._lanes.add(lane)
        lane.once("ended", lambda: self._lanes.discard(lane))
        return lane

    async def send(self, frame: Frame) -> None:
        """Encode and fan out one frame. Raises: SinkError when it cannot be encoded."""
        if isinstance(frame, AudioFrame):
            await self._send_sound(frame)
            return
        codings = {lane.coding for lane in self._lanes if lane.coding is not None}
        for coding in codings:
            await self._send_picture(frame, coding)
        if codings:
            self.stats.count("encoded")
            self.stats.record("capture_to_wire", (now_ns() - frame.captured_ns) / 1e6)

    async def _send_picture(self, frame: VideoFrame, coding: Coding) -> None:
        encoder = self._encoders.setdefault(coding, PictureEncoder(coding.codec, self._fps, maker=self._maker))
        lanes = [lane for lane in self._lanes if lane.coding == coding]
        estimates = [lane.bitrate for lane in lanes if lane.bitrate is not None]
        if estimates:
            encoder.bitrate = min(estimates)
        key = coding in self._key_wanted and now_ns() - self._key_ns.get(coding, -NS) >= _KEY_REST_NS
        if key:
            self._key_wanted.discard(coding)
            self._key_ns[coding] = now_ns()
        opened, start = encoder.opened, now_ns()
        call = await self._worker.attempt(_encode, encoder, frame, coding.matte, key)
        error = call.exception()
        if isinstance(error, (av.FFmpegError, ValueError)):
            raise SinkError(f"a picture cannot be encoded as {coding.codec} ({error})", "report this") from error
        payloads, timestamp = call.result()
        self.stats.record("encode", (now_ns() - start) / 1e6)
        item = Encoded(payloads, timestamp, key or encoder.opened != opened)
        self.stats.count("key_frames", int(item.key))
        for lane in [lane for lane in self._lanes if lane.coding == coding]:  # some may have come or gone meanwhile
            lane.put(item)

    async def _send_sound(self, frame: AudioFrame) -> None:
        lanes = [lane for lane in self._lanes if lane.kind == "audio"]
        if not lanes:
            return
        picture_ms = self.delay_ms()
        due_ns = frame.captured_ns + round(self._delay.follow(picture_ms - self.lead_ms()) * 1e6)
        late_ns = now_ns() - frame.captured_ns - round(picture_ms * 1e6)
        if late_ns > _LATE_SOUND_NS:  # a machine that does not keep up: as with pictures, the newest counts
            self.stats.count("sound.late")
            return
        items = await self._sound_worker.run(self._sound.encode, frame)
        await sleep_until(due_ns)  # last of all: receivers wait for as long as packets are uneven
        for item in items:
            for lane in lanes:
                lane.put(item)


def _encode(encoder: PictureEncoder, frame: VideoFrame, matte: bool, key: bool) -> tuple[list[bytes], int]:
    image = beside(frame.image) if matte else flattened(frame.image)
    return encoder.encode(frame.with_image(image), key=key)


class SteadyDelay:
    """A delay that goes after the wanted one slowly, and not after each of its whims: a jump sounds like jitter."""

    def __init__(self) -> None:
        self._target_ms: float | None = None
        self._now_ms = 0.0

    def follow(self, wanted_ms: float) -> float:
        """The delay in ms for the next packet."""
        if self._target_ms is None:
            self._now_ms = wanted_ms
        if self._target_ms is None or abs(wanted_ms - self._target_ms) > _WHIM_MS:
            self._target_ms = wanted_ms
        self._now_ms += min(max(self._target_ms - self._now_ms, -_PACE_MS), _PACE_MS)
        return self._now_ms


class _Sound:
    """Mono sound of any rate to Opus packets of 20 ms."""

    def __init__(self) -> None:
        self._encoder = OpusEncoder()
        self._resampler = av.AudioResampler(format="s16", layout="stereo", rate=SOUND_RATE, frame_size=_SOUND_PACKET)
        self._pts = 0

    def encode(self, frame: AudioFrame) -> list[Encoded]:
        # both channels alike: a resampler that makes stereo of mono would take 3 dB off
        samples = np.repeat(np.clip(frame.samples.mean(axis=0), -1, 1), 2)[None]
        sound = av.AudioFrame.from_ndarray((samples * 32767).astype(np.int16), format="s16", layout="stereo")
        sound.sample_rate = frame.rate
        encoded = []
        for part in self._resampler.resample(sound):
            part.pts, part.sample_rate = self._pts, SOUND_RATE
            part.time_base = Fraction(1, SOUND_RATE)
            self._pts += part.samples
            payloads, timestamp = self._encoder.encode(part)
            if payloads:  # the coder swallows its first packet
                encoded.append(Encoded(payloads, timestamp))
        return encoded
