"""Builds the published networks from their sizes."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import nn

from livehead.models.openpose.layers import ConvPrelu, ConvRelu, vgg_trunk
from livehead.models.openpose.networks import (
    BranchNetwork,
    DenseNetwork,
    DenseStage,
    PointNetwork,
    first_stage,
    later_stage,
)
from livehead.models.openpose.skeletons import BODY_25, FACE_PARTS, HAND_PARTS, Skeleton

_VGG_10 = (64, 64, None, 128, 128, None, 256, 256, 256, 256, None, 512, 512)
"""Widths of VGG-19 up to conv4_2; None is a pool."""


@dataclass(frozen=True)
class DenseSizes:
    """Widths of BODY_25's network.

    ``first`` and ``later``: (width, hidden) of the first and later stages; ``fields`` and ``heats``: numbers of stages.
    """

    vgg: tuple[int | None, ...] = _VGG_10
    neck: int = 256
    features: int = 128
    first: tuple[int, int] = (96, 256)
    later: tuple[int, int] = (128, 512)
    fields: int = 4
    heats: int = 2


@dataclass(frozen=True)
class BranchSizes:
    """Widths of COCO_18's and MPI_15's network; ``stages``: 6, or 4 for the faster MPI_15."""

    vgg: tuple[int | None, ...] = _VGG_10
    neck: int = 256
    features: int = 128
    stages: int = 6


@dataclass(frozen=True)
class PointSizes:
    """Widths of the networks for hands (``parts`` 21) and faces (70)."""

    parts: int = HAND_PARTS
    vgg: tuple[int | None, ...] = field(default=(*_VGG_10, 512, 512, 512, 512))
    features: int = 128
    stages: int = 6


def build_dense_network(skeleton: Skeleton = BODY_25, sizes: DenseSizes | None = None) -> DenseNetwork:
    """Build BODY_25's network."""
    sizes = sizes or DenseSizes()
    *vgg, last = sizes.vgg
    assert last is not None
    before = next(width for width in reversed(vgg) if width is not None)
    features = nn.Sequential(
        *vgg_trunk(vgg),
        ConvPrelu(before, last),
        ConvPrelu(last, sizes.neck),
        ConvPrelu(sizes.neck, sizes.features),
    )
    heat, field_planes, seen = skeleton.heat_planes, skeleton.field_planes, sizes.features
    fields = [
        DenseStage(seen if i == 0 else seen + field_planes, *(sizes.later if i else sizes.first), field_planes)
        for i in range(sizes.fields)
    ]
    heats = [
        DenseStage(seen + field_planes + (heat if i else 0), *(sizes.later if i else sizes.first), heat)
        for i in range(sizes.heats)
    ]
    return DenseNetwork(features, fields, heats)


def build_branch_network(skeleton: Skeleton, sizes: BranchSizes | None = None) -> BranchNetwork:
    """Build the network of COCO_18 or MPI_15."""
    sizes = sizes or BranchSizes()
    last = sizes.vgg[-1]
    assert last is not None
    features = nn.Sequential(*vgg_trunk(sizes.vgg), ConvRelu(last, sizes.neck), ConvRelu(sizes.neck, sizes.features))
    seen = sizes.features + skeleton.heat_planes + skeleton.field_planes

    def branch(out: int) -> list[nn.Module]:
        return [first_stage(sizes.features, out), *(later_stage(seen, out) for _ in range(sizes.stages - 1))]

    return BranchNetwork(features, branch(skeleton.field_planes), branch(skeleton.heat_planes))


def build_point_network(sizes: PointSizes | None = None) -> PointNetwork:
    """Build the network for a hand or for a face."""
    sizes = sizes or PointSizes()
    last, planes = sizes.vgg[-1], sizes.parts + 1
    assert last is not None
    features = nn.Sequential(*vgg_trunk(sizes.vgg), ConvRelu(last, sizes.features))
    first = nn.Sequential(ConvRelu(sizes.features, 512, 1), nn.Conv2d(512, planes, 1))
    later = [later_stage(sizes.features + planes, planes) for _ in range(sizes.stages - 1)]
    return PointNetwork(features, [first, *later])


def build_hand_network() -> PointNetwork:
    """Build the network for the 21 points of a left hand; a right hand is mirrored for it."""
    return build_point_network(PointSizes(HAND_PARTS))


def build_face_network() -> PointNetwork:
    """Build the network for the 70 points of a face."""
    return build_point_network(PointSizes(FACE_PARTS))
