"""Networks for the camera's motion between two frames and its intrinsics, which only the training of face depth uses.

Rotations are axis-angle in radians, translations in the unit of depth; both are small by construction. Intrinsics are
in pixels of the 256 x 256 training picture.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from livehead.models.blocks import relu

_MOTION_SCALE = 0.01
_TRAINING_SIDE = 256.0


class CameraMotion(NamedTuple):
    """A camera's motion: ``axis_angle`` and ``translation`` [B, F, 1, 3] for every predicted frame."""

    axis_angle: Tensor
    translation: Tensor


class CameraEstimate(NamedTuple):
    """The camera's ``motion`` between two frames and its ``intrinsics`` [B, 3, 3] (focal lengths, centre)."""

    motion: CameraMotion
    intrinsics: Tensor


def _to_camera_motion(planes: Tensor) -> CameraMotion:
    """Convert planes [B, 6 F, h, w] to motion: their means over the picture, scaled down."""
    values = _MOTION_SCALE * planes.float().mean(dim=(2, 3)).view(len(planes), -1, 1, 6)
    return CameraMotion(values[..., :3], values[..., 3:])


class CameraPoseDecoder(nn.Module):
    """Predicts the camera from the last map of ``ResNet(frames=2)``, of ``channels`` channels. ``net`` is in the
    published order."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeeze, motion = nn.Conv2d(channels, 256, 1), nn.Conv2d(256, 12, 1)
        inner = [nn.Conv2d(256, 256, 3, padding=1) for _ in range(2)]
        focal, centre = (nn.Conv2d(256, 2, 3, padding=1) for _ in range(2))
        self.net = nn.ModuleList([squeeze, *inner, motion, focal, centre])

    def forward(self, features: Tensor) -> CameraEstimate:
        """Predict motion and intrinsics from ``features`` [B, C, h, w]."""
        squeeze, first, second, motion, focal, centre = self.net
        x = relu(second(relu(first(relu(squeeze(features))))))
        return CameraEstimate(_to_camera_motion(motion(x)), _to_intrinsics(focal(x).float(), centre(x).float()))


def _to_intrinsics(focal: Tensor, centre: Tensor) -> Tensor:
    lengths = F.softplus(focal).mean(dim=(2, 3)) * _TRAINING_SIDE
    middle = (F.softplus(centre).mean(dim=(2, 3)) + 0.5) * _TRAINING_SIDE
    last = torch.tensor([0.0, 0.0, 1.0], device=focal.device).expand(len(focal), 1, 3)
    return torch.cat([torch.cat([torch.diag_embed(lengths), middle[..., None]], dim=2), last], dim=1)


class PoseCNN(nn.Module):
    """A plain network in place of encoder and decoder: from ``frames`` pictures to the motions between them."""

    def __init__(self, frames: int = 2) -> None:
        super().__init__()
        widths, kernels = (16, 32, 64, 128, 256, 256, 256), (7, 5, 3, 3, 3, 3, 3)
        before = (3 * frames, *widths[:-1])
        self.net = nn.ModuleList(
            nn.Conv2d(a, b, k, 2, padding=k // 2) for a, b, k in zip(before, widths, kernels, strict=True)
        )
        self.pose_conv = nn.Conv2d(widths[-1], 6 * (frames - 1), 1)

    def forward(self, pictures: Tensor) -> CameraMotion:
        """Predict the camera's motion between ``pictures`` [B, 3 frames, H, W] RGB in [0, 1]."""
        for conv in self.net:
            pictures = relu(conv(pictures))
        return _to_camera_motion(self.pose_conv(pictures))
