"""Builds DaGAN's published networks from their sizes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from livehead.models.blocks import AntiAliasInterpolation, Hourglass
from livehead.models.dagan.attention import CrossModalAttention
from livehead.models.dagan.dense_motion import DenseMotion
from livehead.models.dagan.depth import DepthDecoder, FaceDepthNetwork
from livehead.models.dagan.discriminator import Discriminator
from livehead.models.dagan.generator import DaganGenerator, FeatureEncoder, ResidualDecoder
from livehead.models.dagan.keypoint_motion import KeypointMotion
from livehead.models.dagan.keypoints import KeypointDetector
from livehead.models.dagan.spade import SpadeDecoder
from livehead.models.resnet import LayerCount, ResNet

DetectorInput = Literal["rgbd", "rgb", "depth"]
"""The key-point detector's input: colour and disparity, or one of the two."""

INPUT_CHANNELS: dict[DetectorInput, int] = {"rgbd": 4, "rgb": 3, "depth": 1}

DecoderKind = Literal["residual", "spade"]
"""The kind of the generator's decoder."""

_INPUT_SCALE = 0.25  # key points and motion are found at a quarter of the picture's size


@dataclass(frozen=True)
class HourglassSizes:
    """Sizes of an hourglass: ``expansion`` and ``largest`` width; ``depth``: how often it halves."""

    expansion: int
    largest: int = 1024
    depth: int = 5


@dataclass(frozen=True)
class DaganSizes:
    """Sizes of the published model; queries and keys have 1 / ``attention`` of the features' channels."""

    points: int = 15
    expansion: int = 64
    largest: int = 512
    halvings: int = 2
    residuals: int = 6
    attention: int = 8
    spade: int = 512
    motion: HourglassSizes = field(default_factory=lambda: HourglassSizes(64))
    keypoints: HourglassSizes = field(default_factory=lambda: HourglassSizes(32))

    @property
    def widths(self) -> list[int]:
        """The widths of the feature maps, from full size down."""
        return [min(self.largest, self.expansion * 2**i) for i in range(self.halvings + 1)]


def build_generator(sizes: DaganSizes | None = None, decoder: DecoderKind = "residual") -> DaganGenerator:
    """Build the generator with the DepthAware decoder (``residual``) or the SPADE one."""
    sizes = sizes or DaganSizes()
    widths, motion = sizes.widths, sizes.motion
    candidates = sizes.points + 1
    hourglass = Hourglass(4 * candidates, motion.expansion, motion.largest, motion.depth)
    return DaganGenerator(
        AntiAliasInterpolation(3, _INPUT_SCALE),
        FeatureEncoder(3, widths),
        FeatureEncoder(1, widths),
        KeypointMotion(DenseMotion(hourglass, candidates, occlusions=1, kernel=7, refines_prior=False)),
        CrossModalAttention(widths[-1], widths[-1], widths[-1] // sizes.attention),
        SpadeDecoder(widths[-1], sizes.spade) if decoder == "spade" else ResidualDecoder(widths, sizes.residuals),
    )


def build_keypoint_detector(
    sizes: DaganSizes | None = None, detector_input: DetectorInput = "rgbd"
) -> KeypointDetector:
    """Build the detector for colour and disparity, or for one of them."""
    sizes = sizes or DaganSizes()
    channels, inner = INPUT_CHANNELS[detector_input], sizes.keypoints
    hourglass = Hourglass(channels, inner.expansion, inner.largest, inner.depth)
    return KeypointDetector(AntiAliasInterpolation(channels, _INPUT_SCALE), hourglass, sizes.points)


def build_depth_decoder(layers: LayerCount = 18) -> DepthDecoder:
    """Build the depth decoder for the features of ``ResNet(layers)``."""
    return DepthDecoder((64, 64, 128, 256, 512) if layers == 18 else (64, 256, 512, 1024, 2048))


def build_face_depth(layers: LayerCount = 18) -> FaceDepthNetwork:
    """Build encoder and decoder of face depth as one network."""
    return FaceDepthNetwork(ResNet(layers), build_depth_decoder(layers))


def build_discriminator(sizes: DaganSizes | None = None) -> Discriminator:
    """Build the discriminator of adversarial training."""
    return Discriminator((sizes or DaganSizes()).points)
