"""Sends the avatar to any number of WebRTC receivers: each picture is encoded once for each codec and rung in use.

Each receiver has an ``EncodedTrack``. Which rung it is on is decided in ``webrtc/rungs.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from types import TracebackType

import av
import numpy as np
from aiortc.codecs.opus import OpusEncoder

from livehead.audio.downmix import SpeechDownmixer
from livehead.clock import NS, now_ns, sleep_until
from livehead.codecs.alpha import flatten_alpha, pack_alpha_side_by_side
from livehead.codecs.h264 import ENCODER_FACTORIES, X264, EncoderChoice
from livehead.concurrency import Worker
from livehead.errors import SinkError
from livehead.frames import AudioFrame, Frame, VideoFrame
from livehead.stats import StatsCollector
from livehead.webrtc.encoded_track import EncodedFrame, EncodedTrack, EncodingKey
from livehead.webrtc.encoder import VideoCodec, VideoEncoder
from livehead.webrtc.rungs import BitrateMeter, KeyFrameBudget, RungSelector, choose_high_bitrate, choose_low_bitrate

OPUS_RATE = 48_000
TRACK_QUEUE_LENGTH = 8
"""How many pictures may wait for one receiver."""
_MIN_KEY_FRAME_INTERVAL_NS = NS // 4  # requests within this time after a key frame are answered by it
_AUDIO_QUEUE_LENGTH = 50  # packets of 20 ms
_MAX_AUDIO_LATENESS_NS = NS // 4  # sound that is later than its picture by more is left out
_OPUS_PACKET_SAMPLES = OPUS_RATE // 50
_DEADBAND_MS = 8.0  # smaller changes of the wanted delay of sound are ignored
_MAX_STEP_MS = 0.5  # the most by which the delay changes from packet to packet


class BroadcastSink:
    """A ``Sink`` whose pictures and sound go to every track.

    ``delay_ms()`` is how long after its capture a picture is sent. Sound goes with it, but ``audio_lead_ms()`` sooner:
    by what receivers keep it back for longer. ``encoder`` chooses the encoder of H.264; a hardware encoder is tried on
    entering, so that the first picture does not wait for it.
    """

    def __init__(
        self,
        *,
        fps: float = 30.0,
        stats: StatsCollector | None = None,
        encoder: EncoderChoice = "auto",
        delay_ms: Callable[[], float] = lambda: 0.0,
        audio_lead_ms: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.stats = stats or StatsCollector()
        self._delay_ms = delay_ms
        self._audio_lead_ms = audio_lead_ms
        self._fps = fps
        self._encoder_choice, self._encoder_spec = encoder, X264
        self._encoders: dict[EncodingKey, VideoEncoder] = {}
        self._tracks: set[EncodedTrack] = set()
        self._selectors: dict[EncodedTrack, RungSelector] = {}  # of viewers; owners have none
        self._meters: dict[EncodingKey, BitrateMeter] = {}
        self._key_requests: set[EncodingKey] = set()
        self._last_key_ns: dict[EncodingKey, int] = {}
        self._worker = Worker("webrtc-encode")
        self._audio_worker = Worker("webrtc-sound")
        self._opus_encoder = _OpusFrameEncoder()
        self._audio_delay = SmoothedDelay()

    async def __aenter__(self) -> BroadcastSink:
        self._encoder_spec = await self._worker.run(ENCODER_FACTORIES[self._encoder_choice])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all tracks and join the threads."""
        for track in list(self._tracks):
            track.stop()
        self._worker.close()
        self._audio_worker.close()

    @property
    def receiver_count(self) -> int:
        """How many receivers get pictures."""
        return sum(track.kind == "video" for track in self._tracks)

    @property
    def total_bitrate(self) -> int:
        """The bitrate that all running encoders aim at together, in bits a second."""
        running = {track.encoding for track in self._tracks}
        return sum(encoder.bitrate for encoding, encoder in self._encoders.items() if encoding in running)

    def add_video_track(self, codec: VideoCodec, *, with_alpha: bool = False, is_owner: bool = False) -> EncodedTrack:
        """Add a receiver of pictures, with their matte beside them or over black; the first is a key frame.

        An owner's link alone decides how good its picture is; other receivers get one that theirs can take.
        """

        def request_key_frame() -> None:
            if track.encoding is not None:
                self._key_requests.add(track.encoding)

        budget = None if is_owner else KeyFrameBudget(now_ns())
        track = EncodedTrack("video", EncodingKey(codec, with_alpha), request_key_frame, TRACK_QUEUE_LENGTH, budget)
        if not is_owner:
            self._selectors[track] = RungSelector(now_ns())
        track.request_key_frame()
        return self._register_track(track)

    def add_audio_track(self) -> EncodedTrack:
        """Add a receiver of Opus packets."""
        return self._register_track(EncodedTrack("audio", None, lambda: None, _AUDIO_QUEUE_LENGTH))

    def _register_track(self, track: EncodedTrack) -> EncodedTrack:
        self._tracks.add(track)
        track.once("ended", lambda: self._remove_track(track))
        return track

    def _remove_track(self, track: EncodedTrack) -> None:
        self._tracks.discard(track)
        self._selectors.pop(track, None)

    def _choose_rungs(self) -> None:
        """Put each viewer on the rung that its link can take."""
        now = now_ns()
        for track, selector in self._selectors.items():
            if track.encoding is None:
                continue
            high, low = track.encoding._replace(rung="high"), track.encoding._replace(rung="low")
            rung = selector.update(track.bitrate, self._sent_rate(high, now), self._sent_rate(low, now), now)
            chosen = low if rung == "low" else high
            if chosen != track.encoding:
                track.switch_to(chosen)
                self.stats.count(f"viewers.{chosen.rung}")

    def _sent_rate(self, encoding: EncodingKey, now: int) -> int | None:
        meter = self._meters.get(encoding)
        return None if meter is None else meter.rate(now)

    def _choose_bitrate(self, encoding: EncodingKey) -> int | None:
        tracks = [track for track in self._tracks if track.encoding == encoding]
        viewers = [track.bitrate for track in tracks if track in self._selectors]
        if encoding.rung == "low":
            return choose_low_bitrate(viewers)
        return choose_high_bitrate([track.bitrate for track in tracks if track not in self._selectors], viewers)

    async def send(self, frame: Frame) -> None:
        """Encode one frame and queue it for every receiver. Raises: SinkError when it cannot be encoded."""
        if isinstance(frame, AudioFrame):
            await self._send_audio(frame)
            return
        self._choose_rungs()
        encodings = {track.encoding for track in self._tracks if track.encoding is not None}
        for encoding in sorted(encodings, key=lambda each: each.rung):  # the high rung does not wait for the low one
            await self._send_video(frame, encoding)
        if encodings:
            self.stats.count("encoded")
            self.stats.record_timing("capture_to_wire", (now_ns() - frame.captured_ns) / 1e6)

    async def _send_video(self, frame: VideoFrame, encoding: EncodingKey) -> None:
        encoder = self._encoders.setdefault(
            encoding, VideoEncoder(encoding.codec, self._fps, encoder_spec=self._encoder_spec)
        )
        encoder.bitrate = self._choose_bitrate(encoding) or encoder.bitrate
        key = (
            encoding in self._key_requests
            and now_ns() - self._last_key_ns.get(encoding, -NS) >= _MIN_KEY_FRAME_INTERVAL_NS
        )
        if key:
            self._key_requests.discard(encoding)
            self._last_key_ns[encoding] = now_ns()
        opened, start = encoder.open_count, now_ns()
        call = await self._worker.submit_and_wait(_encode_frame, encoder, frame, encoding.with_alpha, key)
        error = call.exception()
        if isinstance(error, (av.FFmpegError, ValueError)):
            raise SinkError(f"a picture cannot be encoded as {encoding.codec} ({error})", "report this") from error
        payloads, timestamp = call.result()
        self.stats.record_timing("encode", (now_ns() - start) / 1e6)
        item = EncodedFrame(payloads, timestamp, key or encoder.open_count != opened)
        self.stats.count("key_frames", int(item.is_key_frame))
        meter = self._meters.setdefault(encoding, BitrateMeter())
        meter.add(sum(map(len, payloads)), now_ns())
        tracks = [track for track in self._tracks if track.encoding == encoding]  # some may have come or gone meanwhile
        for track in tracks:
            track.put(item)

    async def _send_audio(self, frame: AudioFrame) -> None:
        tracks = [track for track in self._tracks if track.kind == "audio"]
        if not tracks:
            return
        picture_ms = self._delay_ms()
        due_ns = frame.captured_ns + round(self._audio_delay.next_delay_ms(picture_ms - self._audio_lead_ms()) * 1e6)
        late_ns = now_ns() - frame.captured_ns - round(picture_ms * 1e6)
        if late_ns > _MAX_AUDIO_LATENESS_NS:  # a machine that does not keep up: as with pictures, the newest counts
            self.stats.count("sound.late")
            return
        items = await self._audio_worker.run(self._opus_encoder.encode, frame)
        await sleep_until(due_ns)  # last of all: receivers wait for as long as packets are uneven
        for item in items:
            for track in tracks:
                track.put(item)


def _encode_frame(
    encoder: VideoEncoder, frame: VideoFrame, with_alpha: bool, force_key_frame: bool
) -> tuple[list[bytes], int]:
    image = pack_alpha_side_by_side(frame.image) if with_alpha else flatten_alpha(frame.image)
    return encoder.encode(frame.with_image(image), force_key_frame=force_key_frame)


class SmoothedDelay:
    """A delay that follows the wanted one slowly and ignores its small changes: a jump would sound like jitter."""

    def __init__(self) -> None:
        self._target_ms: float | None = None
        self._current_ms = 0.0

    def next_delay_ms(self, wanted_ms: float) -> float:
        """The delay in ms for the next packet."""
        if self._target_ms is None:
            self._current_ms = wanted_ms
        if self._target_ms is None or abs(wanted_ms - self._target_ms) > _DEADBAND_MS:
            self._target_ms = wanted_ms
        self._current_ms += min(max(self._target_ms - self._current_ms, -_MAX_STEP_MS), _MAX_STEP_MS)
        return self._current_ms


class _OpusFrameEncoder:
    """Encodes sound of any rate, mixed down to mono, as Opus packets of 20 ms."""

    def __init__(self) -> None:
        self._encoder = OpusEncoder()
        self._downmixer = SpeechDownmixer()
        self._resampler = av.AudioResampler(
            format="s16", layout="stereo", rate=OPUS_RATE, frame_size=_OPUS_PACKET_SAMPLES
        )
        self._pts = 0

    def encode(self, frame: AudioFrame) -> list[EncodedFrame]:
        # both channels alike: a resampler that makes stereo of mono would take 3 dB off
        samples = np.repeat(np.clip(self._downmixer(frame.samples, frame.rate), -1, 1), 2)[None]
        sound = av.AudioFrame.from_ndarray((samples * 32767).astype(np.int16), format="s16", layout="stereo")
        sound.sample_rate = frame.rate
        encoded = []
        for part in self._resampler.resample(sound):
            part.pts, part.sample_rate = self._pts, OPUS_RATE
            part.time_base = Fraction(1, OPUS_RATE)
            self._pts += part.samples
            payloads, timestamp = self._encoder.encode(part)
            if payloads:  # the encoder gives nothing for its first packet
                encoded.append(EncodedFrame(payloads, timestamp))
        return encoded
