"""Builds CoNR's published networks from their sizes."""

from __future__ import annotations

from dataclasses import dataclass, field

from livehead.models.conr.decoder import RgbaDecoder
from livehead.models.conr.encoders import UP_WIDTHS, DensePoseParser, TargetPoseEncoder
from livehead.models.conr.network import ConrNetwork
from livehead.models.conr.shader import ConrShader, ShaderSizes


@dataclass(frozen=True)
class ConrSizes:
    """Widths of CoNR's networks: ``width`` of the encoders' finest map, ``up_widths`` of their upward blocks."""

    width: int = 64
    up_widths: tuple[int, ...] = UP_WIDTHS
    shader: ShaderSizes = field(default_factory=ShaderSizes)


def build_dense_pose_parser(sizes: ConrSizes | None = None) -> DensePoseParser:
    """Build the published ``udpparsernet``."""
    sizes = sizes or ConrSizes()
    return DensePoseParser(sizes.width, sizes.up_widths)


def build_pose_encoder(sizes: ConrSizes | None = None) -> TargetPoseEncoder:
    """Build the published ``target_pose_encoder``."""
    sizes = sizes or ConrSizes()
    return TargetPoseEncoder(sizes.width, sizes.up_widths)


def build_shader(sizes: ConrSizes | None = None) -> ConrShader:
    """Build the published ``shader``."""
    return ConrShader((sizes or ConrSizes()).shader)


def build_decoder(sizes: ConrSizes | None = None) -> RgbaDecoder:
    """Build the published ``rgbadecodernet``."""
    return RgbaDecoder((sizes or ConrSizes()).shader.messages[-1])


def build_conr(sizes: ConrSizes | None = None) -> ConrNetwork:
    """Build all four networks."""
    return ConrNetwork(
        build_dense_pose_parser(sizes), build_pose_encoder(sizes), build_shader(sizes), build_decoder(sizes)
    )
