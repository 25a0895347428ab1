import copy

import pytest
import torch
import torch.nn.functional as F

from livehead.models.compact.build import build_compact
from livehead.models.compact.motion_prior import TORSO_CANDIDATE, TorsoMotion
from livehead.models.compact.network import stack_sources
from livehead.models.dagan.dense_motion import blend_candidates
from livehead.models.grid import resize_flow
from livehead.motion.face.mean_face import load_mean_face

SIDE = 64


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build_compact().eval()


@pytest.fixture
def source():
    torch.manual_seed(1)
    image = F.interpolate(torch.rand(1, 3, 8, 8), (SIDE, SIDE), mode="bilinear")
    return image, torch.ones(1, 1, SIDE, SIDE), torch.from_numpy(load_mean_face())[None] * 0.5


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
        field = network.predict_motion(code, moved(points))
        prior = network.geometry(code.source_map, code.points, moved(points), *TorsoMotion.unknown(points))
        guess = torch.softmax(prior.logits, dim=1)
        rest = resize_flow(blend_candidates(guess[:, :-1], prior.displacements), SIDE // 2, SIDE // 2)
        share = F.interpolate(guess[:, -1:], scale_factor=2, mode="bilinear", align_corners=False)
    assert torch.allclose(field.flow, rest + share.movedim(1, -1) * prior.skin_flow, atol=1e-6)


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
        joined = stack_sources(codes)
        both = network.decode(joined, network.predict_motion(joined, moved(points).expand(2, -1, -1))).image
        alone = [network.decode(code, network.predict_motion(code, moved(points))).image for code in codes]
    assert torch.allclose(both, torch.cat(alone), atol=1e-4)


def test_every_weight_is_trained(network, source):
    image, mask, points = source
    torch.manual_seed(0)
    trained = build_compact()
    for parameter in trained.parameters():  # away from the zeros of the start, which stop gradients
        torch.nn.init.normal_(parameter, std=0.05)
    torso = TorsoMotion(*(part.expand(2, *part.shape[1:]) for part in leaning(known=True)))
    pair = (x.expand(2, *x.shape[1:]) for x in (image, mask, points, moved(points)))
    output = trained(*pair, torso)
    (output.image - 0.3).square().mean().backward()
    silent = [name for name, p in trained.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


def leaning(known):
    points = torch.tensor([[[0.0, 0.6], [-0.5, 0.9], [0.5, 0.9]]])
    return TorsoMotion(points + torch.tensor([0.25, 0.0]), points, torch.tensor([float(known)]))


def busy():
    """A network of random weights: everything it sees matters."""
    torch.manual_seed(2)
    network = build_compact().eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return network


def test_what_is_not_known_of_the_torso_changes_nothing(source):
    image, mask, points = source
    network = busy()
    with torch.no_grad():
        untold = network(image, mask, points, moved(points)).image
        assert torch.equal(network(image, mask, points, moved(points), leaning(known=False)).image, untold)
        assert not torch.allclose(network(image, mask, points, moved(points), leaning(known=True)).image, untold)


def test_each_of_a_batch_is_told_of_its_own_torso(source):
    image, mask, points = source
    network = busy()
    torsos = [leaning(known=False), leaning(known=True)]
    both = TorsoMotion(*(torch.cat(parts) for parts in zip(*torsos, strict=True)))
    doubled = (x.expand(2, *x.shape[1:]) for x in (image, mask, points, moved(points)))
    with torch.no_grad():
        together = network(*doubled, both).image
        alone = [network(image, mask, points, moved(points), torso).image for torso in torsos]
    assert torch.allclose(together, torch.cat(alone), atol=1e-4)


def test_a_network_that_trusts_the_torso_moves_what_lies_below_the_chin_with_it(network, source):
    image, mask, points = source
    trusting = copy.deepcopy(network)
    trusting.motion.mask.bias.data[TORSO_CANDIDATE] = 25.0
    lower = slice(-6, None)  # rows
    with torch.no_grad():
        warped = trusting(image, mask, points, points, leaning(known=True)).warped[..., lower, : SIDE - 16]
    assert (warped - image[..., lower, :-16]).abs().max() > 0.1
    expected = torch.cat([image[..., lower, :1].expand(-1, -1, -1, 8), image[..., lower, : SIDE - 24]], dim=-1)
    assert (warped - expected)[..., 8:].abs().max() < 0.02
