"""CoNR's shader: one network for every view of the character, which agree by messages (section 3.3).

Six blocks follow each other from 1/32 of the size to the whole. Each looks at the target pose, at its own view (warped
by the flow found so far) and at what all views together made of the level before; it corrects the flow and leaves a
message for all, and one for itself. Views are rows of the batch, sample by sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from livehead.models.conr.encoders import resize_bilinear
from livehead.models.grid import warp_pixels
from livehead.models.memory_format import split_to_nchw, to_nchw, to_nhwc

LEVEL_COUNT = 6
_FLOW_PLANES = 32  # planes of a flow that moves sixteen shares of the channels, each its own way
_SHARED_MASKS = 2  # the first masks: of flow and reference, and of a feature that nobody reads any more


@dataclass(frozen=True, slots=True)
class ShaderSizes:
    """Widths of the published network, level by level; the defaults are those of its authors.

    ``target`` and ``features``: what the pose encoder and the parser give. ``messages`` to all views, ``locals`` to
    the view itself (the last level has none). ``residuals``: stages of a block, ``width`` planes wide.
    """

    target: tuple[int, ...] = (512, 256, 128, 64, 64)
    features: tuple[int, ...] = (2048, 1024, 512, 256, 64)
    messages: tuple[int, ...] = (2048, 1024, 512, 256, 64, 64)
    locals: tuple[int, ...] = (2048, 1024, 512, 256, 64, 0)
    residuals: tuple[int, ...] = (1, 1, 1, 1, 1, 2)
    width: int = 224

    def input_planes(self, level: int) -> int:
        """Planes that a block takes: flow, view and the others' flow and view are there on every level."""
        count = 2 + 4 + 2 + 4
        if level < len(self.target):
            count += self.target[level] + self.features[level]
        return count + (self.messages[level - 1] + self.locals[level - 1] if level else 0)

    def output_planes(self, level: int) -> list[int]:
        """Planes that a block gives: those of ``BlockOutput``, in its order."""
        message, own = self.messages[level], self.locals[level]
        return [2, message, _FLOW_PLANES, own, _FLOW_PLANES if own else 0, _SHARED_MASKS + (own or message)]


class ShaderBlockOutput(NamedTuple):
    """Of one level and all views [B V, C, h, w]: correction of the flow in pixels of the level, message and its flow,
    message to itself and its flow (empty on the last level), and masks in (0, 1)."""

    flow: Tensor
    message: Tensor
    message_flow: Tensor
    local: Tensor
    local_flow: Tensor
    mask: Tensor


class ShaderBlock(nn.Module):
    """``taken`` planes to ``given``, at a quarter of the size in between; its parts' names are the published ones."""

    def __init__(self, in_planes: int, out_planes: int, width: int, residuals: int) -> None:
        super().__init__()
        self.conv0 = nn.Sequential(
            *(nn.Conv2d(in_planes, width, 3, 2, padding=1), nn.PReLU(width)),
            *(nn.Conv2d(width, width, 3, 2, padding=1), nn.PReLU(width)),
        )
        self.convblocks = nn.ModuleList(_six_conv_layers(width) for _ in range(residuals))
        self.conv_last = nn.Sequential(
            nn.ConvTranspose2d(width, width, 4, 2, padding=1),
            nn.PReLU(width),
            nn.ConvTranspose2d(width, out_planes, 4, 2, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv0(x)
        for stage in self.convblocks:
            x = stage(x) + x
        return self.conv_last(x)


def _six_conv_layers(width: int) -> nn.Sequential:
    layers = ((nn.Conv2d(width, width, 3, padding=1), nn.PReLU(width)) for _ in range(6))
    return nn.Sequential(*(layer for pair in layers for layer in pair))


class EncodedSheet(NamedTuple):
    """All that depends on the sheet alone, float32. ``references``: the views' RGBA at the size of each level, [B, V,
    4, s, s]; ``features``: the parser's, [B, V, C, s, s], coarse to fine."""

    references: list[Tensor]
    features: list[Tensor]


class _ViewState(NamedTuple):
    """What a block looks at beside the target: of each view its flow, warped reference, warped feature and local
    message; of all views together flow, reference and message. Levels without one of them have None."""

    flow: Tensor
    reference: Tensor
    feature: Tensor | None
    local: Tensor | None
    all_flow: Tensor
    all_reference: Tensor
    message: Tensor | None


class ConrShader(nn.Module):
    """The published CINN. Any number of views takes part, in any order."""

    def __init__(self, sizes: ShaderSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.decoder_blocks = nn.ModuleList(
            ShaderBlock(sizes.input_planes(level), sum(sizes.output_planes(level)), sizes.width, sizes.residuals[level])
            for level in range(LEVEL_COUNT)
        )

    def forward(self, reference: Tensor, features: Sequence[Tensor], target: Sequence[Tensor]) -> Tensor:
        """``reference`` [B, V, 4, S, S] RGBA, colours times alpha; the parser's ``features`` of the views [B, V, C, s,
        s] and the pose encoder's of the ``target`` [B, C, s, s], both coarse to fine. Gives the last message
        [B, C, S, S]."""
        return self.aggregate_views(encode_sheet(reference, features), target)

    def aggregate_views(self, code: EncodedSheet, target: Sequence[Tensor]) -> Tensor:
        """As ``forward``, of what was made of the sheet before."""
        *_, (_, message) = self.run_levels(code, target)
        return message

    def run_levels(self, code: EncodedSheet, target: Sequence[Tensor]) -> list[tuple[ShaderBlockOutput, Tensor]]:
        """Of each level what its block gave and the message that the views agreed on."""
        count = code.references[0].shape[1]
        steps: list[tuple[ShaderBlockOutput, Tensor]] = []
        views = _initial_views(code)
        for level in range(LEVEL_COUNT):
            aim = _repeat_per_view(to_nchw(target[level]), count) if level < len(target) else None
            output = self._run_block(level, views, aim)
            views, message = _next_views(level, output, views.flow, code)
            steps.append((output, message))
        return steps

    def _run_block(self, level: int, views: _ViewState, target: Tensor | None) -> ShaderBlockOutput:
        order = (views.flow, target, views.reference, views.feature, views.all_flow, views.all_reference)
        present = [part for part in (*order, views.message, views.local) if part is not None]
        given = self.decoder_blocks[level](to_nhwc(present, self.decoder_blocks[0].conv0[1].weight.dtype))
        *planes, mask = split_to_nchw(given, self.sizes.output_planes(level))
        return ShaderBlockOutput(*planes, torch.sigmoid(mask))


def encode_sheet(reference: Tensor, features: Sequence[Tensor]) -> EncodedSheet:
    """``reference`` [B, V, 4, S, S] RGBA, colours times alpha; the parser's ``features`` of the views, [B, V, C, s, s]
    coarse to fine."""
    batch, count = reference.shape[:2]
    sizes = [feature.shape[3:] for feature in features]
    whole = reference.flatten(0, 1).float()
    small = [resize_bilinear(whole, size).unflatten(0, (batch, count)) for size in (*sizes, whole.shape[2:])]
    described = [to_nchw(feature.flatten(0, 1)).unflatten(0, (batch, count)) for feature in features]
    return EncodedSheet(small, described)


def _initial_views(code: EncodedSheet) -> _ViewState:
    """Before the first block nothing is moved, and each view knows only itself."""
    reference = code.references[0].flatten(0, 1)
    flow = torch.zeros_like(reference[:, :2])
    return _ViewState(flow, reference, code.features[0].flatten(0, 1), None, flow, reference, None)


def _next_views(level: int, output: ShaderBlockOutput, flow: Tensor, code: EncodedSheet) -> tuple[_ViewState, Tensor]:
    """What the next block looks at, and the message that the views agree on."""
    count = code.references[0].shape[1]
    after = min(level + 1, LEVEL_COUNT - 1)
    size = code.references[after].shape[3:]
    message = warp_pixels(resize_bilinear(output.message, size), _resized_flow(output.message_flow, size))
    weights = _view_weights(resize_bilinear(output.mask, size), count)
    agreed = _sum_over_views(message, weights[:, _SHARED_MASKS:], count)
    if level == LEVEL_COUNT - 1:
        return _ViewState(*[flow] * 2, None, None, flow, flow, None), agreed
    flow = _resized_flow(flow + output.flow, size)
    reference = warp_pixels(code.references[after].flatten(0, 1), flow)
    feature = warp_pixels(code.features[after].flatten(0, 1), flow) if after < len(code.features) else None
    local = warp_pixels(resize_bilinear(output.local, size), _resized_flow(output.local_flow, size))
    together = (_sum_over_views(part, weights[:, :1], count) for part in (flow, reference))
    all_flow, all_reference, all_message = (_repeat_per_view(part, count) for part in (*together, agreed))
    return _ViewState(flow, reference, feature, local, all_flow, all_reference, all_message), agreed


def _repeat_per_view(planes: Tensor, count: int) -> Tensor:
    """Of every sample [B, C, h, w] for each of its views: [B V, C, h, w]."""
    return planes if count == 1 else planes.repeat_interleave(count, dim=0)


def _resized_flow(flow: Tensor, size: Sequence[int]) -> Tensor:
    """At another size, in the pixels of that size."""
    return flow if flow.shape[2:] == tuple(size) else resize_bilinear(flow, size) * (size[0] / flow.shape[2])


def _view_weights(mask: Tensor, count: int) -> Tensor:
    """What a view's word is worth, [B V, C, h, w]: its mask times its share among the views. They need not sum to 1."""
    if count == 1:
        return mask
    shares = torch.softmax(mask.unflatten(0, (-1, count)), dim=1)
    return mask * shares.flatten(0, 1)


def _sum_over_views(planes: Tensor, weights: Tensor, count: int) -> Tensor:
    """The weighted sum over ``count`` views: [B, C, h, w]."""
    weighted = planes * weights
    return weighted if count == 1 else weighted.unflatten(0, (-1, count)).sum(dim=1)
