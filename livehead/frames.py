"""The frames that flow through the pipeline: pictures and blocks of sound, each with the time of its capture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Image: TypeAlias = npt.NDArray[np.uint8]
"""uint8 [H, W, 3] RGB or [H, W, 4] RGBA with straight alpha."""

Samples: TypeAlias = npt.NDArray[np.float32]
"""float32 [C, N] in [-1, 1]."""

_NO_ATTACHMENTS: Mapping[str, object] = MappingProxyType({})


@dataclass(frozen=True, slots=True, eq=False)
class VideoFrame:
    """One picture with its times.

    ``image`` is uint8 [H, W, 3] RGB or [H, W, 4] RGBA with straight alpha.
    ``pts``, ``time_base``: the presentation time is ``pts * time_base`` seconds from the stream's start.
    ``captured_ns`` is when the *driving* picture was taken, on the monotonic clock; it is carried unchanged to the
    sink.
    ``attached`` is data that a capture adds (a time code, for example); it travels with the frame.
    """

    image: Image
    pts: int
    time_base: Fraction
    captured_ns: int
    attached: Mapping[str, object] = field(default_factory=lambda: _NO_ATTACHMENTS)

    def __post_init__(self) -> None:
        shape = self.image.shape
        if self.image.dtype != np.uint8 or len(shape) != 3 or shape[2] not in (3, 4):
            raise ValueError(f"a video frame is uint8 [H, W, 3 or 4], got {self.image.dtype} {list(shape)}")

    @property
    def size(self) -> tuple[int, int]:
        """The picture's width and height in pixels."""
        return self.image.shape[1], self.image.shape[0]

    @property
    def seconds(self) -> float:
        """The presentation time in seconds."""
        return float(self.pts * self.time_base)

    def with_image(self, image: Image) -> VideoFrame:
        """Return a copy of this frame with another picture and the same times."""
        return replace(self, image=image)


@dataclass(frozen=True, slots=True, eq=False)
class AudioFrame:
    """One block of sound: ``samples`` float32 [C, N] in [-1, 1] at ``rate`` Hz; ``pts`` counts samples.

    ``captured_ns`` is the monotonic time of the first sample.
    """

    samples: Samples
    rate: int
    pts: int
    captured_ns: int

    def __post_init__(self) -> None:
        if self.samples.dtype != np.float32 or self.samples.ndim != 2:
            raise ValueError(f"an audio frame is float32 [C, N], got {self.samples.dtype} {list(self.samples.shape)}")

    @property
    def duration_s(self) -> float:
        """The block's length in seconds."""
        return self.samples.shape[1] / self.rate


Frame: TypeAlias = VideoFrame | AudioFrame
