"""The losses of adversarial training: a critic learns what real pictures look like, patch by patch.

The losses are least squares (Mao et al., "Least squares generative adversarial networks", ICCV 2017) with feature
matching, as DaGAN is trained.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from livehead.models.dagan.discriminator import Discriminator, DiscriminatorOutput


def adversarial_losses(critic: Discriminator, generated: Tensor, real: Tensor, points: Tensor) -> dict[str, Tensor]:
    """The generator's losses: ``adversarial``, and ``matching`` of the critic's features.

    ``generated`` and ``real`` are pictures [B, 3, S, S] RGB in [0, 1], ``points`` [B, K, 2] the key points that the
    critic is shown. ``matching`` is the mean over the critic's blocks of the L1 distance between its features of the
    two pictures. No gradient reaches the critic's weights.
    """
    critic.requires_grad_(False)
    with torch.autocast(generated.device.type, torch.bfloat16):
        fake: DiscriminatorOutput = critic(generated, points)
        with torch.no_grad():
            truth: DiscriminatorOutput = critic(real, points)
    critic.requires_grad_(True)
    matching = [nn.functional.l1_loss(a.float(), b.float()) for a, b in zip(fake.features, truth.features, strict=True)]
    return {
        "adversarial": (1 - fake.realness.float()).square().mean(),
        "matching": torch.stack(matching).mean(),
    }


def critic_loss(critic: Discriminator, generated: Tensor, real: Tensor, points: Tensor) -> Tensor:
    """The critic's own loss, of the same arguments as ``adversarial_losses``; no gradient reaches ``generated``."""
    with torch.autocast(generated.device.type, torch.bfloat16):
        fake: Tensor = critic(generated.detach(), points).realness.float()
        truth: Tensor = critic(real, points).realness.float()
    return (1 - truth).square().mean() + fake.square().mean()
