"""The parts of the compact model: the source's encoder, the meshes' geometry, warping and the decoder."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from livehead.models.blocks import Hourglass, ResBlock, SameBlock, relu, zero_parameters
from livehead.models.compact.face_surface import SOURCE_MAP_PLANES, SURFACE_PLANES, FaceSurface
from livehead.models.compact.motion_prior import TORSO_CANDIDATE, HeadMotionPrior, TorsoMotion
from livehead.models.compact.types import CompactSizes, MotionCues
from livehead.models.dagan.attention import CrossModalAttention
from livehead.models.dagan.dense_motion import blend_candidates
from livehead.models.grid import resize_flow, warp

BLEND_PLANES = slice(12, 16)
"""The last convolution's planes that hold the blend map, before the shuffle to full size; the others are colours."""

TORSO_PLANES = 5
"""Planes of the motion network's input: the photo's colours and mask moved with the torso, and whether it is known."""


class SourceAnalyzer(nn.Module):
    """Analyses the photo once: ``layers`` planes for the motion network, and coarse features that start at zero."""

    def __init__(self, sizes: CompactSizes) -> None:
        super().__init__()
        self.hourglass = Hourglass(4 * 16 + SOURCE_MAP_PLANES, sizes.reader, sizes.reader_largest, sizes.reader_depth)
        width = self.hourglass.out_channels
        self.layers = nn.Conv2d(width, sizes.layers, 3, padding=1)
        self.coarse = nn.Conv2d(width, sizes.coarse, 3, padding=1)
        zero_parameters(self.coarse)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Planes at S/4 and features at S/8 from the encoder's input ``x`` [B, 72, S/4, S/4]."""
        features = self.hourglass(x)
        return torch.tanh(self.layers(features)), self.coarse(F.avg_pool2d(features, 2))


class SourceEncoder(nn.Module):
    """Encodes appearance at S/4 and S/8 from colours and person mask [B, 4, S, S] and the mesh's source map at S/4."""

    def __init__(self, sizes: CompactSizes, reader: SourceAnalyzer) -> None:
        super().__init__()
        self.reader = reader
        self.first = SameBlock(4 * 16 + SOURCE_MAP_PLANES, sizes.middle)
        self.second = SameBlock(sizes.middle, sizes.middle)
        self.third = SameBlock(4 * sizes.middle, sizes.coarse)
        self.fourth = ResBlock(sizes.coarse)

    def forward(self, x: Tensor, source_map: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The analyzer's planes [B, layers, S/4, S/4], and features at S/4 and S/8."""
        x = torch.cat([F.pixel_unshuffle(x, 4), source_map], dim=1).to(self.first.conv.weight.dtype)
        layers, analysis = self.reader(x)
        middle = self.second(self.first(x))
        return layers, middle, self.fourth(self.third(F.pixel_unshuffle(middle, 2))) + analysis


class MeshGeometry(nn.Module):
    """Computes the motion network's input from the meshes. It has no weights, and takes and returns tensors only."""

    def __init__(self, surface: FaceSurface, prior: HeadMotionPrior) -> None:
        super().__init__()
        self.surface = surface
        self.prior = prior

    def forward(self, source_map: Tensor, points: Tensor, driving: Tensor, *torso: Tensor) -> MotionCues:
        """The cues for a source's map and mesh [B, 478, 3], a driving mesh and the tensors of a ``TorsoMotion``."""
        height, width = source_map.shape[2:]
        driven = TorsoMotion(*torso)
        skin = self.surface(driving, points, 2 * height)
        planes = F.avg_pool2d(skin.planes, 2)
        prior = self.prior(driving, points, planes[:, :1], driven)
        guess = torch.softmax(prior.logits, dim=1)
        near = resize_flow(skin.flow, height, width) * guess[:, -1, :, :, None]
        moved = warp(source_map, blend_candidates(guess[:, :-1], prior.displacements) + near)  # trains the layers
        everywhere = torch.ones_like(guess[:, :1])
        turned, leant = (
            warp(source_map[:, :4], blend_candidates(everywhere, prior.displacements[:, which : which + 1]))
            for which in (1, TORSO_CANDIDATE)
        )
        known = everywhere * driven.known[:, None, None, None]
        network_input = torch.cat([source_map, moved, turned, planes, leant, known], dim=1)
        return MotionCues(network_input, prior.logits, prior.displacements, skin.planes, skin.flow)


class FlowComposer(nn.Module):
    """Composes the flow from masks and candidates. It has no weights."""

    def forward(self, mask: Tensor, residual: Tensor, displacements: Tensor, skin_flow: Tensor) -> Tensor:
        """The flow [B, S/2, S/2, 2] from fields of ``MotionMasks`` and ``MotionCues``."""
        height, width = skin_flow.shape[1:3]
        rest = blend_candidates(mask[:, :-1], displacements) + residual
        share = F.interpolate(mask[:, -1:], scale_factor=2, mode="bilinear", align_corners=False)
        return resize_flow(rest, height, width) + share.movedim(1, -1) * skin_flow


class SourceWarper(nn.Module):
    """Warps a source along a flow. It has no weights."""

    def forward(self, image: Tensor, middle: Tensor, coarse: Tensor, flow: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Warp three fields of a ``CompactEncodedSource``, each along ``flow`` [B, S/2, S/2, 2]."""
        side = image.shape[-1]
        return (
            warp(image, resize_flow(flow, side, side)),
            warp(middle, resize_flow(flow, side // 4, side // 4)),
            warp(coarse, resize_flow(flow, side // 8, side // 8)),
        )


class CompactDecoder(nn.Module):
    """Decodes warped features to colours and the blend map."""

    def __init__(self, sizes: CompactSizes, attention: CrossModalAttention) -> None:
        super().__init__()
        self.guide = SameBlock(SURFACE_PLANES, sizes.attention)
        self.attention = attention
        self.enter = SameBlock(sizes.coarse + sizes.attention, sizes.coarse)
        self.bottleneck = nn.Sequential(*(ResBlock(sizes.coarse) for _ in range(sizes.residuals)))
        self.rise = nn.Conv2d(sizes.coarse, sizes.middle, 3, padding=1)
        self.join = SameBlock(2 * sizes.middle + SURFACE_PLANES, sizes.middle)
        self.refine = ResBlock(sizes.middle)
        self.last_rise = nn.Conv2d(sizes.middle, sizes.fine, 3, padding=1)
        self.look = nn.Conv2d(12 + SURFACE_PLANES, sizes.fine, 3, padding=1)
        self.finish = nn.Conv2d(sizes.fine, sizes.fine, 3, padding=1)
        self.final = nn.Conv2d(sizes.fine, 16, 3, padding=1)
        zero_parameters(self.final)
        assert self.final.bias is not None
        nn.init.constant_(self.final.bias[BLEND_PLANES], 3.0)  # the blend starts at 0.95 of the warped photo

    def forward(
        self,
        middle: Tensor,
        coarse: Tensor,
        warped: Tensor,
        occlusion: Tensor,
        surface: Tensor,
        key: Tensor,
        value: Tensor,
    ) -> Tensor:
        """Logits of colours and blend map [B, 4, S, S].

        They come from warped features and photo [B, 3, S, S], a motion field's occlusion and surface, and the
        attention's key and value.
        """
        near, far = torch.split(occlusion.to(coarse.dtype), 1, dim=1)
        surface = surface.to(coarse.dtype, memory_format=torch.channels_last)
        at_middle = F.avg_pool2d(surface, 2)
        guide = self.guide(F.avg_pool2d(at_middle, 2))
        recalled = self.attention.attend(F.avg_pool2d(guide, 2), (key, value))
        x = coarse * F.avg_pool2d(far, 2) + F.interpolate(recalled, scale_factor=2, mode="nearest")
        x = self.bottleneck(self.enter(torch.cat([x, guide], dim=1)))
        x = F.interpolate(self.rise(x), scale_factor=2, mode="nearest")
        x = self.refine(self.join(torch.cat([x, middle * near, at_middle], dim=1)))
        x = F.interpolate(self.last_rise(relu(x)), scale_factor=2, mode="nearest")
        photo = F.pixel_unshuffle(warped - 0.5, 2).to(x.dtype, memory_format=torch.channels_last)
        x = relu(x + self.look(torch.cat([photo, surface], dim=1)))
        x = relu(x + self.finish(x))
        return F.pixel_shuffle(self.final(x), 2)
