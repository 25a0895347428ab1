"""CoNR as a whole (Lin et al., "Collaborative Neural Rendering Using Anime Character Sheets", IJCAI 2023).

``encode_views`` computes, once, all that depends on the character sheet alone; ``encode_pose`` all that depends on the
target pose alone; ``render`` the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from livehead.models.conr.decoder import RgbaDecoder
from livehead.models.conr.encoders import DensePoseParser, TargetPoseEncoder
from livehead.models.conr.shader import LEVEL_COUNT, ConrShader, EncodedSheet, encode_sheet


class ShaderDecoder(nn.Module):
    """Shader and decoder together: most of what a frame costs.

    This part takes and returns tensors only, so that it can be compiled as a whole.
    """

    def __init__(self, shader: ConrShader, decoder: RgbaDecoder) -> None:
        super().__init__()
        self.shader = shader
        self.decoder = decoder

    def forward(self, *inputs: Tensor) -> Tensor:
        """RGBA [B, 4, S, S] in [0, 1], float32, straight alpha.

        ``inputs``: the six references of an ``EncodedSheet``, its features, and as many features of the target.
        """
        references, rest = inputs[:LEVEL_COUNT], inputs[LEVEL_COUNT:]
        features, target = rest[: len(rest) // 2], rest[len(rest) // 2 :]
        message = self.shader.aggregate_views(EncodedSheet(list(references), list(features)), target)
        rgba: Tensor = self.decoder(message)
        return rgba


class ConrNetwork(nn.Module):
    """The four published networks together. S, the side of all pictures, is a multiple of 128."""

    def __init__(
        self, parser: DensePoseParser, pose: TargetPoseEncoder, shader: ConrShader, decoder: RgbaDecoder
    ) -> None:
        super().__init__()
        self.parser = parser
        self.pose = pose
        self.drawing = ShaderDecoder(shader, decoder)

    @property
    def shader(self) -> ConrShader:
        """The shader, the third of the four networks."""
        return self.drawing.shader

    def encode_views(self, views: Tensor) -> EncodedSheet:
        """Encode a character sheet's ``views`` [B, V, 4, S, S], RGBA in [0, 1], colours times alpha.

        The shader's references carry alpha squared in their soft edges, as in training: what the loader multiplied by
        alpha was multiplied once more.
        """
        return _encode_described_views(views, self.parser.extract_features(views[:, :, :3].flatten(0, 1)))

    def encode_pose(self, pose: Tensor) -> list[Tensor]:
        """Encode ultra-dense poses [B, 4, S, S] in [0, 1]: X, Y, Z, visibility."""
        features: list[Tensor] = self.pose(mask_by_visibility(pose))  # by the call, which a compiled part stands in for
        return features

    def render(self, code: EncodedSheet, target: Sequence[Tensor]) -> Tensor:
        """RGBA [B, 4, S, S] in [0, 1], float32, straight alpha (the published picture is this, colours times alpha)."""
        rgba: Tensor = self.drawing(*code.references, *code.features, *target)
        return rgba

    def forward(self, views: Tensor, pose: Tensor) -> Tensor:
        """Do as the published call: everything is computed anew, the parser's own, unused pose included."""
        parsed = self.parser(views[:, :, :3].flatten(0, 1))
        return self.render(_encode_described_views(views, parsed.features), self.encode_pose(pose))


def _encode_described_views(views: Tensor, features: Sequence[Tensor]) -> EncodedSheet:
    """Encode views with the parser's ``features`` of them, which have all views as one batch."""
    colour, alpha = views[:, :, :3], views[:, :, 3:]
    reference = torch.cat([colour * alpha, alpha], dim=2)
    return encode_sheet(reference, [torch.unflatten(feature, 0, views.shape[:2]) for feature in features])


def mask_by_visibility(pose: Tensor) -> Tensor:
    """The pose encoder's input: the coordinates times visibility, and visibility."""
    return torch.cat([pose[:, :3] * pose[:, 3:], pose[:, 3:]], dim=1)


def stack_sheets(codes: Sequence[EncodedSheet]) -> EncodedSheet:
    """Stack several sheets with equally many views to one batch."""
    if len(codes) == 1:
        return codes[0]
    return EncodedSheet(
        [torch.cat(each) for each in zip(*(code.references for code in codes), strict=True)],
        [torch.cat(each) for each in zip(*(code.features for code in codes), strict=True)],
    )
