"""The halves of the generator, at a tiny size."""

import pytest
import torch

from livehead.models.dagan.build import DaganSizes, HourglassSizes, build_face_depth, build_generator
from livehead.models.dagan.generator import stack_sources
from livehead.models.dagan.keypoints import LearnedKeypoints
from livehead.models.engine import ExecutionConfig, optimize_for_inference

TINY = DaganSizes(points=4, expansion=8, largest=32, residuals=2, spade=16, motion=HourglassSizes(8, 32, 3))


def some_points(seed, batch=1):
    torch.manual_seed(seed)
    return LearnedKeypoints(torch.rand(batch, 4, 2) - 0.5, torch.eye(2) + 0.1 * torch.randn(batch, 4, 2, 2))


def some_source(seed):
    torch.manual_seed(seed)
    return torch.rand(1, 3, 64, 64), torch.rand(1, 1, 64, 64), some_points(seed)


@pytest.fixture(params=["residual", "spade"])
def generator(request):
    torch.manual_seed(0)
    network = build_generator(TINY, request.param).eval()
    torch.nn.init.ones_(network.attention.gamma)
    return network


@torch.inference_mode()
def test_the_source_is_looked_at_once_for_any_number_of_frames(generator):
    source, driving = some_source(1), [some_points(seed) for seed in (2, 3)]
    code = generator.encode(*source)
    looks = []
    for part in (generator.appearance, generator.geometry):
        part.register_forward_hook(lambda *_: looks.append(1))
    frames = [generator.decode(code, generator.predict_motion(code, points)) for points in driving]
    assert not looks
    for frame, points in zip(frames, driving, strict=True):
        torch.testing.assert_close(frame, generator(*source, points).image)


@torch.inference_mode()
def test_joined_sources_are_drawn_as_each_alone(generator):
    codes = [generator.encode(*some_source(seed)) for seed in (1, 2)]
    driving = some_points(5, batch=2)
    both = stack_sources(codes)
    together = generator.decode(both, generator.predict_motion(both, driving))
    for i, code in enumerate(codes):
        one = LearnedKeypoints(driving.value[i : i + 1], driving.jacobian[i : i + 1])
        torch.testing.assert_close(together[i : i + 1], generator.decode(code, generator.predict_motion(code, one)))


@torch.inference_mode()
def test_a_performer_with_singular_jacobians_is_drawn_all_the_same(generator):
    code = generator.encode(*some_source(1))
    flat = LearnedKeypoints(some_points(2).value, torch.zeros(1, 4, 2, 2))
    field = generator.predict_motion(code, flat)
    assert field.sampling_grid.isfinite().all()
    assert field.sampling_grid.abs().max() < 200
    assert generator.decode(code, field).isfinite().all()


@torch.inference_mode()
def test_folded_norms_and_half_precision_stay_close(generator):
    source, driving = some_source(1), some_points(2)
    expected = generator(*source, driving).image
    device = torch.device("cpu")
    exact = optimize_for_inference(generator, ExecutionConfig(device, torch.float32, ""), float32_parts=("down",))
    torch.testing.assert_close(exact(*source, driving).image, expected, atol=1e-4, rtol=1e-4)
    half = optimize_for_inference(generator, ExecutionConfig(device, torch.bfloat16, ""), float32_parts=("down",))
    assert half(*source, driving).image.dtype == torch.float32
    assert (half(*source, driving).image - expected).abs().mean() < 0.02


def test_every_weight_can_be_trained(generator):
    generator.train()
    output = generator(*some_source(1), some_points(2))
    (output.image.mean() + output.field.occlusion.mean()).backward()
    unused = [name for name, weight in generator.named_parameters() if weight.grad is None]
    assert not unused


@torch.inference_mode()
def test_depth_of_prepared_networks_is_the_same():
    torch.manual_seed(0)
    depth, image = build_face_depth(18).eval(), torch.rand(1, 3, 64, 64)
    exact = optimize_for_inference(depth, ExecutionConfig(torch.device("cpu"), torch.float32, ""))
    assert not [m for m in exact.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    torch.testing.assert_close(exact(image), depth(image), atol=1e-4, rtol=1e-4)
