"""DaGAN's generator at its published size (section 3.4), in two halves.

``encode`` does once what the source alone decides: its features, those of its depth and what they ask of the
attention. ``move`` and ``paint`` follow every frame. The released decoder (residual blocks) and the SPADE one share
all the rest. Depth of the driving frame, which the published call takes and never reads, is not asked for.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from livehead.models.blocks import AntiAlias, Down, Res, Same, Up
from livehead.models.dagan.attention import CrossModalAttention
from livehead.models.dagan.keypoint_motion import KeypointMotion, MotionField
from livehead.models.dagan.keypoints import LearnedPoints
from livehead.models.dagan.spade import SpadeDecoder
from livehead.models.grid import resize_places, sample


class SourceCode(NamedTuple):
    """All that depends on the source alone: ``image`` [B, 3, S, S], ``small`` [B, 3, S/4, S/4], ``features``
    [B, C, S/4, S/4], ``query`` [B, 1, N, Q] (N places, row by row) and its own key ``points``."""

    image: Tensor
    small: Tensor
    features: Tensor
    query: Tensor
    points: LearnedPoints


class GeneratorOutput(NamedTuple):
    """``image`` [B, 3, S, S] RGB in [0, 1], float32; ``deformed``: the source along the flow, before any painting."""

    image: Tensor
    deformed: Tensor
    field: MotionField


class FeatureEncoder(nn.Module):
    """A 7 x 7 convolution, then halved ``len(widths) - 1`` times. ``channels`` planes in, ``widths[-1]`` out."""

    def __init__(self, channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.first = Same(channels, widths[0], 7)
        self.down_blocks = nn.ModuleList(Down(a, b) for a, b in zip(widths[:-1], widths[1:], strict=True))

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x.to(self.first.conv.weight.dtype, memory_format=torch.channels_last))
        for down in self.down_blocks:
            x = down(x)
        return x


class ResidualDecoder(nn.Module):
    """``residuals`` blocks, then doubled as often as ``widths`` (of the encoder) were halved."""

    def __init__(self, widths: Sequence[int], residuals: int) -> None:
        super().__init__()
        self.bottleneck = nn.Sequential(OrderedDict((f"r{i}", Res(widths[-1])) for i in range(residuals)))
        upwards = list(reversed(widths))
        self.up_blocks = nn.ModuleList(Up(a, b) for a, b in zip(upwards[:-1], upwards[1:], strict=True))
        self.final = nn.Conv2d(widths[0], 3, 7, padding=3)

    def forward(self, features: Tensor, photo: Tensor | None = None) -> Tensor:
        """``features`` [B, C, h, w] to RGB in [0, 1], float32; the warped photo is of no use to it."""
        x = self.bottleneck(features)
        for up in self.up_blocks:
            x = up(x)
        return torch.sigmoid(self.final(x).float())


class Generator(nn.Module):
    """``appearance`` looks at colours, ``geometry`` at disparity; parts are injected by ``build``."""

    def __init__(
        self,
        down: AntiAlias,
        appearance: FeatureEncoder,
        geometry: FeatureEncoder,
        motion: KeypointMotion,
        attention: CrossModalAttention,
        decoder: ResidualDecoder | SpadeDecoder,
    ) -> None:
        super().__init__()
        self.down = down
        self.appearance = appearance
        self.geometry = geometry
        self.motion = motion
        self.attention = attention
        self.decoder = decoder
        self.guided = isinstance(decoder, SpadeDecoder)

    def encode(self, image: Tensor, depth: Tensor, points: LearnedPoints) -> SourceCode:
        """Source ``image`` [B, 3, S, S] RGB in [0, 1], its disparity ``depth`` [B, 1, S, S] and its key points."""
        query = self.attention.ask(self.geometry(depth))
        return SourceCode(image, self.down(image), self.appearance(image), query, points)

    def move(self, source: SourceCode, driving: LearnedPoints) -> MotionField:
        """Where everything comes from when the source's points go to ``driving``."""
        return self.motion(source.small, source.points, driving)

    def warp(self, source: SourceCode, field: MotionField) -> Tensor:
        """The source's features along the flow, faded where occluded: [B, C, h, w]."""
        size = source.features.shape[2:]
        warped = sample(source.features, resize_places(field.places, *size), "zeros")
        return warped * _resized(field.occlusion, size).to(warped.dtype)

    def paint(self, source: SourceCode, field: MotionField) -> Tensor:
        """The picture [B, 3, S, S] RGB in [0, 1], float32."""
        attended = self.attention(self.warp(source, field), source.query)
        photo = None
        if self.guided:
            photo = self.deform(source, field) * _resized(field.occlusion.float(), source.image.shape[2:])
        return self.decoder(attended, photo)

    def deform(self, source: SourceCode, field: MotionField) -> Tensor:
        """The photo itself along the flow, [B, 3, S, S]."""
        return sample(source.image, resize_places(field.places, *source.image.shape[2:]), "zeros")

    def attention_rows(self, source: SourceCode, field: MotionField, rows: Tensor) -> Tensor:
        """What the places ``rows`` [R] (row by row numbers) look at: [B, R, N], each in sum 1."""
        memory = self.attention.remember(self.warp(source, field))
        return self.attention.weights(source.query[:, :, rows], memory)

    def forward(self, image: Tensor, depth: Tensor, points: LearnedPoints, driving: LearnedPoints) -> GeneratorOutput:
        """Source as in ``encode``, the performer's key points ``driving``."""
        source = self.encode(image, depth, points)
        field = self.move(source, driving)
        return GeneratorOutput(self.paint(source, field), self.deform(source, field), field)


def _resized(planes: Tensor, size: Sequence[int]) -> Tensor:
    if planes.shape[2:] == tuple(size):
        return planes
    return F.interpolate(planes, tuple(size), mode="bilinear", align_corners=False)


def join_sources(codes: Sequence[SourceCode]) -> SourceCode:
    """Several sources as one batch."""
    if len(codes) == 1:
        return codes[0]
    image, small, features, query = (torch.cat([code[i] for code in codes]) for i in range(4))
    value, jacobian = (torch.cat([code.points[i] for code in codes]) for i in range(2))
    return SourceCode(image, small, features, query, LearnedPoints(value, jacobian))
