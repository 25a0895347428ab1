"""The critic of the foveal network's patches: it learns what real mouths and eyes of a given shape look like."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from livehead.training.distributed import average_gradients

_RATE, _BETAS = 2e-4, (0.5, 0.999)
_SHAPE_PLANES = 5
_WIDTHS = (48, 96, 144)


class PatchCritic(nn.Module):
    """Judges overlapping pieces of a patch together with the bands of its shape; larger values are more real."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3 + _SHAPE_PLANES
        for width in _WIDTHS:
            layers += [spectral_norm(nn.Conv2d(channels, width, 4, stride=2, padding=1)), nn.LeakyReLU(0.2)]
            channels = width
        self.layers = nn.Sequential(*layers)
        self.judge = spectral_norm(nn.Conv2d(channels, 1, 3, padding=1))

    def forward(self, picture: Tensor, bands: Tensor) -> Tensor:
        """The realness [B, 1, h, w] of patches [B, 3, H, W] with their ``band_coordinate`` [B, 5, H, W]."""
        realness: Tensor = self.judge(self.layers(torch.cat([picture - 0.5, bands], dim=1)))
        return realness


class PatchAdversary:
    """The critic and its optimiser; the losses are those of the hinge (Lim & Ye, "Geometric GAN", 2017)."""

    def __init__(self, device: torch.device) -> None:
        self.critic = PatchCritic().to(device)
        self.optimiser = torch.optim.Adam(self.critic.parameters(), lr=_RATE, betas=_BETAS)

    def generator_loss(self, generated: Tensor, bands: Tensor) -> Tensor:
        """How unreal the critic finds patches; no gradient reaches its weights."""
        self.critic.requires_grad_(False)
        with torch.autocast(generated.device.type, torch.bfloat16):
            loss: Tensor = -self.critic(generated, bands).float().mean()
        self.critic.requires_grad_(True)
        return loss

    def train_step(self, generated: Tensor, real: Tensor, bands: Tensor) -> float:
        """Train the critic by one step; returns its loss."""
        with torch.autocast(generated.device.type, torch.bfloat16):
            fake, truth = self.critic(generated.detach(), bands).float(), self.critic(real, bands).float()
        loss = F.relu(1 - truth).mean() + F.relu(1 + fake).mean()
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        average_gradients(self.critic)
        self.optimiser.step()
        return float(loss.detach())

    def state_dict(self) -> dict[str, Any]:
        """The critic and its optimiser as a checkpoint keeps them."""
        return {"critic": self.critic.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what ``state_dict`` gave."""
        self.critic.load_state_dict(state["critic"])
        self.optimiser.load_state_dict(state["optimiser"])
