"""The foveal network: it redraws mouth and eyes of a rendered picture at their own resolution.

It sees a patch of the rendered picture, the wanted shape of lips or lids, and none to ``MAX_REFERENCES`` other patches
of the same person, each as it is (what is rigid with the skull lies in place) and warped lip to lip. What it draws is a
blend of all of these and of colours of its own, so that it stays as sharp as what it was shown. The order of the
references does not matter, and a missing one costs nothing but its weight.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from livehead.models.blocks import relu, zero_parameters
from livehead.models.foveal.curve_warp import PatchShape, band_coordinate, warp_between_shapes

MAX_REFERENCES = 3
_SHAPE_PLANES = 9  # five bands, the pupil's distance, and the opening, yaw and pitch
_REFERENCE_PLANES = 4  # the opening, yaw and pitch of a reference, and whether it is a live picture
_CLOSED = -1e4  # the logit of a reference that there is not


@dataclass(frozen=True)
class FovealSizes:
    """Widths of the network: ``fine`` at half the resolution, ``middle`` at a quarter, ``coarse`` at an eighth."""

    fine: int = 32
    middle: int = 64
    coarse: int = 96
    residuals: int = 2


class FovealReferences(NamedTuple):
    """References of a batch: ``patches`` [B, R, 3, H, W] RGB in [0, 1]; ``shapes`` of B * R patches; ``known`` [B, R]
    is 1 where there is one, and ``live`` [B, R] 1 where it is the performer's picture of this very moment."""

    patches: Tensor
    shapes: PatchShape
    known: Tensor
    live: Tensor


class FovealOutput(NamedTuple):
    """What the network draws: ``image`` and the ``generated`` colours [B, 3, H, W] in [0, 1], and ``invented``
    [B, 1, H, W], the share of them."""

    image: Tensor
    generated: Tensor
    invented: Tensor


class _PlainBlock(nn.Module):
    """A convolution and ReLU without a norm: mouths and eyes have different statistics, and batches are small."""

    def __init__(self, channels: int, out: int, kernel: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, kernel, padding=kernel // 2)
        nn.init.kaiming_normal_(self.conv.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        return relu(self.conv(x))


class _PlainResidual(nn.Module):
    """A residual block without norms, whose second convolution starts at zero."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _PlainBlock(channels, channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        zero_parameters(self.second)

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = self.second(self.first(x))
        return x + added


class FovealNetwork(nn.Module):
    """Draws patches of one part; mouths and eyes go through the same weights and differ in a plane of their input."""

    def __init__(self, sizes: FovealSizes | None = None) -> None:
        super().__init__()
        sizes = sizes or FovealSizes()
        fine, middle, coarse = sizes.fine, sizes.middle, sizes.coarse
        self.enter = _PlainBlock(4 * (3 + 6) + 5, fine)
        self.descend = _PlainBlock(4 * fine, middle)
        self.reference_enter = _PlainBlock(4 * 6 + _REFERENCE_PLANES + 1, fine)
        self.reference_descend = _PlainBlock(4 * fine, middle)
        self.gather = _PlainBlock(4 * 3 * middle, coarse, kernel=1)
        self.bottleneck = nn.Sequential(*(_PlainResidual(coarse) for _ in range(sizes.residuals)))
        self.rise = nn.Conv2d(coarse, middle, 3, padding=1)
        self.refine = _PlainBlock(4 * middle, middle)
        self.last_rise = nn.Conv2d(middle, fine, 3, padding=1)
        self.finish = _PlainBlock(4 * fine, fine)
        self.colours = nn.Conv2d(fine, 12, 3, padding=1)
        self.own_shares = nn.Conv2d(fine, 8, 3, padding=1)  # of the picture and of the generated colours
        self.reference_shares = nn.Conv2d(2 * fine, 8, 3, padding=1)  # of a reference as it is and warped
        for layer in (self.colours, self.own_shares, self.reference_shares):
            zero_parameters(layer)
        assert self.own_shares.bias is not None
        nn.init.constant_(self.own_shares.bias[:4], 2.0)  # the picture itself is the first guess

    def forward(self, picture: Tensor, shape: PatchShape, references: FovealReferences, is_eye: Tensor) -> FovealOutput:
        """Draw the patches ``picture`` [B, 3, H, W] RGB in [0, 1] anew in ``shape``; ``is_eye`` [B] is 1 for eyes."""
        batch, count = references.known.shape
        height, width = picture.shape[-2:]
        low, bottom = self._encode_picture(picture, shape, is_eye)
        rigid = references.patches.flatten(0, 1)
        wanted = PatchShape(*(part.repeat_interleave(count, dim=0) for part in shape))
        warped = warp_between_shapes(rigid, references.shapes, wanted)
        near, far = self._encode_references(rigid, warped, references, is_eye.repeat_interleave(count))
        known = references.known[:, :, None, None, None]
        near, far = near.reshape(batch, count, *near.shape[1:]), far.reshape(batch, count, *far.shape[1:])
        fine, middle = _pool_references(near, known), _pool_references(far, known)
        features = self._decode(low, bottom, fine, middle)
        shares = self._blend_shares(features, near, known)
        generated = torch.sigmoid(F.pixel_shuffle(self.colours(features), 2).float() + _logit(picture))
        candidates = torch.cat([references.patches, warped.reshape_as(references.patches)], dim=1)
        candidates = torch.cat([picture[:, None], generated[:, None], candidates], dim=1)
        image = (candidates.float() * shares[:, :, None]).sum(dim=1)
        return FovealOutput(image.reshape(batch, 3, height, width), generated, shares[:, 1:2])

    def _encode_picture(self, picture: Tensor, shape: PatchShape, is_eye: Tensor) -> tuple[Tensor, Tensor]:
        height, width = picture.shape[-2:]
        fine_planes = torch.cat(
            [picture - 0.5, band_coordinate(shape, height), _pupil_distance(shape, height, width)], 1
        )
        constants = torch.cat([shape.state, is_eye[:, None], torch.ones_like(is_eye)[:, None]], dim=1)
        planes = torch.cat([F.pixel_unshuffle(fine_planes, 2), _spread(constants, height // 2, width // 2)], dim=1)
        low: Tensor = self.enter(planes)
        bottom: Tensor = self.descend(F.pixel_unshuffle(low, 2))
        return low, bottom

    def _encode_references(
        self, rigid: Tensor, warped: Tensor, references: FovealReferences, is_eye: Tensor
    ) -> tuple[Tensor, Tensor]:
        height, width = rigid.shape[-2:]
        constants = torch.cat([references.shapes.state, references.live.flatten()[:, None], is_eye[:, None]], dim=1)
        planes = F.pixel_unshuffle(torch.cat([rigid, warped], dim=1) - 0.5, 2)
        near: Tensor = self.reference_enter(torch.cat([planes, _spread(constants, height // 2, width // 2)], dim=1))
        far: Tensor = self.reference_descend(F.pixel_unshuffle(near, 2))
        return near, far

    def _decode(self, low: Tensor, bottom: Tensor, fine: Tensor, middle: Tensor) -> Tensor:
        joined = torch.cat([bottom, middle], dim=1)
        x = self.bottleneck(self.gather(F.pixel_unshuffle(joined, 2)))
        x = F.interpolate(self.rise(x), scale_factor=2, mode="nearest")
        x = self.refine(torch.cat([x, joined], dim=1))
        x = F.interpolate(self.last_rise(x), scale_factor=2, mode="nearest")
        finished: Tensor = self.finish(torch.cat([x, low, fine], dim=1))
        return finished

    def _blend_shares(self, features: Tensor, near: Tensor, known: Tensor) -> Tensor:
        """The shares [B, 2 + 2 R, H, W] of picture, generated colours, references as they are, references warped."""
        batch, count = near.shape[:2]
        own = F.pixel_shuffle(self.own_shares(features), 2).float()
        beside = features[:, None].expand(-1, count, -1, -1, -1)
        pair = self.reference_shares(torch.cat([beside, near], dim=2).flatten(0, 1))
        logits = F.pixel_shuffle(pair, 2).float().reshape(batch, count, 2, *own.shape[2:])
        logits = logits + (1 - known) * _CLOSED
        return torch.softmax(torch.cat([own, logits[:, :, 0], logits[:, :, 1]], dim=1), dim=1)


def _pool_references(features: Tensor, known: Tensor) -> Tensor:
    """The mean and the maximum [B, 2 C, h, w] of the references' features [B, R, C, h, w]; 0 where there is none."""
    seen = features * known
    mean = seen.sum(dim=1) / known.sum(dim=1).clamp_min(1)
    return torch.cat([mean, seen.amax(dim=1)], dim=1)


def _pupil_distance(shape: PatchShape, height: int, width: int) -> Tensor:
    """A soft spot [B, 1, H, W] about the iris, of about its size."""
    x = torch.arange(width, dtype=torch.float32, device=shape.pupil.device)[None, None, :]
    y = torch.arange(height, dtype=torch.float32, device=shape.pupil.device)[None, :, None]
    squared = (x - shape.pupil[:, :1, None]) ** 2 + (y - shape.pupil[:, 1:, None]) ** 2
    return torch.exp(-squared / (0.02 * width**2))[:, None]


def _spread(values: Tensor, height: int, width: int) -> Tensor:
    return values[:, :, None, None].expand(-1, -1, height, width)


def _logit(picture: Tensor) -> Tensor:
    return torch.logit(picture.float(), eps=0.02)
