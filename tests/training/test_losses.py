import torch

from livehead.motion.face.mean_face import load_mean_face
from livehead.training.losses import importance_weights, mouth_mask, psnr, pyramid_loss, texture_loss


def face():
    return torch.from_numpy(load_mean_face())[None] * 0.5


def test_a_perfect_picture_costs_nothing():
    image = torch.rand(1, 3, 32, 32)
    weight = torch.ones(1, 1, 32, 32)
    assert pyramid_loss(image, image, weight, 3, 1.0) == 0
    assert texture_loss(image, image, weight) == 0


def test_texture_prefers_a_misplaced_edge_to_a_blurred_one():
    target = torch.zeros(1, 1, 32, 32)
    target[..., 16:] = 1
    shifted = torch.roll(target, 1, dims=-1)
    shifted[..., 0] = 0
    blurred = torch.linspace(0, 1, 32).expand(1, 1, 32, 32)
    weight = torch.ones(1, 1, 32, 32)
    assert texture_loss(shifted, target, weight) < texture_loss(blurred, target, weight)


def test_the_mouth_counts_most_and_only_in_its_place():
    weight = importance_weights(face(), 64, mouth=6, eyes=3)[0, 0]
    inside = mouth_mask(face(), 64)[0, 0].bool()
    assert (weight[inside] == 6).all()
    assert weight[~inside].max() == 3
    assert weight[0, 0] == 1


def test_psnr_of_a_known_error():
    assert torch.allclose(psnr(torch.full((1, 3, 4, 4), 0.1), torch.zeros(1, 3, 4, 4)), torch.tensor([20.0]))
