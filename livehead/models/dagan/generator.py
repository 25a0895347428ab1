"""DaGAN's generator at its published size (section 3.4), in two halves.

``encode`` computes, once, all that depends on the source alone: its features, and the attention's queries from its
depth. ``predict_motion`` and ``decode`` run for every frame. The released decoder (residual blocks) and the SPADE one
share all the rest. The published call takes the driving frame's depth and never reads it; this one does not take it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from livehead.models.blocks import AntiAliasInterpolation, DownBlock, ResBlock, SameBlock, UpBlock
from livehead.models.dagan.attention import CrossModalAttention
from livehead.models.dagan.keypoint_motion import KeypointMotion, KeypointMotionField
from livehead.models.dagan.keypoints import LearnedKeypoints
from livehead.models.dagan.spade import SpadeDecoder
from livehead.models.grid import resize_bilinear, resize_sampling_grid, sample_features


class DaganEncodedSource(NamedTuple):
    """All that depends on the source alone: ``image`` [B, 3, S, S], ``downscaled`` [B, 3, S/4, S/4], ``features``
    [B, C, S/4, S/4], ``query`` [B, 1, N, Q] (N pixels, row by row) and its own key ``points``."""

    image: Tensor
    downscaled: Tensor
    features: Tensor
    query: Tensor
    points: LearnedKeypoints


class GeneratorOutput(NamedTuple):
    """The drawn ``image`` [B, 3, S, S] RGB in [0, 1], float32; ``deformed``: the source, only warped."""

    image: Tensor
    deformed: Tensor
    field: KeypointMotionField


class FeatureEncoder(nn.Module):
    """A 7 x 7 convolution, then ``len(widths) - 1`` blocks that halve the size; from ``channels`` to ``widths[-1]``."""

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
    """A decoder of ``residuals`` residual blocks, then blocks that double the size; ``widths``: the encoder's."""

    def __init__(self, widths: Sequence[int], residuals: int) -> None:
        super().__init__()
        self.bottleneck = nn.Sequential(OrderedDict((f"r{i}", ResBlock(widths[-1])) for i in range(residuals)))
        upwards = list(reversed(widths))
        self.up_blocks = nn.ModuleList(UpBlock(a, b) for a, b in zip(upwards[:-1], upwards[1:], strict=True))
        self.final = nn.Conv2d(widths[0], 3, 7, padding=3)

    def forward(self, features: Tensor, photo: Tensor | None = None) -> Tensor:
        """Decode ``features`` [B, C, h, w] to RGB in [0, 1], float32; the warped ``photo`` is not used."""
        x = self.bottleneck(features)
        for up in self.up_blocks:
            x = up(x)
        return torch.sigmoid(self.final(x).float())


class DaganGenerator(nn.Module):
    """The generator: ``appearance`` encodes colours, ``geometry`` disparity. ``build_generator`` makes the parts."""

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
        """Encode a source ``image`` [B, 3, S, S] RGB in [0, 1], its disparity ``depth`` [B, 1, S, S] and key points."""
        query = self.attention.project_queries(self.geometry(depth))
        return DaganEncodedSource(image, self.down(image), self.appearance(image), query, points)

    def predict_motion(self, source: DaganEncodedSource, driving: LearnedKeypoints) -> KeypointMotionField:
        """The motion field when the source's key points move to ``driving``."""
        field: KeypointMotionField = self.motion(source.downscaled, source.points, driving)
        return field

    def warp_source_features(self, source: DaganEncodedSource, field: KeypointMotionField) -> Tensor:
        """The source's features [B, C, h, w], warped by the field and faded where occluded."""
        height, width = source.features.shape[2:]
        sampling_grid = resize_sampling_grid(field.sampling_grid, height, width)
        warped = sample_features(source.features, sampling_grid, "zeros")
        return warped * resize_bilinear(field.occlusion, (height, width)).to(warped.dtype)

    def decode(self, source: DaganEncodedSource, field: KeypointMotionField) -> Tensor:
        """Draw the picture [B, 3, S, S] RGB in [0, 1], float32."""
        attended = self.attention(self.warp_source_features(source, field), source.query)
        photo = None
        if self.uses_spade:
            occlusion = resize_bilinear(field.occlusion.float(), source.image.shape[2:])
            photo = self.warp_source_image(source, field) * occlusion
        picture: Tensor = self.decoder(attended, photo)
        return picture

    def warp_source_image(self, source: DaganEncodedSource, field: KeypointMotionField) -> Tensor:
        """The photo itself [B, 3, S, S], warped by the field."""
        height, width = source.image.shape[2:]
        return sample_features(source.image, resize_sampling_grid(field.sampling_grid, height, width), "zeros")

    def attention_weights(self, source: DaganEncodedSource, field: KeypointMotionField, rows: Tensor) -> Tensor:
        """The attention weights [B, R, N], each in sum 1, of the pixels ``rows`` [R] (row-major indices)."""
        memory = self.attention.project_keys_values(self.warp_source_features(source, field))
        return self.attention.attention_weights(source.query[:, :, rows], memory)

    def forward(
        self, image: Tensor, depth: Tensor, points: LearnedKeypoints, driving: LearnedKeypoints
    ) -> GeneratorOutput:
        """Draw a source, given as to ``encode``, with the performer's key points ``driving``."""
        source = self.encode(image, depth, points)
        field = self.predict_motion(source, driving)
        return GeneratorOutput(self.decode(source, field), self.warp_source_image(source, field), field)


def stack_sources(codes: Sequence[DaganEncodedSource]) -> DaganEncodedSource:
    """Stack several sources to one batch."""
    if len(codes) == 1:
        return codes[0]
    return DaganEncodedSource(
        image=torch.cat([code.image for code in codes]),
        downscaled=torch.cat([code.downscaled for code in codes]),
        features=torch.cat([code.features for code in codes]),
        query=torch.cat([code.query for code in codes]),
        points=LearnedKeypoints(
            torch.cat([code.points.value for code in codes]), torch.cat([code.points.jacobian for code in codes])
        ),
    )
