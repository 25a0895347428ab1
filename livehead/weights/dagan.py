"""DaGAN's published networks: their layouts, the files they came in, and how one is told from its keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from livehead.weights.checkpoint_spec import CheckpointPart, CheckpointSpec
from livehead.weights.key_map import CheckpointLayout, defer_build
from livehead.weights.published_system import PublishedSystem

_SITE = "https://github.com/harlanhong/CVPR2022-DaGAN"

_GENERATOR_RENAMES = (
    ("dense_motion_network.down.", "down."),
    ("dense_motion_network.", "motion.dense."),
    ("src_first.", "geometry.first."),
    ("src_down_blocks.", "geometry.down_blocks."),
    ("first.", "appearance.first."),
    ("down_blocks.", "appearance.down_blocks."),
    ("AttnModule.", "attention."),
)
_RESIDUAL_RENAMES = (
    *_GENERATOR_RENAMES,
    *((f"{part}.", f"decoder.{part}.") for part in ("bottleneck", "up_blocks", "final")),
)
_SPADE_RENAMES = (
    *_GENERATOR_RENAMES,
    ("decoder.G_middle_", "decoder.middle."),
    ("decoder.up_", "decoder.rise."),
)
_ENCODER_RENAMES = (("encoder.", ""),)


def build_layouts() -> dict[str, CheckpointLayout]:
    """The layouts by the names that ``convert.load_official`` takes."""
    from livehead.models.dagan import build
    from livehead.models.dagan.camera_pose import CameraPoseDecoder, PoseCNN
    from livehead.models.resnet import ResNet

    extras = r"^(encoder\.fc\.(weight|bias)|height|width|use_stereo)$"
    layouts: dict[str, CheckpointLayout] = {"dagan-posecnn": CheckpointLayout(PoseCNN)}
    for count in (10, 15):
        sizes = replace(build.DaganSizes(), points=count)
        layouts[f"dagan-generator-{count}"] = CheckpointLayout(
            defer_build(build.build_generator, sizes), _RESIDUAL_RENAMES
        )
        layouts[f"dagan-spade-{count}"] = CheckpointLayout(
            defer_build(build.build_generator, sizes, "spade"), _SPADE_RENAMES
        )
        layouts[f"dagan-discriminator-{count}"] = CheckpointLayout(defer_build(build.build_discriminator, sizes))
        for sees in build.INPUT_CHANNELS:
            layouts[f"dagan-keypoints-{sees}-{count}"] = CheckpointLayout(
                defer_build(build.build_keypoint_detector, sizes, sees)
            )
    for layers, last in ((18, 512), (50, 2048)):
        layouts[f"dagan-depth-encoder-{layers}"] = CheckpointLayout(
            defer_build(ResNet, layers), _ENCODER_RENAMES, extras
        )
        layouts[f"dagan-depth-decoder-{layers}"] = CheckpointLayout(
            defer_build(build.build_depth_decoder, layers), (), extras
        )
        layouts[f"dagan-pose-encoder-{layers}"] = CheckpointLayout(
            defer_build(ResNet, layers, 2), _ENCODER_RENAMES, extras
        )
        layouts[f"dagan-pose-decoder-{layers}"] = CheckpointLayout(defer_build(CameraPoseDecoder, last), (), extras)
    return layouts


def _dagan_spec(name: str, generator: str, file: str) -> CheckpointSpec:
    parts = (
        CheckpointPart("generator", generator),
        CheckpointPart("kp_detector", r"dagan-keypoints-(rgbd|rgb|depth)-\d+"),
        CheckpointPart("discriminator", r"dagan-discriminator-\d+", required=False),
    )
    return CheckpointSpec(name, parts, (file,), "CC BY-NC 4.0: no commercial use", _SITE, same_size=True)


def _depth_spec(layers: int, folder: str) -> CheckpointSpec:
    parts = (
        CheckpointPart("encoder", f"dagan-depth-encoder-{layers}"),
        CheckpointPart("depth", f"dagan-depth-decoder-{layers}"),
        CheckpointPart("pose_encoder", f"dagan-pose-encoder-{layers}", required=False),
        CheckpointPart("pose", f"dagan-pose-decoder-{layers}", required=False),
    )
    licence = "CC BY-NC 4.0, and of monodepth2's authors (Niantic): no commercial use"
    return CheckpointSpec(
        f"dagan-depth-{layers}", parts, (f"{folder}/encoder.pth", f"{folder}/depth.pth"), licence, _SITE, True
    )


_SPECS = (
    _dagan_spec("dagan-vox-256", r"dagan-generator-\d+", "DaGAN_vox_adv_256.pth.tar"),
    _dagan_spec("dagan-spade-vox-256", r"dagan-spade-\d+", "SPADE_DaGAN_vox_adv_256.pth.tar"),
    _depth_spec(18, "weights_19"),
    _depth_spec(50, "depth_face_model_Voxceleb2_10w"),
)


def identify_network(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """The name of the network whose state dict has these keys and shapes; None if it is none of this system."""

    def side(key: str, axis: int) -> int:
        shape = shapes.get(key, ())
        return shape[axis] if len(shape) == 4 else 0

    if "dense_motion_network.mask.weight" in shapes:
        kind = "spade" if "decoder.fc.weight" in shapes else "generator"
        return f"dagan-{kind}-{side('dense_motion_network.mask.weight', 0) - 1}"
    if "kp.weight" in shapes:
        sees = {4: "rgbd", 3: "rgb", 1: "depth"}.get(side("predictor.encoder.down_blocks.0.conv.weight", 1), "unknown")
        return f"dagan-keypoints-{sees}-{side('kp.weight', 0)}"
    if "discs.1.down_blocks.0.conv.weight" in shapes:
        return f"dagan-discriminator-{side('discs.1.down_blocks.0.conv.weight', 1) - 3}"
    return _identify_depth(shapes)


def _identify_depth(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """The same among the networks of face depth."""
    if "encoder.conv1.weight" in shapes:
        layers = 50 if "encoder.layer1.0.conv3.weight" in shapes else 18
        return f"dagan-{'pose' if shapes['encoder.conv1.weight'][1:2] == (6,) else 'depth'}-encoder-{layers}"
    for key, kind in (("decoder.0.conv.conv.weight", "depth"), ("net.5.weight", "pose")):
        if key in shapes and "pose_conv.weight" not in shapes:
            deep = shapes.get("net.0.weight" if kind == "pose" else key, ())[1:2] == (2048,)
            return f"dagan-{kind}-decoder-{50 if deep else 18}"
    return None


DAGAN = PublishedSystem(build_layouts, _SPECS, identify_network)
