"""The compact model (``compact``): a depth-aware generator for two CPU cores, made of DaGAN's parts.

It differs from the published model in three points: key points and depth come from a face mesh, so neither a detector
nor a depth network runs; the flow corrects a prior instead of starting from nothing; and the output is mostly the photo
itself, ``a * warped photo + (1 - a) * generated``, so that it keeps the photo's sharpness at any size.

A picture of side S has flow and occlusion at S/4 (skin at S/2), features at S/4 and S/8, attention at S/16, and the
last layers at S/2, whose planes are shuffled to S.

All that depends on the photo alone is computed once and costs nothing a frame. So the photo has a network of its own,
``SourceAnalyzer``: it tells hair, shoulders and background apart and predicts what lies behind them, and the networks
of a frame warp its result instead of computing it anew.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from livehead.models.compact.layers import CompactDecoder, FlowComposer, MeshGeometry, SourceEncoder, SourceWarper
from livehead.models.compact.motion_prior import TorsoMotion
from livehead.models.compact.types import CompactEncodedSource, CompactMotionField, CompactOutput
from livehead.models.dagan.dense_motion import DenseMotion


class CompactGenerator(nn.Module):
    """The whole model, made of the parts that ``build_compact`` builds."""

    def __init__(
        self, geometry: MeshGeometry, encoder: SourceEncoder, motion: DenseMotion, decoder: CompactDecoder
    ) -> None:
        super().__init__()
        self.geometry = geometry
        self.encoder = encoder
        self.motion = motion
        self.flow_composer = FlowComposer()
        self.source_warper = SourceWarper()
        self.decoder = decoder

    def encode(self, image: Tensor, mask: Tensor, points: Tensor) -> CompactEncodedSource:
        """Encode a source ``image`` [B, 3, S, S] RGB in [0, 1].

        ``mask`` [B, 1, S, S] in [0, 1]: where the person is; ``points`` [B, 478, 3]: the face mesh.
        """
        side = image.shape[-1]
        masked = torch.cat([image, mask], dim=1) - 0.5
        mesh = self.geometry.surface.source_map(points, side // 4)
        layers, middle, coarse = self.encoder(masked, mesh)
        source_map = torch.cat([F.avg_pool2d(masked, 4), mesh, layers.to(mesh.dtype)], dim=1)
        keys_values = self.decoder.attention.project_keys_values(F.avg_pool2d(coarse, 2))
        return CompactEncodedSource(image, points, source_map, middle, coarse, keys_values)

    def predict_motion(
        self, source: CompactEncodedSource, driving: Tensor, torso: TorsoMotion | None = None
    ) -> CompactMotionField:
        """The motion field for a driving mesh [B, 478, 3], and the torso's motion where it is known."""
        known = TorsoMotion.unknown(driving) if torso is None else torso
        cues = self.geometry(source.source_map, source.points, driving, *known)
        masks = self.motion(cues.network_input, cues.logits)
        flow = self.flow_composer(masks.mask, masks.residual, cues.displacements, cues.skin_flow)
        return CompactMotionField(flow, masks.occlusion, cues.surface, masks.mask)

    def decode(self, source: CompactEncodedSource, field: CompactMotionField) -> CompactOutput:
        """Draw the source along a motion field."""
        warped, middle, coarse = self.source_warper(source.image, source.middle, source.coarse, field.flow)
        logits = self.decoder(middle, coarse, warped, field.occlusion, field.surface, *source.keys_values)
        planes = torch.sigmoid(logits.float())
        generated, alpha = planes[:, :3], planes[:, 3:]
        return CompactOutput(warped, generated, alpha, field)

    def forward(
        self, image: Tensor, mask: Tensor, points: Tensor, driving: Tensor, torso: TorsoMotion | None = None
    ) -> CompactOutput:
        """Draw a source, given as to ``encode``, for a ``driving`` mesh [B, 478, 3] and the torso's motion."""
        source = self.encode(image, mask, points)
        return self.decode(source, self.predict_motion(source, driving, torso))


def stack_sources(codes: Sequence[CompactEncodedSource]) -> CompactEncodedSource:
    """Stack several sources to one batch."""
    if len(codes) == 1:
        return codes[0]
    return CompactEncodedSource(
        image=torch.cat([code.image for code in codes]),
        points=torch.cat([code.points for code in codes]),
        source_map=torch.cat([code.source_map for code in codes]),
        middle=torch.cat([code.middle for code in codes]),
        coarse=torch.cat([code.coarse for code in codes]),
        keys_values=(
            torch.cat([code.keys_values[0] for code in codes]),
            torch.cat([code.keys_values[1] for code in codes]),
        ),
    )
