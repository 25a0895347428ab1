"""Reads one network stream on a thread of its own: live pictures and sound, connected again when they are lost.

A camera's stream is shown as it comes, and the newest picture wins. A recording, or a playlist whose pieces come
several seconds at once, is played in time.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any, Literal

import av
import av.error
import cv2
import numpy as np
from av.format import Flags

from livehead.audio.rates import SOUND_RATE
from livehead.capture.stream_address import StreamAddress, reason_for_end
from livehead.clock import NS, TIME_BASE, ExponentialBackoff, PtsClock, RemoteClock, now_ns
from livehead.codecs.pixel_limits import MAX_RECEIVED_PIXELS, open_bounded_container
from livehead.concurrency import Fifo, Latest
from livehead.errors import CaptureError
from livehead.frames import AudioFrame, Image, VideoFrame

log = logging.getLogger(__name__)

StreamKind = Literal["video", "audio"]

_LONGEST_SIDE = 1920  # pixels of a picture that is passed on; a tracker gains nothing by more
_AUDIO_QUEUE_LENGTH = 200
_PLAYED_FORMATS = {"hls", "dash"}
_PLAYED_AHEAD_S = 0.5  # sound lies this far behind its picture in a file, at most
_LIVE_LEAD_S = 5.0  # what comes further ahead of its time than this is no camera, but a recording
_JUDGED_S = 60.0  # after so long a lead is the drift of two clocks
_CLOCK_JUMP_S = 10.0
_LATE_S = 0.25  # what is played and comes later than this moves the rest, since the network was held up
_STEADY_S = 10.0  # a connection that lasted so long was no failed attempt
_CLOSE_TIMEOUT_S = 0.5  # FFmpeg cannot be called back from the network; its thread is left alone after so long


class NetworkStream:
    """One connection to ``address``, whose pictures and sound several captures may share.

    ``request`` names what is wanted, before ``start``. ``on_notice`` gets a line for the person when the stream is lost
    and when it is back, on the reader's thread. ``bad_packets`` counts what was damaged.
    """

    def __init__(
        self,
        address: StreamAddress,
        on_notice: Callable[[str], None] | None = None,
        backoff: ExponentialBackoff | None = None,
    ) -> None:
        self.address = address
        self.video: Latest[VideoFrame] = Latest()
        self.audio: Fifo[AudioFrame] = Fifo(_AUDIO_QUEUE_LENGTH)
        self.connected = False
        """Whether the stream gives frames at present."""
        self.reconnections = 0
        self.bad_packets = 0
        self._on_notice = on_notice or log.warning
        self._backoff = backoff or ExponentialBackoff()
        self._wanted: set[StreamKind] = set()
        self._users = 0
        self._stopping = threading.Event()
        self._opened = threading.Event()
        self._open_error: CaptureError | None = None
        self._thread: threading.Thread | None = None

    @property
    def is_over(self) -> bool:
        """Whether the stream was closed or has ended, so that nothing comes any more."""
        return self._stopping.is_set() or (self._thread is not None and not self._thread.is_alive())

    def request(self, kind: StreamKind) -> None:
        """Ask for pictures or sound."""
        self._wanted.add(kind)

    def start(self) -> None:
        """Connect, unless another capture has done so, and wait for it. Raises: CaptureError."""
        self._users += 1
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="livehead-stream", daemon=True)
            self._thread.start()
        self._opened.wait()
        if self._open_error is not None:
            raise self._open_error

    def stop(self) -> None:
        """End the connection with its last user."""
        self._users -= 1
        if self._users > 0:
            return
        self._stopping.set()
        self._opened.set()
        self.video.close()
        self.audio.close()
        if self._thread is not None:
            self._thread.join(_CLOSE_TIMEOUT_S)

    def _run(self) -> None:
        """Connect, read, and connect again until the stream has ended or nobody wants it; on the reader's thread."""
        try:
            while not self._stopping.is_set():
                begun_ns = now_ns()
                error, has_end = self._read_once()
                if self._stopping.is_set() or (error is None and has_end):
                    return
                if not self._opened.is_set():
                    if not isinstance(error, CaptureError):
                        error = self.address.open_error(error or EOFError("it is empty"))
                    self._open_error = error
                    return
                self._on_lost(error)
                if now_ns() - begun_ns > _STEADY_S * NS:
                    self._backoff.reset()
                self._stopping.wait(self._backoff.next_delay_s())
        finally:
            self._opened.set()
            self.video.close()
            self.audio.close()

    def _read_once(self) -> tuple[Exception | None, bool]:
        """Connect and read to the end; gives the failure, and whether the stream is a recording, which may end."""
        try:
            container = self._open_container()
        except CaptureError as error:
            return error, False
        with container:
            connection = _StreamConnection(self, container, sorted(self._wanted))
            return connection.read(self._stopping), connection.has_end

    def on_frame(self) -> None:
        """Note that the stream gives something; called for each frame, on the reader's thread."""
        if self.connected:
            return
        self.connected = True
        if self._opened.is_set():
            self.reconnections += 1
            self._on_notice(f"the stream {self.address.shown} is back")
        self._opened.set()

    def _on_lost(self, error: Exception | None) -> None:
        if self.connected:
            self.connected = False
            reason = reason_for_end(error)
            self._on_notice(
                f"the stream {self.address.shown} is gone ({reason}): its last picture stays until it is back"
            )

    def _open_container(self) -> Any:
        address = self.address
        address.resolve_host()
        try:
            container = open_bounded_container(
                address.url,
                address.shown,
                MAX_RECEIVED_PIXELS,
                container_options=address.ffmpeg_options(),
                timeout=address.timeouts_s,
            )
        except (OSError, ValueError, av.error.FFmpegError) as error:
            raise address.open_error(error) from error
        lacking = [kind for kind in self._wanted if not getattr(container.streams, kind)]
        if lacking:
            container.close()
            word = "picture" if lacking[0] == "video" else "sound"
            raise CaptureError(f"{address.shown} has no {word}", "name another stream", subject=address.shown)
        return container


class _StreamConnection:
    """One container while it is read: decodes its packets and gives every frame its moment on the monotonic clock."""

    def __init__(self, stream: NetworkStream, container: Any, kinds: list[StreamKind]) -> None:
        self._stream = stream
        self._container = container
        self._sources = [getattr(container.streams, kind)[0] for kind in kinds]
        self.has_end = bool(container.duration) and stream.address.scheme.startswith("http")
        """Whether the stream is a recording, which ends."""
        is_played = self.has_end or container.format.name in _PLAYED_FORMATS
        has_times = not container.format.flags & Flags.no_timestamps.value
        self._timing = _FrameTiming(is_played=is_played, has_times=has_times)
        self._pts = PtsClock(TIME_BASE)
        self._resampler: Any = None
        self._next_sample: int | None = None

    def read(self, stopping: threading.Event) -> Exception | None:
        """Read until the stream ends, fails or ``stopping`` is set; gives the failure."""
        for source in self._sources:
            if source.type == "video":
                source.thread_type = "SLICE"  # threads that take a frame each hold frames back
        try:
            for packet in self._container.demux(*self._sources):
                arrived_ns = now_ns()
                if stopping.is_set():
                    return None
                for frame in self._decode(packet):
                    self._publish(frame, arrived_ns, stopping)
        except (OSError, ValueError, av.error.FFmpegError) as error:
            return error
        return None

    def _decode(self, packet: Any) -> Iterator[Any]:
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            self._stream.bad_packets += 1
            return
        for frame in frames:
            if frame.is_corrupt:  # a picture with holes would move the face
                self._stream.bad_packets += 1
            else:
                yield frame

    def _publish(self, frame: Any, arrived_ns: int, stopping: threading.Event) -> None:
        self._stream.on_frame()
        moment_ns = self._timing.moment_of(frame.time, arrived_ns)
        if isinstance(frame, av.VideoFrame):
            stopping.wait(max(moment_ns - now_ns(), 0) / NS if self._timing.is_played else 0)
            image = _to_bounded_rgb(frame)
            self._stream.video.put(VideoFrame(image, self._pts.to_pts(moment_ns), TIME_BASE, moment_ns))
        else:
            self._publish_sound(frame, moment_ns)

    def _publish_sound(self, frame: Any, moment_ns: int) -> None:
        if self._resampler is None:
            self._resampler = av.AudioResampler(format="fltp", rate=SOUND_RATE)
        if self._next_sample is None:
            self._next_sample = moment_ns * SOUND_RATE // NS
        for part in self._resampler.resample(frame):
            samples = np.nan_to_num(np.asarray(part.to_ndarray(), np.float32), nan=0.0, posinf=1.0, neginf=-1.0)
            self._stream.audio.put(AudioFrame(samples, SOUND_RATE, self._next_sample, moment_ns))
            self._next_sample += samples.shape[1]
            moment_ns += samples.shape[1] * NS // SOUND_RATE


class _FrameTiming:
    """Puts the times of a stream's frames on the monotonic clock."""

    def __init__(self, *, is_played: bool, has_times: bool) -> None:
        self.is_played = is_played
        """Whether frames wait until they are due, as those of a recording do."""
        self._has_times = has_times  # or else FFmpeg makes them up: 25 frames a second
        self._clock = RemoteClock()
        self._opened_ns = now_ns()
        self._start_ns: int | None = None  # the moment of the stream's time 0
        self._last_s: float | None = None

    def moment_of(self, seconds: float | None, arrived_ns: int) -> int:
        """The moment at which a live frame was sent, or at which a recorded one is due."""
        if seconds is None or not self._has_times:
            return arrived_ns
        since_ns = round(seconds * NS)
        jumped = self._last_s is None or abs(seconds - self._last_s) > _CLOCK_JUMP_S
        self._last_s = seconds
        if self._start_ns is None or jumped:
            self._start_ns = arrived_ns - since_ns + (round(_PLAYED_AHEAD_S * NS) if self.is_played else 0)
        lead_s = (self._start_ns + since_ns - arrived_ns) / NS
        if not self.is_played:
            if lead_s <= _LIVE_LEAD_S or arrived_ns - self._opened_ns > _JUDGED_S * NS:
                return min(self._clock.to_local_ns(since_ns, arrived_ns), arrived_ns)
            self.is_played = True
            self._start_ns = arrived_ns - since_ns
        elif lead_s < -_LATE_S:
            self._start_ns = arrived_ns - since_ns
        return self._start_ns + since_ns


def _to_bounded_rgb(frame: Any) -> Image:
    """Upright RGB uint8 [H, W, 3], scaled down to ``_LONGEST_SIDE``."""
    scale = min(1.0, _LONGEST_SIDE / max(frame.width, frame.height))
    if scale < 1:
        frame = frame.reformat(width=round(frame.width * scale), height=round(frame.height * scale), format="rgb24")
    image: Image = frame.to_ndarray(format="rgb24")
    quarter_turns = round(frame.rotation / 90) % 4
    if not quarter_turns:
        return image
    turns = {1: cv2.ROTATE_90_COUNTERCLOCKWISE, 2: cv2.ROTATE_180, 3: cv2.ROTATE_90_CLOCKWISE}
    return np.asarray(cv2.rotate(image, turns[quarter_turns]), np.uint8)
