"""CoNR as a whole (Lin et al., "Collaborative Neural Rendering Using Anime Character Sheets", IJCAI 2023).

``encode`` does once what the character sheet alone decides, ``aim`` what the target pose alone does, ``draw`` the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from livehead.models.conr.decoder import RgbaDecoder
from livehead.models.conr.pyramid import TargetPoseEncoder, UdpParser
from livehead.models.conr.shader import LEVELS, Shader, SheetCode, encode_sheet


class Drawing(nn.Module):
    """What a frame costs: the views' agreement and the picture that is made of it. Takes and gives tensors only, so
    that it can be compiled as a whole."""

    def __init__(self, shader: Shader, decoder: RgbaDecoder) -> None:
        super().__init__()
        self.shader = shader
        self.decoder = decoder

    def forward(self, *known: Tensor) -> Tensor:
        """``known``: a sheet's references, its features, and as many of the target, as ``Conr.draw`` has them. Gives
        RGBA [B, 4, S, S] in [0, 1], float32, straight alpha."""
        references, described = known[:LEVELS], known[LEVELS:]
        features, target = described[: len(described) // 2], described[len(described) // 2 :]
        return self.decoder(self.shader.agree(SheetCode(list(references), list(features)), target))


class Conr(nn.Module):
    """The four published networks together. S, the side of all pictures, is a multiple of 128."""

    def __init__(self, parser: UdpParser, pose: TargetPoseEncoder, shader: Shader, decoder: RgbaDecoder) -> None:
        super().__init__()
        self.parser = parser
        self.pose = pose
        self.drawing = Drawing(shader, decoder)

    @property
    def shader(self) -> Shader:
        """The third of the four."""
        return self.drawing.shader

    def encode(self, views: Tensor) -> SheetCode:
        """Of a sheet's ``views`` [B, V, 4, S, S], RGBA in [0, 1], colours times alpha.

        The shader's references carry alpha squared in their soft edges, as in training: what the loader multiplied by
        alpha was multiplied once more.
        """
        return _described(views, self.parser.features(views[:, :, :3].flatten(0, 1)))

    def aim(self, pose: Tensor) -> list[Tensor]:
        """Of ultra-dense poses [B, 4, S, S] in [0, 1]: X, Y, Z, visibility."""
        return self.pose(target_of(pose))

    def draw(self, code: SheetCode, target: Sequence[Tensor]) -> Tensor:
        """RGBA [B, 4, S, S] in [0, 1], float32, straight alpha (the published picture is this, colours times alpha)."""
        return self.drawing(*code.references, *code.features, *target)

    def forward(self, views: Tensor, pose: Tensor) -> Tensor:
        """As the published call: everything anew, the parser's own pose, which nobody asked for, included."""
        parsed = self.parser(views[:, :, :3].flatten(0, 1))
        return self.draw(_described(views, parsed.features), self.aim(pose))


def _described(views: Tensor, features: Sequence[Tensor]) -> SheetCode:
    """``features`` are the parser's, of all views as one batch."""
    colour, alpha = views[:, :, :3], views[:, :, 3:]
    reference = torch.cat([colour * alpha, alpha], dim=2)
    return encode_sheet(reference, [feature.unflatten(0, views.shape[:2]) for feature in features])


def target_of(pose: Tensor) -> Tensor:
    """What the pose encoder looks at: coordinates only where something is seen."""
    return torch.cat([pose[:, :3] * pose[:, 3:], pose[:, 3:]], dim=1)


def join_sheets(codes: Sequence[SheetCode]) -> SheetCode:
    """Several sheets with equally many views as one batch."""
    if len(codes) == 1:
        return codes[0]
    return SheetCode(
        [torch.cat(each) for each in zip(*(code.references for code in codes), strict=True)],
        [torch.cat(each) for each in zip(*(code.features for code in codes), strict=True)],
    )
