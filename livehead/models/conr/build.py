"""The one place where CoNR's published sizes meet."""

from __future__ import annotations

from dataclasses import dataclass, field

from livehead.models.conr.decoder import RgbaDecoder
from livehead.models.conr.encoders import UP_WIDTHS, DensePoseParser, TargetPoseEncoder
from livehead.models.conr.network import ConrNetwork
from livehead.models.conr.shader import ConrShader, ShaderSizes


@dataclass(frozen=True)
class ConrSizes:
    """``width``: of the encoders' finest map. ``rises``: of the parser's blocks upwards."""

    width: int = 64
    up_widths: tuple[int, ...] = UP_WIDTHS
    shader: ShaderSizes = field(default_factory=ShaderSizes)


def build_dense_pose_parser(sizes: ConrSizes | None = None) -> DensePoseParser:
    """``udpparsernet``."""
    sizes = sizes or ConrSizes()
    return DensePoseParser(sizes.width, sizes.up_widths)


def build_pose_encoder(sizes: ConrSizes | None = None) -> TargetPoseEncoder:
    """``target_pose_encoder``."""
    sizes = sizes or ConrSizes()
    return TargetPoseEncoder(sizes.width, sizes.up_widths)


def build_shader(sizes: ConrSizes | None = None) -> ConrShader:
    """``shader``."""
    return ConrShader((sizes or ConrSizes()).shader)


def build_decoder(sizes: ConrSizes | None = None) -> RgbaDecoder:
    """``rgbadecodernet``."""
    return RgbaDecoder((sizes or ConrSizes()).shader.messages[-1])


def build_conr(sizes: ConrSizes | None = None) -> ConrNetwork:
    """All four."""
    return ConrNetwork(
        build_dense_pose_parser(sizes), build_pose_encoder(sizes), build_shader(sizes), build_decoder(sizes)
    )
