import pytest
import torch
import torch.nn.functional as F

from livehead.models.dagan.compact import build_compact, join_codes
from livehead.models.dagan.dense_motion import blend
from livehead.models.dagan.surface import mean_face
from livehead.models.grid import resize_flow

SIDE = 64


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build_compact().eval()


@pytest.fixture
def source():
    torch.manual_seed(1)
    image = F.interpolate(torch.rand(1, 3, 8, 8), (SIDE, SIDE), mode="bilinear")
    return image, torch.ones(1, 1, SIDE, SIDE), torch.from_numpy(mean_face()[0])[None] * 0.5


def moved(points):
    return points * 1.05 + torch.tensor([0.08, -0.03, 0.0])


def test_a_still_face_gives_the_source_back(network, source):
    image, mask, points = source
    with torch.no_grad():
        output = network(image, mask, points, points)
    assert (output.warped - image).abs().max() < 1e-3
    assert (output.alpha > 0.9).all()


def test_the_untrained_flow_is_the_priors(network, source):
    image, mask, points = source
    with torch.no_grad():
        code = network.encode(image, mask, points)
        field = network.move(code, moved(points))
        skin = network.surface(moved(points), points, SIDE // 2)
        _, prior, _ = network.look(code, moved(points), skin)
        guess = torch.softmax(prior.logits, dim=1)
        rest = resize_flow(blend(guess[:, :-1], prior.displacements), SIDE // 2, SIDE // 2)
        share = F.interpolate(guess[:, -1:], scale_factor=2, mode="bilinear", align_corners=False)
    assert torch.allclose(field.flow, rest + share.movedim(1, -1) * skin.flow, atol=1e-6)


def test_before_training_the_output_is_nearly_the_warped_photo(network, source):
    image, mask, points = source
    with torch.no_grad():
        output = network(image, mask, points, moved(points))
    share = torch.sigmoid(torch.tensor(3.0))
    assert torch.allclose(output.image, share * output.warped + (1 - share) * 0.5, atol=1e-5)


def test_joined_codes_render_as_each_alone(network, source):
    image, mask, points = source
    with torch.no_grad():
        codes = [network.encode(image, mask, points), network.encode(1 - image, mask, points)]
        joined = join_codes(codes)
        both = network.paint(joined, network.move(joined, moved(points).expand(2, -1, -1))).image
        alone = [network.paint(code, network.move(code, moved(points))).image for code in codes]
    assert torch.allclose(both, torch.cat(alone), atol=1e-4)


def test_every_weight_is_trained(network, source):
    image, mask, points = source
    torch.manual_seed(0)
    trained = build_compact()
    for parameter in trained.parameters():  # away from the zeros of the start, which stop gradients
        torch.nn.init.normal_(parameter, std=0.05)
    output = trained(*(x.expand(2, *x.shape[1:]) for x in (image, mask, points)), moved(points).expand(2, -1, -1))
    (output.image - 0.3).square().mean().backward()
    silent = [name for name, p in trained.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []
