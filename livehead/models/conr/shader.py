"""CoNR's shader: one network for every view of the character, which agree by messages (section 3.3).

Six blocks follow each other from 1/32 of the size to the whole. Each takes the target pose, its own view (warped by the
flow found so far) and the result of all views on the level before; it corrects the flow and returns a message to all
views, and one to its own view. Views are rows of the batch, sample by sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from livehead.models.blocks import layer_dtype
from livehead.models.grid import resize_bilinear, warp_pixels
from livehead.models.memory_format import split_to_nchw, to_nchw, to_nhwc

LEVEL_COUNT = 6
_FLOW_PLANES = 32  # of a flow that moves sixteen groups of channels separately
_SHARED_MASKS = 2  # the first: of flow and reference, and of a feature that is no longer used


@dataclass(frozen=True, slots=True)
class ShaderSizes:
    """Widths of the published network, level by level; the defaults are those of its authors.

    ``target`` and ``features``: of the pose encoder's and the parser's maps. ``messages``: of those to all views.
    ``locals``: of those to the view itself (the last level has none). ``residuals``: numbers of a block's stages, each
    ``width`` channels wide.
    """

    target: tuple[int, ...] = (512, 256, 128, 64, 64)
    features: tuple[int, ...] = (2048, 1024, 512, 256, 64)
    messages: tuple[int, ...] = (2048, 1024, 512, 256, 64, 64)
    locals: tuple[int, ...] = (2048, 1024, 512, 256, 64, 0)
    residuals: tuple[int, ...] = (1, 1, 1, 1, 1, 2)
    width: int = 224

    def input_planes(self, level: int) -> int:
        """The number of planes that a block takes; flow and view, own and of all, are among them on every level."""
        count = 2 + 4 + 2 + 4
        if level < len(self.target):
            count += self.target[level] + self.features[level]
        return count + (self.messages[level - 1] + self.locals[level - 1] if level else 0)

    def output_planes(self, level: int) -> list[int]:
        """The numbers of planes that a block returns: those of ``ShaderBlockOutput``, in its order."""
        message, own = self.messages[level], self.locals[level]
        return [2, message, _FLOW_PLANES, own, _FLOW_PLANES if own else 0, _SHARED_MASKS + (own or message)]


class ShaderBlockOutput(NamedTuple):
    """A block's output for all views [B V, C, h, w]: the correction of the flow in pixels of the level, the message to
    all views and its flow, the message to the view itself and its flow (empty on the last level), masks in (0, 1)."""

    flow: Tensor
    message: Tensor
    message_flow: Tensor
    local: Tensor
    local_flow: Tensor
    mask: Tensor


class ShaderBlock(nn.Module):
    """A block from ``in_planes`` to ``out_planes``, at a quarter of the size inside; attribute names as published."""

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
        planes: Tensor = self.conv_last(x)
        return planes


def _six_conv_layers(width: int) -> nn.Sequential:
    layers = ((nn.Conv2d(width, width, 3, padding=1), nn.PReLU(width)) for _ in range(6))
    return nn.Sequential(*(layer for pair in layers for layer in pair))


class EncodedSheet(NamedTuple):
    """All that depends on the character sheet alone, float32.

    ``references``: the views' RGBA at the size of each level, [B, V, 4, s, s]; ``features``: the parser's,
    [B, V, C, s, s], coarse to fine.
    """

    references: list[Tensor]
    features: list[Tensor]


class _ViewState(NamedTuple):
    """A block's input beside the target: of each view its flow, warped reference, warped feature and local message; of
    all views together flow, reference and message. None stands for what a level does not have."""

    flow: Tensor
    reference: Tensor
    feature: Tensor | None
    local: Tensor | None
    all_flow: Tensor
    all_reference: Tensor
    message: Tensor | None


class ConrShader(nn.Module):
    """The published CINN, for any number of views in any order."""

    def __init__(self, sizes: ShaderSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.decoder_blocks = nn.ModuleList(
            ShaderBlock(sizes.input_planes(level), sum(sizes.output_planes(level)), sizes.width, sizes.residuals[level])
            for level in range(LEVEL_COUNT)
        )

    def forward(self, reference: Tensor, features: Sequence[Tensor], target: Sequence[Tensor]) -> Tensor:
        """The last message [B, C, S, S].

        ``reference`` [B, V, 4, S, S] is RGBA, colours times alpha; ``features`` [B, V, C, s, s] are the parser's of the
        views and ``target`` [B, C, s, s] the pose encoder's, both coarse to fine.
        """
        return self.aggregate_views(encode_sheet(reference, features), target)

    def aggregate_views(self, code: EncodedSheet, target: Sequence[Tensor]) -> Tensor:
        """Do as ``forward``, from an encoded sheet."""
        *_, (_, message) = self.run_levels(code, target)
        return message

    def run_levels(self, code: EncodedSheet, target: Sequence[Tensor]) -> list[tuple[ShaderBlockOutput, Tensor]]:
        """The output of each level's block, and the message that the views agreed on."""
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
        given = self.decoder_blocks[level](to_nhwc(present, self._block_dtype()))
        flow, message, message_flow, local, local_flow, mask = split_to_nchw(given, self.sizes.output_planes(level))
        return ShaderBlockOutput(flow, message, message_flow, local, local_flow, torch.sigmoid(mask))

    def _block_dtype(self) -> torch.dtype:
        """The dtype that the blocks compute in, read off an activation: those are never replaced."""
        block = self.decoder_blocks[0]
        assert isinstance(block, ShaderBlock)
        return layer_dtype(block.conv0[1])


def encode_sheet(reference: Tensor, features: Sequence[Tensor]) -> EncodedSheet:
    """Encode a sheet from its views and the parser's features of them.

    ``reference`` [B, V, 4, S, S]: RGBA, colours times alpha. ``features`` [B, V, C, s, s]: coarse to fine.
    """
    batch, count = reference.shape[:2]
    sizes = [feature.shape[3:] for feature in features]
    whole = reference.flatten(0, 1).float()
    small = [torch.unflatten(resize_bilinear(whole, size), 0, (batch, count)) for size in (*sizes, whole.shape[2:])]
    described = [torch.unflatten(to_nchw(feature.flatten(0, 1)), 0, (batch, count)) for feature in features]
    return EncodedSheet(small, described)


def _initial_views(code: EncodedSheet) -> _ViewState:
    """The first block's input: nothing is moved yet, and each view has only its own data."""
    reference = code.references[0].flatten(0, 1)
    flow = torch.zeros_like(reference[:, :2])
    return _ViewState(flow, reference, code.features[0].flatten(0, 1), None, flow, reference, None)


def _next_views(level: int, output: ShaderBlockOutput, flow: Tensor, code: EncodedSheet) -> tuple[_ViewState, Tensor]:
    """The next block's input, and the message that the views agree on."""
    count = code.references[0].shape[1]
    after = min(level + 1, LEVEL_COUNT - 1)
    size = code.references[after].shape[3:]
    message = warp_pixels(resize_bilinear(output.message, size), _resized_flow(output.message_flow, size))
    weights = _view_weights(resize_bilinear(output.mask, size), count)
    agreed = _sum_over_views(message, weights[:, _SHARED_MASKS:], count)
    if level == LEVEL_COUNT - 1:
        return _ViewState(flow, flow, None, None, flow, flow, None), agreed
    flow = _resized_flow(flow + output.flow, size)
    reference = warp_pixels(code.references[after].flatten(0, 1), flow)
    feature = warp_pixels(code.features[after].flatten(0, 1), flow) if after < len(code.features) else None
    local = warp_pixels(resize_bilinear(output.local, size), _resized_flow(output.local_flow, size))
    together = (_sum_over_views(part, weights[:, :1], count) for part in (flow, reference))
    all_flow, all_reference, all_message = (_repeat_per_view(part, count) for part in (*together, agreed))
    return _ViewState(flow, reference, feature, local, all_flow, all_reference, all_message), agreed


def _repeat_per_view(planes: Tensor, count: int) -> Tensor:
    """Repeat planes [B, C, h, w] for each of ``count`` views: [B V, C, h, w]."""
    return planes if count == 1 else planes.repeat_interleave(count, dim=0)


def _resized_flow(flow: Tensor, size: Sequence[int]) -> Tensor:
    """Resize a flow, in pixels, to another size and to the pixels of that size."""
    return flow if flow.shape[2:] == tuple(size) else resize_bilinear(flow, size) * (size[0] / flow.shape[2])


def _view_weights(mask: Tensor, count: int) -> Tensor:
    """The weights [B V, C, h, w] of the views: mask times softmax over the views. They need not sum to 1."""
    if count == 1:
        return mask
    shares = torch.softmax(torch.unflatten(mask, 0, (-1, count)), dim=1)
    return mask * shares.flatten(0, 1)


def _sum_over_views(planes: Tensor, weights: Tensor, count: int) -> Tensor:
    """The weighted sum over ``count`` views: [B, C, h, w]."""
    weighted = planes * weights
    return weighted if count == 1 else torch.unflatten(weighted, 0, (-1, count)).sum(dim=1)
