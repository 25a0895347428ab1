import numpy as np
import pytest
import torch

from livehead.models.compact.motion_prior import KEYPOINTS
from livehead.motion.face.mean_face import load_mean_face
from livehead.training.compact.mouth_adversary import MouthAdversary, crop_mouth

MOUTH = KEYPOINTS.index(14)


@pytest.fixture
def mesh():
    moved = load_mean_face() * 0.4 + np.array([0.1, -0.05, 0], np.float32)
    return torch.from_numpy(moved)[None].expand(2, -1, -1).contiguous()


def test_the_crop_shows_the_mouth_where_its_points_say(mesh):
    picture = torch.zeros(2, 3, 96, 96)
    column, row = (((mesh[0, 14, :2] + 1) * 96 - 1) / 2).round().long().tolist()
    picture[:, :, row - 1 : row + 2, column - 1 : column + 2] = 1
    crop, points = crop_mouth(picture, mesh)
    assert crop.shape == (2, 3, 64, 64)
    column, row = (((points[0, MOUTH] + 1) * 64 - 1) / 2).round().long().tolist()
    assert crop[0, :, row, column].min() > 0.9
    assert points[0, MOUTH].abs().max() < 0.5, "the lips are in the middle"
    assert points[0, 0].abs().max() > 1, "the forehead is not in it"


def test_the_critic_learns_to_tell_and_the_generator_what_it_is_told(mesh):
    torch.manual_seed(0)
    adversary = MouthAdversary(torch.device("cpu"))
    real, fake = torch.rand(2, 3, 96, 96), torch.full((2, 3, 96, 96), 0.5)
    losses = [adversary.train_step(fake, real, mesh) for _ in range(12)]
    assert losses[-1] < 0.5 * losses[0]
    generated = fake.clone().requires_grad_()
    terms = adversary.generator_losses(generated, real, mesh)
    (terms["adversarial"] + terms["matching"]).backward()
    gradient = generated.grad.abs().sum(dim=1)[0]
    column, row = (((mesh[0, 14, :2] + 1) * 96 - 1) / 2).round().long().tolist()
    assert gradient[row, column] > 0
    assert gradient[:20].sum() == 0, "nothing but the mouth is judged"
    assert all(p.requires_grad for p in adversary.critic.parameters())
