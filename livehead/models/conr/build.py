"""The one place where CoNR's published sizes meet."""

from __future__ import annotations

from dataclasses import dataclass, field

from livehead.models.conr.decoder import RgbaDecoder
from livehead.models.conr.network import Conr
from livehead.models.conr.pyramid import RISES, TargetPoseEncoder, UdpParser
from livehead.models.conr.shader import Shader, ShaderSizes


@dataclass(frozen=True)
class ConrSizes:
    """``width``: of the encoders' finest map. ``rises``: of the parser's blocks upwards."""

    width: int = 64
    rises: tuple[int, ...] = RISES
    shader: ShaderSizes = field(default_factory=ShaderSizes)


def build_parser(sizes: ConrSizes | None = None) -> UdpParser:
    """``udpparsernet``."""
    sizes = sizes or ConrSizes()
    return UdpParser(sizes.width, sizes.rises)


def build_pose_encoder(sizes: ConrSizes | None = None) -> TargetPoseEncoder:
    """``target_pose_encoder``."""
    sizes = sizes or ConrSizes()
    return TargetPoseEncoder(sizes.width, sizes.rises)


def build_shader(sizes: ConrSizes | None = None) -> Shader:
    """``shader``."""
    return Shader((sizes or ConrSizes()).shader)


def build_decoder(sizes: ConrSizes | None = None) -> RgbaDecoder:
    """``rgbadecodernet``."""
    return RgbaDecoder((sizes or ConrSizes()).shader.messages[-1])


def build_conr(sizes: ConrSizes | None = None) -> Conr:
    """All four."""
    return Conr(build_parser(sizes), build_pose_encoder(sizes), build_shader(sizes), build_decoder(sizes))
