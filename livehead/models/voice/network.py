"""The network that predicts the motion of a mouth: causal dilated convolutions over log-mel frames.

It follows van den Oord et al., "WaveNet" (2016), section 2.1, without the gates; it is small, since there are only
minutes of speech with a face to train on. Its ``members`` are networks of the same shape, trained side by side from
different initial weights; their mean is more reliable than any one of them (Lakshminarayanan et al., "Deep ensembles",
2017).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from livehead.models.voice.logmel import HOP_SAMPLES, MEL_BANDS, SAMPLE_RATE

FRAMES_PER_STEP = 2
"""Log-mel frames for each step of motion: 20 ms."""

LOOK_AHEAD_STEPS = 2
"""Steps of sound after its own moment that a frame of motion needs."""

STEP_S = FRAMES_PER_STEP * HOP_SAMPLES / SAMPLE_RATE

LOOK_AHEAD_S = LOOK_AHEAD_STEPS * STEP_S
"""The same in seconds: 40 ms. Until a step is complete 20 ms pass, so motion is at most 60 ms behind the sound."""

_DILATIONS = (1, 2, 4, 8, 16)
_KERNEL = 3


class CausalConv(nn.Conv1d):
    """A convolution whose output at a moment depends on that moment and the past; its state is passed in and out."""

    @property
    def context_frames(self) -> int:
        """The number of earlier input frames that an output frame depends on."""
        return (self.kernel_size[0] - 1) * self.dilation[0]

    def convolve(self, frames: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        """Convolve ``frames`` [B, C, T], which follow ``before`` [B, C, context_frames].

        Returns the output [B, C', T] and the frames to pass as ``before`` the next time.
        """
        joined = torch.cat([before, frames], dim=-1)
        return self(joined), joined[..., joined.shape[-1] - self.context_frames :]


class CausalResBlock(nn.Module):
    """A residual block of a causal convolution and a pointwise one."""

    def __init__(self, width: int, members: int, dilation: int, dropout: float) -> None:
        super().__init__()
        channels = width * members
        self.causal = CausalConv(channels, channels, _KERNEL, dilation=dilation, groups=members)
        self.point = nn.Conv1d(channels, channels, 1, groups=members)
        self.dropout = nn.Dropout(dropout)

    def forward(self, frames: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        """The block's output [B, C, T] and its next state, as ``CausalConv.convolve`` returns them."""
        moved, after = self.causal.convolve(frames, before)
        return frames + self.point(self.dropout(F.gelu(moved))), after


class VoiceNetwork(nn.Module):
    """A network from log-mel frames to coefficients of a face's basis.

    The coefficients belong to the moment ``LOOK_AHEAD_STEPS`` before the newest frame. ``mean`` and ``spread``
    [MEL_BANDS] are statistics of the training frames, ``scale`` [outputs] is that of the coefficients.
    """

    mean: Tensor
    spread: Tensor
    scale: Tensor

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
        """A state of zeros, as ``forward`` takes it. For the exact state after silence, run the network on silence."""
        convolutions = [module for module in self.modules() if isinstance(module, CausalConv)]
        like = self.leave.weight
        return [like.new_zeros(batch, each.in_channels, each.context_frames) for each in convolutions]

    def forward(self, frames: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Predict coefficients [B, members, outputs, T] in units of ``scale``, and the state for the next call.

        ``frames`` [B, MEL_BANDS, FRAMES_PER_STEP * T]: log-mel.
        """
        normalized = (frames - self.mean[:, None]) / self.spread[:, None]
        steps = torch.unflatten(normalized, -1, (-1, FRAMES_PER_STEP)).transpose(2, 3).flatten(1, 2)
        inner, before = self.enter.convolve(steps.repeat(1, self.members, 1), state[0])
        after = [before]
        for block, remembered in zip(self.blocks, state[1:], strict=True):
            inner, before = block(inner, remembered)
            after.append(before)
        return torch.unflatten(self.leave(F.gelu(inner)), 1, (self.members, self.outputs)), after
