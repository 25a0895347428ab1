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

from livehead.models.blocks import AntiAliasInterpolation, DownBlock, ResBlock, SameBlock, UpBlock
from livehead.models.dagan.attention import CrossModalAttention
from livehead.models.dagan.keypoint_motion import KeypointMotion, KeypointMotionField
from livehead.models.dagan.keypoints import LearnedKeypoints
from livehead.models.dagan.spade import SpadeDecoder
from livehead.models.grid import resize_sampling_grid, sample_features


class DaganEncodedSource(NamedTuple):
    """All that depends on the source alone: ``image`` [B, 3, S, S], ``small`` [B, 3, S/4, S/4], ``features``
    [B, C, S/4, S/4], ``query`` [B, 1, N, Q] (N places, row by row) and its own key ``points``."""

    image: Tensor
    downscaled: Tensor
    features: Tensor
    query: Tensor
    points: LearnedKeypoints


class GeneratorOutput(NamedTuple):
    """``image`` [B, 3, S, S] RGB in [0, 1], float32; ``deformed``: the source along the flow, before any painting."""

    image: Tensor
    deformed: Tensor
    field: KeypointMotionField


class FeatureEncoder(nn.Module):
    """A 7 x 7 convolution, then halved ``len(widths) - 1`` times. ``channels`` planes in, ``widths[-1]`` out."""

    def __init__(self, channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.first = SameBlock(channels, widths[0], 7)
        self.down_blocks = nn.ModuleList(DownBlock(a, b) for a, b in zip(widths[:-1], widths[1:], strict=True))

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x.to(self.first.conv.weight.dtype, memory_format=torch.channels_last))
        for down in self.down_blocks:
            x = down(x)
        return x


class ResidualDecoder(nn.Module):
    """``residuals`` blocks, then doubled as often as ``widths`` (of the encoder) were halved."""

    def __init__(self, widths: Sequence[int], residuals: int) -> None:
        super().__init__()
        self.bottleneck = nn.Sequential(OrderedDict((f"r{i}", ResBlock(widths[-1])) for i in range(residuals)))
        upwards = list(reversed(widths))
        self.up_blocks = nn.ModuleList(UpBlock(a, b) for a, b in zip(upwards[:-1], upwards[1:], strict=True))
        self.final = nn.Conv2d(widths[0], 3, 7, padding=3)

    def forward(self, features: Tensor, photo: Tensor | None = None) -> Tensor:
        """``features`` [B, C, h, w] to RGB in [0, 1], float32; the warped photo is of no use to it."""
        x = self.bottleneck(features)
        for up in self.up_blocks:
            x = up(x)
        return torch.sigmoid(self.final(x).float())


class DaganGenerator(nn.Module):
    """``appearance`` looks at colours, ``geometry`` at disparity; parts are injected by ``build``."""

    def __init__(
        self,
        down: AntiAliasInterpolation,
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
        self.uses_spade = isinstance(decoder, SpadeDecoder)

    def encode(self, image: Tensor, depth: Tensor, points: LearnedKeypoints) -> DaganEncodedSource:
        """Source ``image`` [B, 3, S, S] RGB in [0, 1], its disparity ``depth`` [B, 1, S, S] and its key points."""
        query = self.attention.project_queries(self.geometry(depth))
        return DaganEncodedSource(image, self.down(image), self.appearance(image), query, points)

    def predict_motion(self, source: DaganEncodedSource, driving: LearnedKeypoints) -> KeypointMotionField:
        """Where everything comes from when the source's points go to ``driving``."""
        return self.motion(source.downscaled, source.points, driving)

    def warp_source_features(self, source: DaganEncodedSource, field: KeypointMotionField) -> Tensor:
        """The source's features along the flow, faded where occluded: [B, C, h, w]."""
        size = source.features.shape[2:]
        warped = sample_features(source.features, resize_sampling_grid(field.places, *size), "zeros")
        return warped * _resize_bilinear(field.occlusion, size).to(warped.dtype)

    def decode(self, source: DaganEncodedSource, field: KeypointMotionField) -> Tensor:
        """The picture [B, 3, S, S] RGB in [0, 1], float32."""
        attended = self.attention(self.warp_source_features(source, field), source.query)
        photo = None
        if self.uses_spade:
            photo = self.warp_source_image(source, field) * _resize_bilinear(
                field.occlusion.float(), source.image.shape[2:]
            )
        return self.decoder(attended, photo)

    def warp_source_image(self, source: DaganEncodedSource, field: KeypointMotionField) -> Tensor:
        """The photo itself along the flow, [B, 3, S, S]."""
        return sample_features(source.image, resize_sampling_grid(field.places, *source.image.shape[2:]), "zeros")

    def attention_weights(self, source: DaganEncodedSource, field: KeypointMotionField, rows: Tensor) -> Tensor:
        """What the places ``rows`` [R] (row by row numbers) look at: [B, R, N], each in sum 1."""
        memory = self.attention.project_keys_values(self.warp_source_features(source, field))
        return self.attention.attention_weights(source.query[:, :, rows], memory)

    def forward(
        self, image: Tensor, depth: Tensor, points: LearnedKeypoints, driving: LearnedKeypoints
    ) -> GeneratorOutput:
        """Source as in ``encode``, the performer's key points ``driving``."""
        source = self.encode(image, depth, points)
        field = self.predict_motion(source, driving)
        return GeneratorOutput(self.decode(source, field), self.warp_source_image(source, field), field)


def _resize_bilinear(planes: Tensor, size: Sequence[int]) -> Tensor:
    if planes.shape[2:] == tuple(size):
        return planes
    return F.interpolate(planes, tuple(size), mode="bilinear", align_corners=False)


def stack_sources(codes: Sequence[DaganEncodedSource]) -> DaganEncodedSource:
    """Several sources as one batch."""
    if len(codes) == 1:
        return codes[0]
    image, small, features, query = (torch.cat([code[i] for code in codes]) for i in range(4))
    value, jacobian = (torch.cat([code.points[i] for code in codes]) for i in range(2))
    return DaganEncodedSource(image, small, features, query, LearnedKeypoints(value, jacobian))
