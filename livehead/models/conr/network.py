"""CoNR as a whole (Lin et al., "Collaborative Neural Rendering Using Anime Character Sheets", IJCAI 2023).

``encode`` does once what the character sheet alone decides, ``aim`` what the target pose alone does, ``draw`` the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from livehead.models.conr.decoder import RgbaDecoder
from livehead.models.conr.encoders import DensePoseParser, TargetPoseEncoder
from livehead.models.conr.shader import LEVEL_COUNT, ConrShader, EncodedSheet, encode_sheet


class ShaderDecoder(nn.Module):
    """What a frame costs: the views' agreement and the picture that is made of it. Takes and gives tensors only, so
    that it can be compiled as a whole."""

    def __init__(self, shader: ConrShader, decoder: RgbaDecoder) -> None:
        super().__init__()
        self.shader = shader
        self.decoder = decoder

    def forward(self, *known: Tensor) -> Tensor:
        """``known``: a sheet's references, its features, and as many of the target, as ``Conr.draw`` has them. Gives
        RGBA [B, 4, S, S] in [0, 1], float32, straight alpha."""
        references, described = known[:LEVEL_COUNT], known[LEVEL_COUNT:]
        features, target = described[: len(described) // 2], described[len(described) // 2 :]
        return self.decoder(self.shader.aggregate_views(EncodedSheet(list(references), list(features)), target))


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
        """The third of the four."""
        return self.drawing.shader

    def encode_views(self, views: Tensor) -> EncodedSheet:
        """Of a sheet's ``views`` [B, V, 4, S, S], RGBA in [0, 1], colours times alpha.

        The shader's references carry alpha squared in their soft edges, as in training: what the loader multiplied by
        alpha was multiplied once more.
        """
        return _encode_described_views(views, self.parser.extract_features(views[:, :, :3].flatten(0, 1)))

    def encode_pose(self, pose: Tensor) -> list[Tensor]:
        """Of ultra-dense poses [B, 4, S, S] in [0, 1]: X, Y, Z, visibility."""
        return self.pose(mask_by_visibility(pose))

    def render(self, code: EncodedSheet, target: Sequence[Tensor]) -> Tensor:
        """RGBA [B, 4, S, S] in [0, 1], float32, straight alpha (the published picture is this, colours times alpha)."""
        return self.drawing(*code.references, *code.features, *target)

    def forward(self, views: Tensor, pose: Tensor) -> Tensor:
        """As the published call: everything anew, the parser's own pose, which nobody asked for, included."""
        parsed = self.parser(views[:, :, :3].flatten(0, 1))
        return self.render(_encode_described_views(views, parsed.features), self.encode_pose(pose))


def _encode_described_views(views: Tensor, features: Sequence[Tensor]) -> EncodedSheet:
    """``features`` are the parser's, of all views as one batch."""
    colour, alpha = views[:, :, :3], views[:, :, 3:]
    reference = torch.cat([colour * alpha, alpha], dim=2)
    return encode_sheet(reference, [feature.unflatten(0, views.shape[:2]) for feature in features])


def mask_by_visibility(pose: Tensor) -> Tensor:
    """What the pose encoder looks at: coordinates only where something is seen."""
    return torch.cat([pose[:, :3] * pose[:, 3:], pose[:, 3:]], dim=1)


def stack_sheets(codes: Sequence[EncodedSheet]) -> EncodedSheet:
    """Several sheets with equally many views as one batch."""
    if len(codes) == 1:
        return codes[0]
    return EncodedSheet(
        [torch.cat(each) for each in zip(*(code.references for code in codes), strict=True)],
        [torch.cat(each) for each in zip(*(code.features for code in codes), strict=True)],
    )
