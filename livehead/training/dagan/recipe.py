"""How the published networks are trained: the typed form of ``configs/train/depth.toml`` and ``dagan.toml``.

Defaults are the published recipe's (DaGAN, section 4, and its released configuration).
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, model_validator

from livehead.models.dagan import build
from livehead.models.dagan.discriminator import Discriminator
from livehead.models.resnet import LayerCount
from livehead.training.recipe import EpochSchedule, FrozenSettings

_MOTION_DOWNSCALE = 4  # key points and motion are found at a quarter of the side
_MIN_VGG_SIDE = 16  # pixels of the smallest picture that VGG-19 can halve four times


class DepthRecipe(EpochSchedule):
    """The recipe of stage 1, face depth.

    ``resnet`` is a torchvision state dict of as many ``layers`` from which both encoders start; ``smoothness`` is the
    weight of that term, halved from scale to scale.
    """

    batch: int = Field(12, ge=1)
    rate: float = 1e-4
    epochs: int = Field(20, ge=1)
    drops: tuple[int, ...] = (15,)
    layers: LayerCount = 18
    resnet: Path | None = None
    smoothness: float = 1e-3

    @model_validator(mode="after")
    def _check_divisible(self) -> DepthRecipe:
        if self.side % 32:
            raise ValueError(f"side: {self.side} is no multiple of 32")
        return self


class DaganLossWeights(FrozenSettings):
    """Weights of the losses. ``perceptual`` counts per layer and scale, ``matching`` per block of the critic.

    ``gradients`` takes the place of ``perceptual`` where no VGG-19 is named. Key points closer than ``apart`` repel.
    """

    perceptual: float = 10.0
    gradients: float = 100.0
    adversarial: float = 1.0
    matching: float = 10.0
    equivariance_value: float = 10.0
    equivariance_jacobian: float = 10.0
    distance: float = 10.0
    apart: float = 0.2


class HourglassWidths(FrozenSettings):
    """Sizes of an hourglass: the planes of its first level, the most planes of any, and how often it halves."""

    expansion: int
    largest: int = 1024
    depth: int = 5


class DiscriminatorWidths(FrozenSettings):
    """Sizes of the discriminator: the planes of its first block, the most planes of any, and the number of blocks."""

    expansion: int = 32
    largest: int = 512
    blocks: int = 4


class DaganNetworkSettings(FrozenSettings):
    """Sizes of the networks. Only the published sizes, with 10 or 15 points, can be imported and animate."""

    points: int = 15
    expansion: int = 64
    largest: int = 512
    halvings: int = 2
    residuals: int = 6
    attention: int = 8
    motion: HourglassWidths = HourglassWidths(expansion=64)
    keypoints: HourglassWidths = HourglassWidths(expansion=32)
    critic: DiscriminatorWidths = DiscriminatorWidths()

    def to_builder_sizes(self) -> build.DaganSizes:
        """The same sizes for the builder of key-point detector and generator."""
        motion, keypoints = (
            build.HourglassSizes(each.expansion, each.largest, each.depth) for each in (self.motion, self.keypoints)
        )
        return build.DaganSizes(
            points=self.points,
            expansion=self.expansion,
            largest=self.largest,
            halvings=self.halvings,
            residuals=self.residuals,
            attention=self.attention,
            motion=motion,
            keypoints=keypoints,
        )

    def build_discriminator(self) -> Discriminator:
        """Build an untrained critic."""
        return Discriminator(self.points, self.critic.expansion, self.critic.largest, self.critic.blocks)


class DaganRecipe(EpochSchedule):
    """The recipe of stage 2, key points, generator and critic.

    ``vgg`` is a torchvision state dict of VGG-19, ``scales`` the sizes at which its features are compared.
    """

    batch: int = Field(4, ge=1)
    rate: float = 2e-4
    epochs: int = Field(150, ge=1)
    vgg: Path | None = None
    scales: tuple[float, ...] = (1, 0.5, 0.25, 0.125)
    loss: DaganLossWeights = DaganLossWeights()
    sizes: DaganNetworkSettings = DaganNetworkSettings()

    @model_validator(mode="after")
    def _check_divisible(self) -> DaganRecipe:
        deepest = max(self.sizes.motion.depth, self.sizes.keypoints.depth)
        step = max(_MOTION_DOWNSCALE * 2**deepest, 32)
        if self.side % step:
            raise ValueError(f"side: {self.side} is no multiple of {step}, as hourglasses {deepest} deep need")
        if self.side * min(self.scales) < _MIN_VGG_SIDE:
            raise ValueError(f"scales: {min(self.scales)} of {self.side} pixels are fewer than {_MIN_VGG_SIDE}")
        return self
