"""Encodes pictures and sound into one container, each at the time of its capture.

The frame rate is variable, and sound is cut or led by silence so that it stays in step with the picture. All calls
block and must come from one thread at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import cv2
import numpy as np
from av.video.frame import PictureType

from livehead.audio.downmix import SpeechDownmixer, fit_channels
from livehead.clock import NS, TIME_BASE
from livehead.codecs.alpha import flatten_alpha, hide_transparent_colours
from livehead.codecs.color import BT709, label_as_bt709
from livehead.codecs.film_formats import VideoEncoding
from livehead.errors import SinkError
from livehead.frames import AudioFrame, Frame, Image, Samples, VideoFrame

_MAX_JITTER_S = 0.02  # a larger error of a sound's time is a gap or an overlap; a smaller one is jitter
_MAX_HELD_AUDIO_S = 10.0  # sound kept while the first picture is awaited
_MONO_BITRATE = 128_000
_CHANNEL_BITRATE = 96_000  # of each channel of several
_GLOBAL_HEADER = 1 << 22  # AV_CODEC_FLAG_GLOBAL_HEADER


AUDIO_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1"}
"""The numbers of channels that a muxer's sound may have, with FFmpeg's names of their layouts."""


@dataclass(frozen=True, slots=True)
class MuxerOptions:
    """How a muxer encodes: nominal ``fps``, sound of ``audio_rate`` Hz or none, and pictures as ``video`` says.

    ``video_with_alpha`` is how they are encoded where the first one is transparent; None draws them over black.
    ``audio_channels`` is one of ``AUDIO_LAYOUTS``; sound of another number of channels is mixed down or repeated.
    A key frame comes at least every ``key_frame_every`` pictures and, where ``key_frame_s`` is given, after so many
    seconds. ``bitrate``: bits a second, where the options set no quality. ``global_header``: the container stores the
    decoders' parameters once (FFmpeg cannot know this by itself of a container that wraps another).
    """

    fps: float
    audio_rate: int | None
    video: VideoEncoding
    key_frame_every: int
    key_frame_s: float | None = None
    bitrate: int | None = None
    global_header: bool = False
    audio_channels: int = 1
    video_with_alpha: VideoEncoding | None = None
    sound_codec: str = "aac"


class MediaMuxer:
    """Encodes frames into ``container`` (PyAV's, open for writing), and closes it at the end.

    Times count from the first picture's ``captured_ns``. The first picture, or ``open_encoders``, sets the size (an odd
    side gains one repeated line); other pictures are scaled to it. ``name`` stands for the container in error messages.
    """

    def __init__(self, container: Any, options: MuxerOptions, name: str) -> None:
        self.frame_count = 0
        """Pictures written so far."""
        self._container = container
        self._options = options
        self._name = name
        self._video: Any = None
        self._audio: Any = None
        self._size = (0, 0)
        self._encoding = options.video
        self._origin_ns: int | None = None
        self._last_pts = -1
        self._last_key_pts = 0
        self._held_audio: list[AudioFrame] = []
        self._samples_written = 0
        self._downmixer = SpeechDownmixer()

    def open_encoders(self, size: tuple[int, int], *, alpha: bool = False) -> None:
        """Open the encoders for pictures of ``size`` (width, height), with ``alpha`` or not. Raises: FFmpegError."""
        options = self._options
        self._encoding = encoding = (options.video_with_alpha if alpha else None) or options.video
        self._size = (size[0] + size[0] % 2, size[1] + size[1] % 2)  # 4:2:0 colour has no odd sides
        rate = Fraction(options.fps).limit_denominator(1001)
        self._video = video = self._container.add_stream(encoding.codec, rate=rate, options=encoding.options)
        video.width, video.height = self._size
        video.pix_fmt = encoding.pixel_format
        coder = video.codec_context
        coder.time_base = TIME_BASE
        coder.gop_size = options.key_frame_every
        coder.max_b_frames = 0  # reordered frames of a variable rate give the file too short a length
        label_as_bt709(coder)
        if options.bitrate is not None:
            coder.bit_rate = options.bitrate
        if options.audio_rate is not None:
            channels = options.audio_channels
            layout = AUDIO_LAYOUTS[channels]
            self._audio = self._container.add_stream(options.sound_codec, rate=options.audio_rate, layout=layout)
            if not options.sound_codec.startswith("pcm"):
                self._audio.codec_context.bit_rate = _MONO_BITRATE if channels == 1 else channels * _CHANNEL_BITRATE
        if options.global_header:
            for stream in filter(None, (self._video, self._audio)):
                stream.codec_context.flags |= _GLOBAL_HEADER

    def write_frame(self, frame: Frame) -> None:
        """Encode and write one frame. Raises: FFmpegError, OSError; SinkError for sound of another rate."""
        if isinstance(frame, VideoFrame):
            self._write_video(frame)
        elif self._options.audio_rate is not None:
            self._write_audio(frame)

    def _write_video(self, frame: VideoFrame) -> None:
        if self._video is None:
            self.open_encoders(frame.size, alpha=frame.image.shape[2] == 4)
        if self._origin_ns is None:
            self._origin_ns = frame.captured_ns
        pts = round((frame.captured_ns - self._origin_ns) / NS / TIME_BASE)
        if pts <= self._last_pts:
            return  # nothing newer to show
        picture = self._convert_picture(frame.image)
        picture.pts, picture.time_base = pts, TIME_BASE
        picture.pict_type = PictureType.I if self._is_key_frame_due(pts) else PictureType.NONE
        self._last_pts = pts
        self._container.mux(self._video.encode(picture))
        self.frame_count += 1
        self._flush_held_audio()

    def _convert_picture(self, image: Image) -> av.VideoFrame:
        """The picture in the encoder's size and pixel format."""
        if self._encoding.has_alpha:
            pixels, name = _fit_to_size(hide_transparent_colours(image), self._size), "rgba"
        else:
            pixels, name = _fit_to_size(flatten_alpha(image), self._size), "rgb24"
        picture = av.VideoFrame.from_numpy_buffer(pixels, format=name)
        return picture.reformat(format=self._encoding.pixel_format, dst_colorspace=BT709)

    def _is_key_frame_due(self, pts: int) -> bool:
        every_s = self._options.key_frame_s
        if every_s is None or (pts - self._last_key_pts) * TIME_BASE < every_s:
            return False
        self._last_key_pts = pts
        return True

    def _write_audio(self, frame: AudioFrame) -> None:
        if frame.rate != self._options.audio_rate:
            raise SinkError(f"{self._name} was begun for {self._options.audio_rate} Hz, got sound of {frame.rate} Hz")
        self._held_audio.append(frame)
        if self._origin_ns is None:
            newest = frame.captured_ns
            self._held_audio = [
                f for f in self._held_audio if f.captured_ns + f.duration_s * NS > newest - _MAX_HELD_AUDIO_S * NS
            ]
        else:
            self._flush_held_audio()

    def close(self) -> None:
        """Flush the encoders, write the container's end and close it. Raises: FFmpegError, OSError."""
        try:
            for stream in (self._video, self._audio):
                if stream is not None:
                    self._container.mux(stream.encode(None))
        finally:
            self._container.close()

    def abandon(self) -> None:
        """Close the container without flushing, when its reader is gone. Raises: FFmpegError, OSError."""
        self._container.close()

    def _flush_held_audio(self) -> None:
        held, self._held_audio = self._held_audio, []
        for frame in held:
            samples = self._align_samples(frame)
            if not samples.shape[1]:
                continue
            layout = AUDIO_LAYOUTS[self._options.audio_channels]
            sound = av.AudioFrame.from_ndarray(samples, format="fltp", layout=layout)
            sound.rate, sound.pts, sound.time_base = frame.rate, self._samples_written, Fraction(1, frame.rate)
            self._samples_written += samples.shape[1]
            self._container.mux(self._audio.encode(sound))

    def _align_samples(self, frame: AudioFrame) -> Samples:
        """The frame's samples [audio_channels, N] to append: led by silence after a gap, cut at an overlap."""
        samples = fit_channels(frame.samples, frame.rate, self._options.audio_channels, self._downmixer)
        due = round((frame.captured_ns - (self._origin_ns or 0)) * frame.rate / NS)
        off = due - self._samples_written
        if abs(off) <= _MAX_JITTER_S * frame.rate and self._samples_written:
            return samples
        if off >= 0:
            return np.pad(samples, ((0, 0), (off, 0)))
        return np.ascontiguousarray(samples[:, -off:])


def _fit_to_size(image: Image, size: tuple[int, int]) -> Image:
    """uint8 [H, W, C] of ``size``: an odd side repeats its last line, another size is scaled."""
    image = np.ascontiguousarray(image)
    height, width = image.shape[:2]
    right, below = size[0] - width, size[1] - height
    if (right, below) == (0, 0):
        return image
    if right in (0, 1) and below in (0, 1):
        return np.pad(image, ((0, below), (0, right), (0, 0)), mode="edge")
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
