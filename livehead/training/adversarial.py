"""The second half of adversarial training: a critic that learns what real mouths look like, patch by patch.

Least squares (Mao et al., "Least squares generative adversarial networks", ICCV 2017) with feature matching, as DaGAN
is trained. It is switched on by a stage's ``adversarial`` weight, after the L1 stages: a critic that starts beside an
untrained generator learns nothing but blur.

It looks at the mouth alone. There L1 hedges most (teeth or none, and where), there it shows most, and a ninth of the
picture costs a ninth of the time; the rest of a picture is nearly all the photo's own pixels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from livehead.models.compact.motion_prior import KEYPOINTS
from livehead.models.dagan.discriminator import Discriminator
from livehead.models.grid import identity_grid
from livehead.motion.face.mesh import FACE_MESH
from livehead.training.distributed import average_gradients
from livehead.training.losses import part_box

_RATE = 2e-4
_BETAS = (0.5, 0.999)
_SIDE = 64
_BOX_SCALE = 1.5  # of the mouth's box: lips from outside are part of what is judged


def adversarial_losses(critic: Discriminator, generated: Tensor, real: Tensor, points: Tensor) -> dict[str, Tensor]:
    """For the generator: ``adversarial`` and ``matching``. Pictures [B, 3, S, S] in [0, 1]; points [B, K, 2].

    ``matching`` is the mean over the critic's blocks of the L1 between what it makes of the two pictures.
    """
    critic.requires_grad_(False)
    with torch.autocast(generated.device.type, torch.bfloat16):
        fake = critic(generated, points)
        with torch.no_grad():
            truth = critic(real, points)
    critic.requires_grad_(True)
    matching = [nn.functional.l1_loss(a.float(), b.float()) for a, b in zip(fake.features, truth.features, strict=True)]
    return {
        "adversarial": (1 - fake.realness.float()).square().mean(),
        "matching": torch.stack(matching).mean(),
    }


def critic_loss(critic: Discriminator, generated: Tensor, real: Tensor, points: Tensor) -> Tensor:
    """What the critic itself lowers; nothing flows back into ``generated``."""
    with torch.autocast(generated.device.type, torch.bfloat16):
        fake = critic(generated.detach(), points).realness.float()
        truth = critic(real, points).realness.float()
    return (1 - truth).square().mean() + fake.square().mean()


class MouthAdversary:
    """The critic of ``compact``'s mouths and its optimiser."""

    def __init__(self, device: torch.device) -> None:
        self.critic = Discriminator(len(KEYPOINTS), expansion=32, largest=256).to(device)
        self.optimiser = torch.optim.Adam(self.critic.parameters(), lr=_RATE, betas=_BETAS)

    def generator_losses(self, generated: Tensor, real: Tensor, mesh: Tensor) -> dict[str, Tensor]:
        """As ``critic_terms``, of the mouths; mesh [B, 478, 3]."""
        generated, points = crop_mouth(generated, mesh)
        real, _ = crop_mouth(real, mesh)
        return adversarial_losses(self.critic, generated, real, points)

    def train_step(self, generated: Tensor, real: Tensor, mesh: Tensor) -> float:
        """One step of the critic's own; returns its loss."""
        generated, points = crop_mouth(generated.detach(), mesh)
        real, _ = crop_mouth(real, mesh)
        loss = critic_loss(self.critic, generated, real, points)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        average_gradients(self.critic)
        self.optimiser.step()
        return float(loss.detach())

    def state_dict(self) -> dict[str, object]:
        """For a checkpoint."""
        return {"critic": self.critic.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load_state_dict(self, state: dict[str, dict[str, object]]) -> None:
        """From a checkpoint."""
        self.critic.load_state_dict(state["critic"])
        self.optimiser.load_state_dict(state["optimiser"])


def crop_mouth(picture: Tensor, mesh: Tensor) -> tuple[Tensor, Tensor]:
    """The square about the mouth of meshes [B, 478, 3], [B, 3, 64, 64], and their key points [B, K, 2] in it."""
    box = part_box(mesh, torch.as_tensor(FACE_MESH.mouth.lips.copy(), device=mesh.device).long(), _BOX_SCALE)
    middle, half = (box[:, :2] + box[:, 2:]) / 2, ((box[:, 2:] - box[:, :2]) / 2).amax(dim=1)[:, None]
    grid = middle[:, None, None] + half[:, None, None] * identity_grid(_SIDE, _SIDE, mesh)
    crop = F.grid_sample(picture.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)
    return crop, (mesh[:, KEYPOINTS, :2] - middle[:, None]) / half[:, None]
