"""OpenPose's published networks: their layouts, the files they came in, and how one is told from its keys."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from livehead.weights.checkpoint_spec import CheckpointPart, CheckpointSpec
from livehead.weights.key_map import CheckpointLayout, defer_build
from livehead.weights.published_system import PublishedSystem

_SITE = "http://vcl.snu.ac.kr/OpenPose/models"
_LICENCE = "OpenPose's academic licence: non-commercial research only"

_SEQUENCE_PREFIX = r"^model[0-9_]+\."  # pytorch-openpose keeps its layers in model0, model6_2...

_VGG_LAYERS = (
    *("conv1_1", "conv1_2", "", "conv2_1", "conv2_2", "", "conv3_1", "conv3_2", "conv3_3", "conv3_4", ""),
    *("conv4_1", "conv4_2"),
)
"""Names of the trunk's layers in their order; pools have none."""

KeyRenames = tuple[tuple[str, str], ...]


def build_layouts() -> dict[str, CheckpointLayout]:
    """The layouts by the names that ``convert.load_official`` takes."""
    from livehead.models.openpose import build, skeletons

    branches, points = _branch_renames(), _point_renames()
    return {
        "openpose-body25": CheckpointLayout(build.build_dense_network, _dense_renames()),
        "openpose-coco18": CheckpointLayout(
            defer_build(build.build_branch_network, skeletons.COCO_18), branches, key_prefix=_SEQUENCE_PREFIX
        ),
        "openpose-mpi15": CheckpointLayout(defer_build(build.build_branch_network, skeletons.MPI_15), branches),
        "openpose-hand21": CheckpointLayout(build.build_hand_network, points, key_prefix=_SEQUENCE_PREFIX),
        "openpose-face70": CheckpointLayout(build.build_face_network, points, key_prefix=_SEQUENCE_PREFIX),
    }


def _single_network_spec(network: str, file: str) -> CheckpointSpec:
    return CheckpointSpec(network, (CheckpointPart("network", network),), (file,), _LICENCE, _SITE)


_SPECS = (
    _single_network_spec("openpose-body25", "pose_iter_584000.caffemodel"),
    _single_network_spec("openpose-coco18", "pose_iter_440000.caffemodel"),
    _single_network_spec("openpose-mpi15", "pose_iter_160000.caffemodel"),
    _single_network_spec("openpose-hand21", "pose_iter_102000.caffemodel"),
    _single_network_spec("openpose-face70", "pose_iter_116000.caffemodel"),
)


def identify_network(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """The name of the network whose state dict has these keys and shapes; None if it is none of this system."""
    plain = {re.sub(_SEQUENCE_PREFIX, "", key): shape for key, shape in shapes.items()}

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


def _dense_renames() -> KeyRenames:
    """List BODY_25's renamed keys: its fields are ``L2``, its heat maps ``L1``."""
    return (
        *_trunk_renames(_VGG_LAYERS),
        *_neck_renames(("conv4_3_CPM", "conv4_4_CPM"), prelu=True),
        *_dense_stage_renames(),
    )


def _dense_stage_renames() -> Iterator[tuple[str, str]]:
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


def _branch_renames() -> KeyRenames:
    """List the renamed keys of COCO_18 and MPI_15: their fields are ``L1``, their heat maps ``L2``."""
    renames = [*_trunk_renames(_VGG_LAYERS), *_neck_renames(("conv4_3_CPM", "conv4_4_CPM"), prelu=False)]
    for branch, level in (("fields", "L1"), ("heats", "L2")):
        renames += _stage_renames([f"conv5_{i}_CPM_{level}" for i in range(1, 6)], f"{branch}.0")
        for stage in range(2, 7):
            renames += _stage_renames([f"Mconv{i}_stage{stage}_{level}" for i in range(1, 8)], f"{branch}.{stage - 1}")
    return tuple(renames)


def _point_renames() -> KeyRenames:
    """List the renamed keys of the hand and face networks."""
    renames = [*_trunk_renames((*_VGG_LAYERS, "conv4_3", "conv4_4", "conv5_1", "conv5_2", "conv5_3_CPM"))]
    renames += _stage_renames(["conv6_1_CPM", "conv6_2_CPM"], "stages.0")
    for stage in range(2, 7):
        renames += _stage_renames([f"Mconv{i}_stage{stage}" for i in range(1, 8)], f"stages.{stage - 1}")
    return tuple(renames)


def _trunk_renames(layers: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for place, layer in enumerate(layers):
        if layer:
            yield f"{layer}.", f"trunk.{place}.conv."


def _neck_renames(layers: tuple[str, ...], *, prelu: bool) -> Iterator[tuple[str, str]]:
    """Return what follows the VGG; with ``prelu``, so does the activation of its last layer."""
    for place, layer in enumerate((_VGG_LAYERS[-1], *layers), start=len(_VGG_LAYERS) - 1):
        yield f"{layer}.", f"trunk.{place}.conv."
        if prelu:
            yield f"{layer.replace('conv', 'prelu')}.", f"trunk.{place}.act."


def _stage_renames(layers: list[str], ours: str) -> Iterator[tuple[str, str]]:
    """All layers but the last have an activation."""
    for place, layer in enumerate(layers):
        yield f"{layer}.", f"{ours}.{place}." if layer == layers[-1] else f"{ours}.{place}.conv."


OPENPOSE = PublishedSystem(build_layouts, _SPECS, identify_network)
