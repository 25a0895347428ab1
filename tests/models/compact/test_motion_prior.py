import torch

from livehead.models.compact.motion_prior import (
    CANDIDATE_COUNT,
    TORSO_CANDIDATE,
    HeadMotionPrior,
    TorsoMotion,
    fit_affine,
    fit_similarity,
    torso_displacement,
)
from livehead.models.dagan.dense_motion import blend_candidates
from livehead.motion.face.mean_face import load_mean_face
from livehead.motion.face.mesh import FACE_MESH


def face():
    return torch.from_numpy(load_mean_face())[None] * 0.5


def test_the_affine_head_recovers_an_affine_motion():
    points = face()[..., :2]
    linear, shift = torch.tensor([[1.1, 0.2], [-0.1, 0.9]]), torch.tensor([0.05, -0.02])
    found = fit_affine(points, points @ linear.T + shift)
    assert torch.allclose(found[0, :, :2], linear, atol=1e-3)
    assert torch.allclose(found[0, :, 2], shift, atol=1e-3)


def test_the_similarity_recovers_a_turn_without_mirroring():
    points = face()
    angle = torch.tensor(0.5)
    turn = torch.tensor([[angle.cos(), 0, angle.sin()], [0, 1, 0], [-angle.sin(), 0, angle.cos()]])
    scale, rotation, shift = fit_similarity(points, 1.2 * points @ turn.T + 0.1)
    assert torch.allclose(scale, torch.tensor([1.2]), atol=1e-3)
    assert torch.allclose(rotation[0], turn, atol=1e-3)
    assert torch.allclose(shift, torch.full((1, 3), 0.1), atol=1e-3)


def test_every_candidate_of_a_still_head_is_no_motion():
    guess = HeadMotionPrior()(face(), face(), torch.zeros(1, 1, 16, 16), TorsoMotion.unknown(face()))
    assert guess.displacements.shape == (1, CANDIDATE_COUNT - 1, 2, 3)
    assert guess.displacements.abs().max() < 2e-4  # the affine fit is held a little towards no motion at all


def test_far_from_the_head_the_background_stands_still():
    driving = face() * 0.5
    source = driving + torch.tensor([0.2, 0.1, 0.0])
    guess = HeadMotionPrior()(driving, source, torch.zeros(1, 1, 32, 32), TorsoMotion.unknown(driving))
    flow = blend_candidates(torch.softmax(guess.logits, dim=1)[:, :-1], guess.displacements)
    assert flow[0, 0, 0].norm() < 0.01
    assert torch.allclose(flow[0, 16, 16], torch.tensor([0.2, 0.1]), atol=0.02)


def shoulders():
    return torch.tensor([[[0.0, 0.4], [-0.5, 0.7], [0.5, 0.7]]])


def leaning(known):
    """A torso whose driving points lie aside of the source's, and are larger."""
    return TorsoMotion(shoulders() * 1.1 + torch.tensor([0.2, -0.1]), shoulders(), torch.tensor([float(known)]))


def test_the_torsos_candidate_carries_its_points_to_the_sources():
    torso = leaning(known=True)
    displacement = torso_displacement(torso)[0]
    for driving, source in zip(torso.driving[0], torso.source[0], strict=True):
        assert torch.allclose(driving + displacement @ torch.cat([driving, torch.ones(1)]), source, atol=1e-5)


def test_an_unknown_torso_moves_nothing_and_has_no_share():
    torso = leaning(known=False)
    assert not torso_displacement(torso).any()
    guess = HeadMotionPrior()(face(), face(), torch.zeros(1, 1, 16, 16), torso)
    assert torch.softmax(guess.logits, dim=1)[:, TORSO_CANDIDATE].max() < 1e-9


def still(known=True):
    return TorsoMotion(shoulders(), shoulders(), torch.tensor([float(known)]))


def test_a_known_torso_is_likelier_below_the_chin_than_above():
    logits = HeadMotionPrior()(face(), face(), torch.zeros(1, 1, 32, 32), still()).logits[0, TORSO_CANDIDATE]
    chin = int((float(face()[0, FACE_MESH.chin, 1]) + 1) * 16)
    assert (logits[-1] > logits[chin].max() + 5).all()
    assert (logits[:chin] == logits[0, 0]).all()


def test_the_torso_is_not_looked_for_where_the_photo_shows_a_jaw_that_hung_lower():
    raised = face() - torch.tensor([0.0, 0.2, 0.0])
    closed, same = (
        HeadMotionPrior()(driving, face(), torch.zeros(1, 1, 32, 32), still()).logits[0, TORSO_CANDIDATE]
        for driving in (raised, face())
    )
    assert torch.equal(closed, same)


def test_what_was_unknown_of_a_torso_may_be_degenerate():
    points = torch.zeros(2, 3, 2)
    torso = TorsoMotion(points, points, torch.zeros(2))
    assert torch.isfinite(torso_displacement(torso)).all()
