"""The adversarial part of ``compact``'s training: a critic that judges mouths.

A phase's ``adversarial`` weight switches it on, after the phases with L1: a critic that starts beside an untrained
generator learns nothing but blur. It is shown the mouth alone. There L1 hedges most (teeth or none, and where), there
it shows most, and a ninth of the picture costs a ninth of the time; the rest of a picture is nearly all the photo's own
pixels.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from livehead.models.compact.motion_prior import KEYPOINTS
from livehead.models.dagan.discriminator import Discriminator
from livehead.models.grid import identity_grid
from livehead.motion.face.mesh import FACE_MESH
from livehead.training.adversarial import adversarial_losses, critic_loss
from livehead.training.distributed import average_gradients
from livehead.training.losses import part_box

_RATE = 2e-4
_BETAS = (0.5, 0.999)
_SIDE = 64
_BOX_SCALE = 1.5  # of the mouth's box: lips from outside are part of what is judged


class MouthAdversary:
    """The critic of ``compact``'s mouths and its optimiser."""

    def __init__(self, device: torch.device) -> None:
        self.critic = Discriminator(len(KEYPOINTS), expansion=32, largest=256).to(device)
        self.optimiser = torch.optim.Adam(self.critic.parameters(), lr=_RATE, betas=_BETAS)

    def generator_losses(self, generated: Tensor, real: Tensor, mesh: Tensor) -> dict[str, Tensor]:
        """The ``adversarial_losses`` of the mouths of pictures [B, 3, S, S] with meshes [B, 478, 3]."""
        generated, points = crop_mouth(generated, mesh)
        real, _ = crop_mouth(real, mesh)
        return adversarial_losses(self.critic, generated, real, points)

    def train_step(self, generated: Tensor, real: Tensor, mesh: Tensor) -> float:
        """Train the critic by one step on the mouths of a batch; returns its loss."""
        generated, points = crop_mouth(generated.detach(), mesh)
        real, _ = crop_mouth(real, mesh)
        loss = critic_loss(self.critic, generated, real, points)
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


def crop_mouth(picture: Tensor, mesh: Tensor) -> tuple[Tensor, Tensor]:
    """The square about the mouth of each picture, [B, 3, 64, 64], and the key points [B, K, 2] in that square.

    ``picture`` is [B, 3, S, S] in [0, 1] and ``mesh`` [B, 478, 3] in [-1, 1] of the picture.
    """
    box = part_box(mesh, torch.as_tensor(FACE_MESH.mouth.lips.copy(), device=mesh.device).long(), _BOX_SCALE)
    middle, half = (box[:, :2] + box[:, 2:]) / 2, ((box[:, 2:] - box[:, :2]) / 2).amax(dim=1)[:, None]
    grid = middle[:, None, None] + half[:, None, None] * identity_grid(_SIDE, _SIDE, mesh)
    crop = F.grid_sample(picture.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)
    return crop, (mesh[:, KEYPOINTS, :2] - middle[:, None]) / half[:, None]
