import copy

import pytest
import torch
from torch import nn

from livehead.environment import HOME_VARIABLE
from livehead.errors import ConfigError
from livehead.models import openvino
from livehead.models.blocks import Hourglass, ResBlock, SameBlock, UpBlock
from livehead.models.engine import (
    ExecutionConfig,
    FusedUpsampleConv,
    PackedConvTranspose,
    choose_execution_config,
    faster_precisions,
    fold_batch_norm,
    fuse_upsample_convs,
    optimize_for_inference,
)
from livehead.models.openvino import OpenVinoPart
from livehead.models.quantize import fake_quantize, observe_ranges


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(SameBlock(3, 8), ResBlock(8), Hourglass(8, 4, 16, 2))
        self.geometry = nn.Linear(2, 2)

    def forward(self, x):
        return self.body(x)


@pytest.fixture
def network():
    torch.manual_seed(0)
    network = Network()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):  # norms that have seen something
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    return network.eval()


def test_folding_batch_norms_changes_nothing_but_their_number(network):
    x = torch.rand(1, 3, 16, 16)
    expected = network(x)
    norms = sum(isinstance(m, nn.BatchNorm2d) for m in network.modules())
    folded = fold_batch_norm(network)
    assert torch.allclose(folded(x), expected, atol=1e-4)
    assert (
        sum(isinstance(m, nn.BatchNorm2d) for m in folded.modules()) == 1 < norms
    )  # one stands before its convolution


def test_norms_of_a_network_in_training_are_not_folded(network):
    with pytest.raises(ValueError, match="evaluation"):
        fold_batch_norm(network.train())


def test_preparing_leaves_the_given_network_alone(network):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimize_for_inference(network, choose_execution_config("bf16"))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_exact_children_stay_in_single_precision(network):
    prepared = optimize_for_inference(network, choose_execution_config("bf16"), float32_parts=("geometry",))
    assert prepared.geometry.weight.dtype == torch.float32
    assert prepared.body[0].conv.weight.dtype == torch.bfloat16


def test_packed_convolutions_compute_the_same(network):
    x = torch.rand(1, 3, 16, 16).contiguous(memory_format=torch.channels_last).bfloat16()
    plain = fold_batch_norm(network).bfloat16()
    with torch.inference_mode():
        expected = plain(x)
        packed = optimize_for_inference(network, ExecutionConfig(torch.device("cpu"), torch.bfloat16, "a test"))(x)
    assert packed.is_contiguous(memory_format=torch.channels_last)
    assert (packed - expected).abs().max() <= 0.02 * expected.abs().max()


@pytest.mark.parametrize("bias", [True, False])
def test_doublings_are_packed_too_and_compute_the_same(bias):
    torch.manual_seed(0)
    body = nn.Sequential(nn.ConvTranspose2d(8, 12, 4, 2, padding=1, bias=bias), nn.ConvTranspose2d(12, 4, 2, 2))
    network = nn.Sequential(body).eval()
    prepared = optimize_for_inference(network, ExecutionConfig(torch.device("cpu"), torch.bfloat16, "a test"))
    assert isinstance(prepared[0][0], PackedConvTranspose)
    assert type(prepared[0][1]) is nn.ConvTranspose2d, "another kernel"
    with torch.inference_mode():
        for shape in ((1, 8, 5, 7), (2, 8, 4, 4)):
            x = torch.rand(shape)
            expected = network(x)
            assert (prepared(x.bfloat16()) - expected).abs().max() <= 0.02 * expected.abs().max()


def test_a_packed_convolution_takes_pictures_of_any_size(network):
    prepared = optimize_for_inference(network, ExecutionConfig(torch.device("cpu"), torch.bfloat16, "a test"))
    with torch.inference_mode():
        for side in (16, 32, 16):
            x = torch.rand(1, 3, side, side)
            expected = network(x)
            found = prepared(x.bfloat16().contiguous(memory_format=torch.channels_last))
            assert (found - expected).abs().max() <= 0.05 * expected.abs().max()


def test_integers_need_ranges(network):
    setting = ExecutionConfig(torch.device("cpu"), torch.float32, "a test", int8=True)
    with pytest.raises(ConfigError, match="no ranges"):
        optimize_for_inference(network, setting, parts={"body": lambda x: x})


def test_named_parts_are_computed_in_integers_and_the_rest_exactly(network, monkeypatch, tmp_path):
    pytest.importorskip("openvino", reason="the extra fast-cpu is not installed")
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    setting = choose_execution_config("int8")
    assert setting.precision == "int8"
    x = torch.rand(1, 3, 16, 16)
    with torch.inference_mode():
        folded = fold_batch_norm(copy.deepcopy(network))
        ranges = observe_ranges(folded, lambda: folded(x))
        got = optimize_for_inference(network, setting, parts={"body": lambda x: x}, ranges=ranges)
        error = got(x) - network(x)
    assert isinstance(got.body, OpenVinoPart)
    assert type(got.geometry) is nn.Linear
    assert 0 < error.square().mean().sqrt() < 0.05 * network(x).std()


def test_a_floating_part_keeps_its_digits_where_the_others_are_rounded(network, monkeypatch, tmp_path):
    pytest.importorskip("openvino", reason="the extra fast-cpu is not installed")
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    x = torch.rand(1, 3, 16, 16)
    with torch.inference_mode():
        ranges = observe_ranges(fold_batch_norm(copy.deepcopy(network)), lambda: network(x))
        ranges["body.0.conv"] = (0.0, 1.0)
        expected, errors = network(x), {}
        for floating in (None, {"body": "f32"}):
            parts = {"body": lambda x: x}
            prepared = optimize_for_inference(
                network, choose_execution_config("int8"), parts=parts, ranges=ranges, float_types=floating
            )
            errors[floating is None] = (prepared(x) - expected).abs().max()
    assert errors[False] < 1e-4 < errors[True]


def test_int8_without_the_package_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(openvino, "is_available", lambda: False)
    assert "int8" not in faster_precisions()
    with pytest.raises(ConfigError, match="fast-cpu"):
        choose_execution_config("int8")


def test_auto_is_the_quickest_that_there_is():
    if torch.cuda.is_available():
        assert choose_execution_config().precision == "fp16"
    else:
        assert choose_execution_config().precision == [*faster_precisions(), "fp32"][0]


def test_fp32_is_always_there_and_says_so():
    setting = choose_execution_config("fp32")
    assert setting.precision == "fp32"
    assert setting.description


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU has fp16")
def test_fp16_without_a_gpu_says_what_to_use_instead():
    with pytest.raises(ConfigError, match="bf16 or fp32"):
        choose_execution_config("fp16")


def test_an_unknown_precision_is_answered_with_the_known_ones():
    with pytest.raises(ConfigError, match="auto, fp32, bf16, fp16"):
        choose_execution_config("int7")


def test_a_doubling_by_repetition_is_one_transposed_convolution():
    torch.manual_seed(0)
    up = fold_batch_norm(nn.Sequential(UpBlock(130, 6)).eval())
    x = torch.randn(2, 130, 5, 7)
    with torch.inference_mode():
        expected = up(x)
        merged = fuse_upsample_convs(copy.deepcopy(up))
        assert isinstance(merged[0], FusedUpsampleConv)
        assert torch.allclose(merged(x), expected, atol=1e-4)
        ranges = observe_ranges(up, lambda: up(x))
        error = fake_quantize(merged, ranges)(x) - expected
    assert ranges.keys() == {"0.conv"}
    assert 0 < error.square().mean().sqrt() < 0.03 * expected.std()
