"""Builds the compact model from its sizes."""

from __future__ import annotations

from livehead.models.blocks import Hourglass
from livehead.models.compact.face_surface import SOURCE_MAP_PLANES, SURFACE_PLANES, FaceSurface
from livehead.models.compact.layers import (
    TORSO_PLANES,
    CompactDecoder,
    MeshGeometry,
    SourceAnalyzer,
    SourceEncoder,
)
from livehead.models.compact.motion_prior import CANDIDATE_COUNT, HeadMotionPrior
from livehead.models.compact.network import CompactGenerator
from livehead.models.compact.types import CompactSizes
from livehead.models.dagan.attention import CrossModalAttention
from livehead.models.dagan.dense_motion import DenseMotion


def build_compact(sizes: CompactSizes | None = None) -> CompactGenerator:
    """Build the model with random weights."""
    sizes = sizes or CompactSizes()
    input_planes = 2 * (4 + SOURCE_MAP_PLANES + sizes.layers) + 4 + SURFACE_PLANES + TORSO_PLANES
    hourglass = Hourglass(input_planes, sizes.motion, sizes.motion_largest, sizes.motion_depth)
    attention = CrossModalAttention(sizes.attention, sizes.coarse, sizes.attention)
    return CompactGenerator(
        MeshGeometry(FaceSurface(), HeadMotionPrior()),
        SourceEncoder(sizes, SourceAnalyzer(sizes)),
        DenseMotion(hourglass, CANDIDATE_COUNT, occlusions=2, kernel=3, refines_prior=True),
        CompactDecoder(sizes, attention),
    )
