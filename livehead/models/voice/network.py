"""The network that hears how a mouth moves: causal dilated convolutions over log-mel frames, several in parallel.

After van den Oord et al., "WaveNet" (2016), section 2.1, without its gates; small, since minutes of speech with a face
are all there is. The ``members`` are networks of the same shape that were trained side by side from other beginnings;
their mean is surer than any of them (Lakshminarayanan et al., "Deep ensembles", 2017).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from livehead.models.voice.logmel import HOP_SAMPLES, MEL_BANDS, SAMPLE_RATE

FRAMES_PER_STEP = 2
"""Frames of log-mel between two of motion: 20 ms."""

LOOK_AHEAD_STEPS = 2
"""Steps of sound that a frame of motion needs beyond its own moment."""

STEP_S = FRAMES_PER_STEP * HOP_SAMPLES / SAMPLE_RATE

LOOK_AHEAD_S = LOOK_AHEAD_STEPS * STEP_S
"""40 ms; with the wait for a step to be full (20 ms) the motion is at most 60 ms behind the newest sample."""

_DILATIONS = (1, 2, 4, 8, 16)
_KERNEL = 3


class CausalConv(nn.Conv1d):
    """A convolution whose output at a moment depends on that moment and the past; the past is passed in and out."""

    @property
    def context_frames(self) -> int:
        """Frames of input it looks back."""
        return (self.kernel_size[0] - 1) * self.dilation[0]

    def forward(self, frames: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        """[B, C, T] and the ``past`` frames before them; the output [B, C', T], and what to pass the next time."""
        joined = torch.cat([before, frames], dim=-1)
        return super().forward(joined), joined[..., joined.shape[-1] - self.context_frames :]


class CausalResBlock(nn.Module):
    """A residual block of one causal convolution and a pointwise one."""

    def __init__(self, width: int, members: int, dilation: int, dropout: float) -> None:
        super().__init__()
        channels = width * members
        self.causal = CausalConv(channels, channels, _KERNEL, dilation=dilation, groups=members)
        self.point = nn.Conv1d(channels, channels, 1, groups=members)
        self.dropout = nn.Dropout(dropout)

    def forward(self, frames: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        """As ``CausalConv``."""
        moved, after = self.causal(frames, before)
        return frames + self.point(self.dropout(F.gelu(moved))), after


class VoiceNetwork(nn.Module):
    """Log-mel frames to coefficients of a face's basis, which belong ``LOOK_AHEAD`` steps before what is heard.

    ``mean`` and ``spread`` [BANDS] are those of the frames trained on, ``scale`` [outputs] that of the coefficients.
    """

    def __init__(self, outputs: int, *, width: int = 64, members: int = 1, dropout: float = 0.0) -> None:
        super().__init__()
        self.outputs, self.members = outputs, members
        self.register_buffer("mean", torch.zeros(MEL_BANDS))
        self.register_buffer("spread", torch.ones(MEL_BANDS))
        self.register_buffer("scale", torch.ones(outputs))
        channels = width * members
        self.enter = CausalConv(MEL_BANDS * FRAMES_PER_STEP * members, channels, _KERNEL, groups=members)
        self.blocks = nn.ModuleList(CausalResBlock(width, members, dilation, dropout) for dilation in _DILATIONS)
        self.leave = nn.Conv1d(channels, outputs * members, 1, groups=members)

    def initial_state(self, batch: int = 1) -> list[Tensor]:
        """The past of a voice that has been silent for ever, as ``forward`` takes it. For the exact one run silence."""
        convolutions = [self.enter, *(block.causal for block in self.blocks)]
        like = self.leave.weight
        return [like.new_zeros(batch, each.in_channels, each.past) for each in convolutions]

    def forward(self, frames: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """[B, BANDS, STEP * T] log-mel to [B, members, outputs, T] in units of ``scale``, and the next call's past."""
        known = (frames - self.mean[:, None]) / self.spread[:, None]
        known = known.unflatten(-1, (-1, FRAMES_PER_STEP)).transpose(2, 3).flatten(1, 2)
        inner, before = self.enter(known.repeat(1, self.members, 1), state[0])
        after = [before]
        for block, remembered in zip(self.blocks, state[1:], strict=True):
            inner, before = block(inner, remembered)
            after.append(before)
        return self.leave(F.gelu(inner)).unflatten(1, (self.members, self.outputs)), after
