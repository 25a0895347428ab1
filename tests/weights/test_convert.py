import pytest
import torch

from livehead.errors import ConfigError, WeightsMismatchError
from livehead.weights.convert import load_official, official_names, to_official_keys

LISTINGS = {
    **{f"dagan-generator-{k}": f"dagan-generator-depthaware-kp{k}" for k in (10, 15)},
    **{f"dagan-spade-{k}": f"dagan-generator-spade-kp{k}" for k in (10, 15)},
    **{f"dagan-discriminator-{k}": f"dagan-discriminator-kp{k}" for k in (10, 15)},
    **{f"dagan-keypoints-{s}-{k}": f"dagan-kpdetector-{s}-kp{k}" for s in ("rgbd", "rgb", "depth") for k in (10, 15)},
    **{f"dagan-depth-encoder-{n}": f"dagan-depth{n}-encoder" for n in (18, 50)},
    **{f"dagan-depth-decoder-{n}": f"dagan-depth{n}-decoder" for n in (18, 50)},
    **{f"dagan-pose-encoder-{n}": f"dagan-depth{n}-pose_encoder" for n in (18, 50)},
    **{f"dagan-pose-decoder-{n}": f"dagan-depth{n}-pose" for n in (18, 50)},
    "dagan-posecnn": "dagan-depth-posecnn",
}


def zeros(shapes):
    """Tensors of these shapes that take no memory."""
    return {key: torch.zeros(()).expand(shape) for key, shape in shapes.items()}


@pytest.mark.parametrize("name", [name for name in official_names() if name.startswith("dagan-")])
def test_every_key_of_a_published_network_has_its_place(name, listing):
    network = load_official(name, zeros(listing(LISTINGS[name])))
    assert not network.training
    assert all(value.device.type == "cpu" for value in network.state_dict().values())


def test_the_formula_s_test_vectors(published):
    tensors = published("dagan-kpdetector-rgbd-kp15")
    expected = torch.tensor([0.0421711921, -0.5319934905, 0.4218146140]) * (6 / (36 * 49)) ** 0.5
    assert torch.allclose(tensors["kp.weight"].flatten()[:3], expected)


def test_a_prefix_of_several_gpus_is_taken_off(published):
    tensors = published("dagan-discriminator-kp15")
    network = load_official("dagan-discriminator-15", {f"module.{key}": value for key, value in tensors.items()})
    assert torch.equal(network.discs["1"].conv.weight, tensors["discs.1.conv.weight"])


def test_classifier_and_scalars_of_a_depth_encoder_are_ignored(listing):
    tensors = zeros(listing("dagan-depth18-encoder"))
    assert "encoder.fc.weight" in tensors
    extras = {"height": torch.tensor(256), "width": torch.tensor(256), "use_stereo": torch.tensor(0)}
    load_official("dagan-depth-encoder-18", tensors | extras)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda t: t.pop("kp.bias"), r"lacks kp\.bias"),
        (lambda t: t.update(extra=torch.zeros(1)), "unknown extra"),
        (lambda t: t.update({"kp.bias": torch.zeros(10)}), r"another shape of kp\.bias"),
        (lambda t: t.update({"predictor.fc.weight": torch.zeros(1)}), r"unknown predictor\.fc\.weight"),
    ],
)
def test_anything_else_is_named(listing, change, complaint):
    tensors = zeros(listing("dagan-kpdetector-rgbd-kp15"))
    change(tensors)
    with pytest.raises(WeightsMismatchError, match=complaint):
        load_official("dagan-keypoints-rgbd-15", tensors)


def test_a_missing_half_of_a_spectral_norm_is_named(listing):
    tensors = zeros(listing("dagan-generator-spade-kp15"))
    del tensors["decoder.up_0.conv_s.weight_v"]
    with pytest.raises(WeightsMismatchError, match=r"conv_s\.weight_v"):
        load_official("dagan-spade-15", tensors)


def test_an_unknown_network_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match="dagan-generator-15"):
        load_official("dagan-generator-16", {})


def test_our_keys_go_back_to_the_published_ones(listing):
    shapes = listing("dagan-generator-depthaware-kp15")
    network = load_official("dagan-generator-15", zeros(shapes))
    assert to_official_keys("dagan-generator-15", network.state_dict()).keys() == shapes.keys()


def test_changing_the_network_leaves_the_given_tensors_alone(published):
    tensors = published("dagan-discriminator-kp15")
    before = tensors["discs.1.conv.weight"].clone()
    network = load_official("dagan-discriminator-15", tensors)
    with torch.no_grad():
        network.discs["1"].conv.weight.zero_()
    assert torch.equal(tensors["discs.1.conv.weight"], before)
