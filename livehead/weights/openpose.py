"""OpenPose's published networks: their layouts, the files they came in, and how one is told from its keys."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from livehead.weights.checkpoint_spec import Part, Publication
from livehead.weights.key_map import Layout, later

_SITE = "http://vcl.snu.ac.kr/OpenPose/models"
_LICENCE = "OpenPose's academic licence: non-commercial research only"

_SEQUENCE = r"^model[0-9_]+\."  # pytorch-openpose keeps its layers in model0, model6_2...

_VGG = (
    *("conv1_1", "conv1_2", "", "conv2_1", "conv2_2", "", "conv3_1", "conv3_2", "conv3_3", "conv3_4", ""),
    *("conv4_1", "conv4_2"),
)
"""Names of the trunk's layers in their order; pools have none."""

Renames = tuple[tuple[str, str], ...]


def layouts() -> dict[str, Layout]:
    """By the names of ``convert.load_official``."""
    from livehead.models.openpose import build, skeletons

    branches, points = _branches(), _points()
    return {
        "openpose-body25": Layout(build.build_dense, _dense()),
        "openpose-coco18": Layout(later(build.build_branches, skeletons.COCO_18), branches, wrapper=_SEQUENCE),
        "openpose-mpi15": Layout(later(build.build_branches, skeletons.MPI_15), branches),
        "openpose-hand21": Layout(build.build_hand, points, wrapper=_SEQUENCE),
        "openpose-face70": Layout(build.build_face, points, wrapper=_SEQUENCE),
    }


def _publication(network: str, file: str) -> Publication:
    return Publication(network, (Part("network", network),), (file,), _LICENCE, _SITE)


PUBLICATIONS = (
    _publication("openpose-body25", "pose_iter_584000.caffemodel"),
    _publication("openpose-coco18", "pose_iter_440000.caffemodel"),
    _publication("openpose-mpi15", "pose_iter_160000.caffemodel"),
    _publication("openpose-hand21", "pose_iter_102000.caffemodel"),
    _publication("openpose-face70", "pose_iter_116000.caffemodel"),
)


def identify(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """The name, for ``convert.load_official``, of the network with tensors of these shapes; None if of none here."""
    plain = {re.sub(_SEQUENCE, "", key): shape for key, shape in shapes.items()}

    def planes(layer: str) -> int:
        shape = plain.get(f"{layer}.weight", ())
        return shape[0] if len(shape) == 4 else 0

    if "conv1_1.weight" not in plain:
        return None
    if planes("Mconv7_stage1_L1"):
        return f"openpose-body{planes('Mconv7_stage1_L1') - 1}"
    if planes("conv5_5_CPM_L2"):
        parts = planes("conv5_5_CPM_L2") - 1
        return f"openpose-{'mpi' if parts == 15 else 'coco'}{parts}"
    if planes("conv6_2_CPM"):
        parts = planes("conv6_2_CPM") - 1
        return f"openpose-{'face' if parts == 70 else 'hand'}{parts}"
    return None


def _dense() -> Renames:
    """Of BODY_25: its fields are ``L2``, its heat maps ``L1``."""
    return (*_trunk(_VGG), *_necks(("conv4_3_CPM", "conv4_4_CPM"), prelu=True), *_dense_stages())


def _dense_stages() -> Iterator[tuple[str, str]]:
    for branch, level, stages in (("fields", "L2", 4), ("heats", "L1", 2)):
        for stage in range(stages):
            for unit in range(5):
                for place in range(3):
                    name, ours = f"{unit + 1}_stage{stage}_{level}_{place}", f"units.{unit}.convs.{place}"
                    yield f"Mconv{name}.", f"{branch}.{stage}.{ours}.conv."
                    yield f"Mprelu{name}.", f"{branch}.{stage}.{ours}.act."
            yield f"Mconv6_stage{stage}_{level}.", f"{branch}.{stage}.head.conv."
            yield f"Mprelu6_stage{stage}_{level}.", f"{branch}.{stage}.head.act."
            yield f"Mconv7_stage{stage}_{level}.", f"{branch}.{stage}.out."


def _branches() -> Renames:
    """Of COCO_18 and MPI_15: their fields are ``L1``, their heat maps ``L2``."""
    renames = [*_trunk(_VGG), *_necks(("conv4_3_CPM", "conv4_4_CPM"), prelu=False)]
    for branch, level in (("fields", "L1"), ("heats", "L2")):
        renames += _stage([f"conv5_{i}_CPM_{level}" for i in range(1, 6)], f"{branch}.0")
        for stage in range(2, 7):
            renames += _stage([f"Mconv{i}_stage{stage}_{level}" for i in range(1, 8)], f"{branch}.{stage - 1}")
    return tuple(renames)


def _points() -> Renames:
    """Of hand and face."""
    renames = [*_trunk((*_VGG, "conv4_3", "conv4_4", "conv5_1", "conv5_2", "conv5_3_CPM"))]
    renames += _stage(["conv6_1_CPM", "conv6_2_CPM"], "stages.0")
    for stage in range(2, 7):
        renames += _stage([f"Mconv{i}_stage{stage}" for i in range(1, 8)], f"stages.{stage - 1}")
    return tuple(renames)


def _trunk(layers: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for place, layer in enumerate(layers):
        if layer:
            yield f"{layer}.", f"trunk.{place}.conv."


def _necks(layers: tuple[str, ...], *, prelu: bool) -> Iterator[tuple[str, str]]:
    """What follows the VGG; with ``prelu``, so does the activation of its last layer."""
    for place, layer in enumerate((_VGG[-1], *layers), start=len(_VGG) - 1):
        yield f"{layer}.", f"trunk.{place}.conv."
        if prelu:
            yield f"{layer.replace('conv', 'prelu')}.", f"trunk.{place}.act."


def _stage(layers: list[str], ours: str) -> Iterator[tuple[str, str]]:
    """All layers but the last have an activation."""
    for place, layer in enumerate(layers):
        yield f"{layer}.", f"{ours}.{place}." if layer == layers[-1] else f"{ours}.{place}.conv."
