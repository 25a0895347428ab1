"""Our networks give what the published ones give, from the same weights."""

import pytest
import torch

from livehead.models.blocks import AntiAliasInterpolation, Hourglass
from livehead.models.dagan.build import DaganSizes, HourglassSizes, build_generator, build_keypoint_detector
from livehead.models.dagan.dense_motion import DenseMotion
from livehead.models.dagan.keypoint_motion import KeypointMotion
from livehead.models.dagan.keypoints import LearnedKeypoints
from livehead.weights.convert import load_official

TINY = DaganSizes(
    points=4,
    expansion=8,
    largest=32,
    residuals=2,
    motion=HourglassSizes(8, 32, 3),
    keypoints=HourglassSizes(8, 32, 3),
)


def same(found, expected, atol=1e-4, rtol=1e-4):
    torch.testing.assert_close(found, expected, atol=atol, rtol=rtol)


def state(fixture):
    return {key[3:]: value for key, value in fixture.items() if key.startswith("sd/")}


def points(fixture, of):
    return LearnedKeypoints(fixture[f"{of}_value"], fixture[f"{of}_jacobian"])


def renamed(tensors, name):
    """Official keys of a tiny network under our names."""
    from livehead.weights.convert import _find_layout

    return {_find_layout(name).to_our_key(key): value for key, value in tensors.items()}


@torch.inference_mode()
def test_key_points_of_a_tiny_detector(parity):
    fixture = parity("dagan-kpdetector-tiny")
    detector = build_keypoint_detector(TINY).eval()
    detector.load_state_dict(state(fixture))
    same(AntiAliasInterpolation(4, 0.25).weight, fixture["down_weight"], atol=1e-7)
    found = detector(fixture["x"])
    same(found.value, fixture["value"])
    same(found.jacobian, fixture["jacobian"])


@pytest.mark.parametrize("count", [10, 15])
@torch.inference_mode()
def test_key_points_at_the_published_size(parity, published, count):
    fixture = parity(f"dagan-kpdetector-rgbd-kp{count}")
    tensors = published(f"dagan-kpdetector-rgbd-kp{count}")
    sums = [tensors[key].double().sum() for key in ("kp.weight", "predictor.encoder.down_blocks.4.conv.weight")]
    same(torch.stack(sums), fixture["sd_check"])
    found = load_official(f"dagan-keypoints-rgbd-{count}", tensors)(fixture["x"])
    same(found.value, fixture["value"])
    same(found.jacobian, fixture["jacobian"])


@torch.inference_mode()
def test_dense_motion(parity):
    fixture = parity("dagan-densemotion-tiny")
    dense = DenseMotion(Hourglass(20, 8, 32, 3), candidates=5, occlusions=1, kernel=7, refines_prior=False)
    down, motion = AntiAliasInterpolation(3, 0.25), KeypointMotion(dense).eval()
    tensors = state(fixture)
    down.load_state_dict({"weight": tensors.pop("down.weight")})
    motion.load_state_dict({f"dense.{key}": value for key, value in tensors.items()})
    small, source, driving = down(fixture["source"]), points(fixture, "source"), points(fixture, "driving")
    candidates = motion.compute_candidates(small, source, driving)
    same(candidates.heat, fixture["heatmap"][:, :, 0])
    same(candidates.warped, fixture["sparse_deformed"])
    field = motion(small, source, driving)
    same(field.mask, fixture["mask"])
    same(field.sampling_grid, fixture["deformation"])
    same(field.occlusion, fixture["occlusion"])


def compare(generator, fixture):
    output = generator(fixture["source"], fixture["depth"], points(fixture, "source"), points(fixture, "driving"))
    same(output.image, fixture["prediction"])
    same(output.deformed, fixture["deformed"])
    same(output.field.occlusion, fixture["occlusion"])
    code = generator.encode(fixture["source"], fixture["depth"], points(fixture, "source"))
    return output.field, generator.attention_weights(code, output.field, torch.arange(code.query.shape[2]))[0]


@torch.inference_mode()
def test_a_tiny_generator(parity):
    fixture = parity("dagan-generator-depthaware-tiny")
    generator = build_generator(TINY).eval()
    generator.load_state_dict(renamed(state(fixture), "dagan-generator-10"))
    field, attention = compare(generator, fixture)
    same(field.mask, fixture["mask"])
    same(attention, fixture["attention"][0], atol=0, rtol=1e-3)


@pytest.mark.parametrize(("kind", "name"), [("depthaware", "generator"), ("spade", "spade")])
@torch.inference_mode()
def test_a_generator_at_the_published_size(parity, published, kind, name):
    fixture = parity(f"dagan-generator-{kind}-kp15")
    tensors = published(f"dagan-generator-{kind}-kp15", gain=float(fixture["gain"]))
    for key in [key for key in fixture if key.startswith("sn/")]:
        same(tensors[key[3:]], fixture[key], atol=1e-6)
    _, attention = compare(load_official(f"dagan-{name}-15", tensors), fixture)
    same(attention[0], fixture["attention_row0"], atol=0, rtol=1e-3)
    same(attention.diagonal(), fixture["attention_diag"], atol=0, rtol=1e-3)


@pytest.mark.parametrize("layers", [18, 50])
@torch.inference_mode()
def test_face_depth(parity, published, layers):
    fixture = parity(f"dagan-depth{layers}")
    encoder = load_official(
        f"dagan-depth-encoder-{layers}",
        published(f"dagan-depth{layers}-encoder", gain=float(fixture["encoder_gain"])),
    )
    decoder = load_official(
        f"dagan-depth-decoder-{layers}",
        published(f"dagan-depth{layers}-decoder", gain=float(fixture["decoder_gain"])),
    )
    features = encoder(fixture["x"])
    for i, feature in enumerate(features):
        same(feature.mean(dim=(2, 3)), fixture[f"feat{i}_mean"])
    for i, disparity in enumerate(decoder(features)):
        same(disparity, fixture[f"disp{i}"])


@torch.inference_mode()
def test_camera_motion(parity, published):
    fixture = parity("dagan-posenet18")
    encoder = load_official("dagan-pose-encoder-18", published("dagan-depth18-pose_encoder"))
    estimate = load_official("dagan-pose-decoder-18", published("dagan-depth18-pose"))(encoder(fixture["x"])[-1])
    same(estimate.motion.axis_angle, fixture["axisangle"])
    same(estimate.motion.translation, fixture["translation"])
    same(estimate.intrinsics, fixture["intrinsics"])
    motion = load_official("dagan-posecnn", published("dagan-depth-posecnn"))(fixture["x"])
    same(motion.axis_angle, fixture["posecnn_axisangle"])
    same(motion.translation, fixture["posecnn_translation"])


@torch.inference_mode()
def test_the_discriminator_at_the_published_size(parity, published):
    fixture = parity("dagan-discriminator-kp15")
    judgement = load_official("dagan-discriminator-15", published("dagan-discriminator-kp15"))(
        fixture["x"], fixture["kp_value"]
    )
    same(judgement.realness, fixture["prediction_map"])
    for i, features in enumerate(judgement.features):
        same(features.mean(dim=(2, 3)), fixture[f"feature{i}_mean"])
