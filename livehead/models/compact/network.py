"""``compact``: a depth-aware generator for two CPU cores, built of DaGAN's parts.

What differs from the published model: key points and depth come from a face mesh, so neither a detector nor a depth
network runs; the flow corrects a prior instead of starting from nothing; and the output is mostly the photo itself,
``a * warped photo + (1 - a) * generated``, so that it keeps the photo's sharpness at any size.

A picture of side S: flow and occlusion at S/4 (skin at S/2), features at S/4 and S/8, attention at S/16, the last
layers at S/2, whose planes are shuffled to S.

What depends on the photo alone is drawn once and costs nothing a frame. So the photo gets a network of its own, the
``SourceReader``: it tells hair from shoulders from background and guesses what lies behind, and the networks of a frame
look that up instead of finding it out anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from livehead.models.blocks import Hourglass, ResBlock, SameBlock, relu
from livehead.models.compact.face_surface import SOURCE_MAP_PLANES, SURFACE_PLANES, FaceSurface
from livehead.models.compact.motion_prior import CANDIDATE_COUNT, TORSO_CANDIDATE, HeadMotionPrior, TorsoMotion
from livehead.models.dagan.attention import CrossModalAttention
from livehead.models.dagan.dense_motion import DenseMotion, blend_candidates
from livehead.models.grid import resize_flow, warp

BLEND_PLANES = slice(12, 16)
"""Of the last convolution's planes: the blend map's, before they are shuffled to full size; the others are colours."""

TORSO_PLANES = 5
"""The photo's colours and person moved with the torso, and whether it is known."""


@dataclass(frozen=True)
class CompactSizes:
    """Widths: ``fine`` at S/2, ``middle`` at S/4, ``coarse`` at S/8; ``motion``, ``motion_depth``: the hourglass.

    ``layers``: planes that the reader of the photo adds to what the motion network sees; ``reader...``: its hourglass.
    """

    fine: int = 32
    middle: int = 64
    coarse: int = 128
    residuals: int = 3
    attention: int = 32
    motion: int = 32
    motion_largest: int = 128
    motion_depth: int = 3
    layers: int = 12
    reader: int = 40
    reader_largest: int = 160
    reader_depth: int = 4


class CompactEncodedSource(NamedTuple):
    """All that depends on the source alone.

    ``card`` [B, 12 + layers, S/4, S/4]: colours, person mask, mesh, and what the reader tells of every place.
    """

    image: Tensor
    points: Tensor
    source_map: Tensor
    middle: Tensor
    coarse: Tensor
    keys_values: tuple[Tensor, Tensor]


class CompactMotionField(NamedTuple):
    """``flow`` [B, S/2, S/2, 2]; ``occlusion`` [B, 2, S/4, S/4]; ``surface`` planes [B, 12, S/2, S/2]; ``mask``."""

    flow: Tensor
    occlusion: Tensor
    surface: Tensor
    mask: Tensor


class MotionCues(NamedTuple):
    """What is known of a motion before a network has looked.

    ``seen`` [B, 45 + 2 layers, S/4, S/4]: what the motion network is to look at; ``logits`` and ``displacements``: the
    prior; ``planes`` [B, 12, S/2, S/2] and ``skin_flow`` [B, S/2, S/2, 2]: the skin's.
    """

    seen: Tensor
    logits: Tensor
    displacements: Tensor
    planes: Tensor
    skin_flow: Tensor


class CompactOutput(NamedTuple):
    """``warped`` and ``generated`` [B, 3, S, S] RGB in [0, 1]; ``alpha`` [B, 1, S, S]: the warped photo's share."""

    warped: Tensor
    generated: Tensor
    alpha: Tensor
    field: CompactMotionField

    @property
    def image(self) -> Tensor:
        """The two blended, [B, 3, S, S]."""
        return torch.lerp(self.generated, self.warped, self.alpha)


class SourceAnalyzer(nn.Module):
    """Understands the photo, once: ``layers`` planes for the motion network, and coarse features, zero at first."""

    def __init__(self, sizes: CompactSizes) -> None:
        super().__init__()
        self.hourglass = Hourglass(4 * 16 + SOURCE_MAP_PLANES, sizes.reader, sizes.reader_largest, sizes.reader_depth)
        width = self.hourglass.out_channels
        self.layers = nn.Conv2d(width, sizes.layers, 3, padding=1)
        self.coarse = nn.Conv2d(width, sizes.coarse, 3, padding=1)
        nn.init.zeros_(self.coarse.weight)
        nn.init.zeros_(self.coarse.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Of what the encoder sees, [B, 72, S/4, S/4]: layers at S/4, features at S/8."""
        read = self.hourglass(x)
        return torch.tanh(self.layers(read)), self.coarse(F.avg_pool2d(read, 2))


class SourceEncoder(nn.Module):
    """Appearance at S/4 and S/8 from colours and person mask [B, 4, S, S] (and the mesh's card at S/4)."""

    def __init__(self, sizes: CompactSizes, reader: SourceAnalyzer) -> None:
        super().__init__()
        self.reader = reader
        self.first = SameBlock(4 * 16 + SOURCE_MAP_PLANES, sizes.middle)
        self.second = SameBlock(sizes.middle, sizes.middle)
        self.third = SameBlock(4 * sizes.middle, sizes.coarse)
        self.fourth = ResBlock(sizes.coarse)

    def forward(self, x: Tensor, source_map: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The reader's layers [B, layers, S/4, S/4]; features at S/4 and S/8."""
        x = torch.cat([F.pixel_unshuffle(x, 4), source_map], dim=1).to(self.first.conv.weight.dtype)
        layers, told = self.reader(x)
        middle = self.second(self.first(x))
        return layers, middle, self.fourth(self.third(F.pixel_unshuffle(middle, 2))) + told


class MeshGeometry(nn.Module):
    """What meshes alone tell; no weights. It takes and returns tensors only."""

    def __init__(self, surface: FaceSurface, prior: HeadMotionPrior) -> None:
        super().__init__()
        self.surface = surface
        self.prior = prior

    def forward(self, source_map: Tensor, points: Tensor, driving: Tensor, *torso: Tensor) -> MotionCues:
        """A source's ``card`` and mesh [B, 478, 3], a driving mesh and the three tensors of a ``TorsoMotion``."""
        height, width = source_map.shape[2:]
        driven = TorsoMotion(*torso)
        skin = self.surface(driving, points, 2 * height)
        planes = F.avg_pool2d(skin.planes, 2)
        prior = self.prior(driving, points, planes[:, :1], driven)
        guess = torch.softmax(prior.logits, dim=1)
        near = resize_flow(skin.flow, height, width) * guess[:, -1, :, :, None]
        moved = warp(
            source_map, blend_candidates(guess[:, :-1], prior.displacements) + near
        )  # differentiable in the layers
        everywhere = torch.ones_like(guess[:, :1])
        turned, leant = (
            warp(source_map[:, :4], blend_candidates(everywhere, prior.displacements[:, which : which + 1]))
            for which in (1, TORSO_CANDIDATE)
        )
        known = everywhere * driven.known[:, None, None, None]
        seen = torch.cat([source_map, moved, turned, planes, leant, known], dim=1)
        return MotionCues(seen, prior.logits, prior.displacements, skin.planes, skin.flow)


class FlowComposer(nn.Module):
    """The flow that masks choose; no weights."""

    def forward(self, mask: Tensor, residual: Tensor, displacements: Tensor, skin_flow: Tensor) -> Tensor:
        """Of a ``MotionMasks`` and a ``Sight``: [B, S/2, S/2, 2]."""
        height, width = skin_flow.shape[1:3]
        rest = blend_candidates(mask[:, :-1], displacements) + residual
        share = F.interpolate(mask[:, -1:], scale_factor=2, mode="bilinear", align_corners=False)
        return resize_flow(rest, height, width) + share.movedim(1, -1) * skin_flow


class SourceWarper(nn.Module):
    """A source along a flow; no weights."""

    def forward(self, image: Tensor, middle: Tensor, coarse: Tensor, flow: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The three of a ``SourceCode``, each along ``flow`` [B, S/2, S/2, 2]."""
        side = image.shape[-1]
        return (
            warp(image, resize_flow(flow, side, side)),
            warp(middle, resize_flow(flow, side // 4, side // 4)),
            warp(coarse, resize_flow(flow, side // 8, side // 8)),
        )


class CompactDecoder(nn.Module):
    """Warped features to colours and the blend map."""

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
        nn.init.zeros_(self.final.weight)
        nn.init.zeros_(self.final.bias)
        nn.init.constant_(self.final.bias[BLEND_PLANES], 3.0)  # starts at 0.95 of the warped photo

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
        """From warped features and photo [B, 3, S, S], a field's two maps, the attention's memory.

        Returns logits of colours and blend [B, 4, S, S].
        """
        near, far = occlusion.to(coarse.dtype).split(1, dim=1)
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


class CompactGenerator(nn.Module):
    """The whole model; parts are injected by ``build_compact``."""

    def __init__(
        self, geometry: MeshGeometry, encoder: SourceEncoder, motion: DenseMotion, decoder: CompactDecoder
    ) -> None:
        super().__init__()
        self.geometry = geometry
        self.encoder = encoder
        self.motion = motion
        self.course = FlowComposer()
        self.carriage = SourceWarper()
        self.decoder = decoder

    def encode(self, image: Tensor, mask: Tensor, points: Tensor) -> CompactEncodedSource:
        """Source ``image`` [B, 3, S, S] RGB in [0, 1], person ``mask`` [B, 1, S, S] in [0, 1], mesh [B, 478, 3]."""
        side = image.shape[-1]
        seen = torch.cat([image, mask], dim=1) - 0.5
        mesh = self.geometry.surface.source_map(points, side // 4)
        layers, middle, coarse = self.encoder(seen, mesh)
        card = torch.cat([F.avg_pool2d(seen, 4), mesh, layers.to(mesh.dtype)], dim=1)
        return CompactEncodedSource(
            image, points, card, middle, coarse, self.decoder.attention.project_keys_values(F.avg_pool2d(coarse, 2))
        )

    def predict_motion(
        self, source: CompactEncodedSource, driving: Tensor, torso: TorsoMotion | None = None
    ) -> CompactMotionField:
        """Where everything goes for a driving mesh [B, 478, 3] and what is known of the torso."""
        known = TorsoMotion.unknown(driving) if torso is None else torso
        sight = self.geometry(source.source_map, source.points, driving, *known)
        masks = self.motion(sight.seen, sight.logits)
        flow = self.course(masks.mask, masks.residual, sight.displacements, sight.skin_flow)
        return CompactMotionField(flow, masks.occlusion, sight.planes, masks.mask)

    def decode(self, source: CompactEncodedSource, field: CompactMotionField) -> CompactOutput:
        """Draw the source along a motion field."""
        warped, middle, coarse = self.carriage(source.image, source.middle, source.coarse, field.flow)
        logits = self.decoder(middle, coarse, warped, field.occlusion, field.surface, *source.keys_values)
        planes = torch.sigmoid(logits.float())
        generated, alpha = planes[:, :3], planes[:, 3:]
        return CompactOutput(warped, generated, alpha, field)

    def forward(
        self, image: Tensor, mask: Tensor, points: Tensor, driving: Tensor, torso: TorsoMotion | None = None
    ) -> CompactOutput:
        """Source as in ``encode``; ``driving`` mesh [B, 478, 3] and what is known of the torso."""
        source = self.encode(image, mask, points)
        return self.decode(source, self.predict_motion(source, driving, torso))


def stack_sources(codes: Sequence[CompactEncodedSource]) -> CompactEncodedSource:
    """Several sources as one batch."""
    if len(codes) == 1:
        return codes[0]
    image, points, card, middle, coarse = (torch.cat([code[i] for code in codes]) for i in range(5))
    key, value = (torch.cat([code.keys_values[i] for code in codes]) for i in range(2))
    return CompactEncodedSource(image, points, card, middle, coarse, (key, value))


def build_compact(sizes: CompactSizes | None = None) -> CompactGenerator:
    """The one place where the model's sizes meet."""
    sizes = sizes or CompactSizes()
    seen = 2 * (4 + SOURCE_MAP_PLANES + sizes.layers) + 4 + SURFACE_PLANES + TORSO_PLANES
    hourglass = Hourglass(seen, sizes.motion, sizes.motion_largest, sizes.motion_depth)
    attention = CrossModalAttention(sizes.attention, sizes.coarse, sizes.attention)
    return CompactGenerator(
        MeshGeometry(FaceSurface(), HeadMotionPrior()),
        SourceEncoder(sizes, SourceAnalyzer(sizes)),
        DenseMotion(hourglass, CANDIDATE_COUNT, occlusions=2, kernel=3, refines_prior=True),
        CompactDecoder(sizes, attention),
    )
