import subprocess
import sys
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from livehead.models.blocks import Hourglass, ResBlock
from livehead.models.quantize import observe_ranges

pytest.importorskip("openvino", reason="the extra fast-cpu is not installed")

from livehead.environment import HOME_VARIABLE
from livehead.models import openvino
from livehead.models.openvino import OpenVinoPart


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    return tmp_path


class Pair(NamedTuple):
    sum: Tensor
    half: Tensor


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), ResBlock(8), Hourglass(8, 4, 16, 2))
        self.once = nn.Linear(2, 2)

    def forward(self, x, y):
        features = self.body(x) + y
        return Pair(features, features / 2)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Network().eval().requires_grad_(False)


@pytest.fixture
def inputs():
    torch.manual_seed(1)
    return torch.randn(1, 3, 16, 16), torch.randn(1, 12, 16, 16)


def test_a_compiled_part_computes_and_returns_what_the_part_does(network, inputs):
    expected = network(*inputs)
    with torch.inference_mode():
        got = OpenVinoPart(network, rebuild=Pair)(*inputs)
    assert isinstance(got, Pair)
    assert torch.allclose(got.sum, expected.sum, atol=1e-4)
    assert torch.allclose(got.half, expected.half, atol=1e-4)


def test_no_core_is_the_only_one_that_it_computes_on(network, inputs):
    """Else it waits for that one while others are free, as do all processes of the machine that use OpenVINO."""
    part = OpenVinoPart(network)
    with torch.inference_mode():
        part(*inputs)
    [request] = part._infer_requests.values()
    assert request.get_compiled_model().get_property("ENABLE_CPU_PINNING") is False


def test_it_takes_other_shapes_and_memory_formats(network, inputs):
    compiled = OpenVinoPart(network, rebuild=Pair)
    x, y = (torch.cat([i, -i]).contiguous(memory_format=torch.channels_last) for i in inputs)
    with torch.inference_mode():
        compiled(*inputs)
        got = compiled(x, y)
    assert torch.allclose(got.sum, network(x, y).sum, atol=1e-4)


def test_integers_stay_near_the_exact_result(network, inputs):
    expected = network(*inputs).sum
    ranges = observe_ranges(network, lambda: network(*inputs))
    with torch.inference_mode():
        got = OpenVinoPart(network, ranges, Pair)(*inputs).sum
    error = (got - expected).square().mean().sqrt() / expected.std()
    assert 0 < error < 0.05


def test_a_result_is_not_overwritten_by_the_next_call(network, inputs):
    compiled = OpenVinoPart(network, rebuild=Pair)
    with torch.inference_mode():
        first = compiled(*inputs).sum
        kept = first.clone()
        compiled(inputs[0] + 1, inputs[1])
    assert torch.equal(first, kept)


def test_what_else_the_part_has_is_reached_through_it(network):
    compiled = OpenVinoPart(network)
    assert compiled.once is network.once
    with pytest.raises(AttributeError):
        compiled.missing  # noqa: B018


def never(*_):
    raise AssertionError("it is compiled already")


def test_a_network_is_compiled_once_on_a_machine(network, inputs, home, monkeypatch):
    with torch.inference_mode():
        first = OpenVinoPart(network, rebuild=Pair)(*inputs).sum
        assert len(list(home.glob("compiled/*.blob"))) == 1
        monkeypatch.setattr(OpenVinoPart, "_convert_model", never)
        assert torch.equal(OpenVinoPart(network, rebuild=Pair)(*inputs).sum, first)


def test_other_weights_and_ranges_are_compiled_anew(network, inputs, home):
    with torch.inference_mode():
        OpenVinoPart(network, rebuild=Pair)(*inputs)
        for high in (1.0, 2.0):
            OpenVinoPart(network, {"body.0": (0.0, high)}, Pair)(*inputs)
        network.body[0].weight.mul_(2)
        expected = network(*inputs).sum
        got = OpenVinoPart(network, rebuild=Pair)(*inputs).sum
    assert torch.allclose(got, expected, atol=1e-4)
    assert len(list(home.glob("compiled/*.blob"))) == 4


@pytest.mark.parametrize("content", [b"", b"not a network at all" * 50])
def test_a_damaged_file_is_made_again(network, inputs, home, content, caplog):
    with torch.inference_mode():
        expected = OpenVinoPart(network, rebuild=Pair)(*inputs).sum
        [kept] = home.glob("compiled/*.blob")
        kept.write_bytes(content)
        assert torch.equal(OpenVinoPart(network, rebuild=Pair)(*inputs).sum, expected)
    assert "made again" in caplog.text
    assert kept.stat().st_size > 10_000


def test_a_folder_that_cannot_be_written_costs_a_log_line(network, inputs, home, caplog):
    (home / "compiled").write_text("in the way")
    with torch.inference_mode():
        OpenVinoPart(network, rebuild=Pair)(*inputs)
    assert "cannot be kept" in caplog.text


@pytest.mark.parametrize(("limit", "most", "left"), [("MAX_CACHED_NETWORKS", 2, 2), ("MAX_CACHE_BYTES", 1, 1)])
def test_old_files_go(network, inputs, home, monkeypatch, limit, most, left):
    monkeypatch.setattr(openvino, limit, most)
    compiled = OpenVinoPart(network, rebuild=Pair)
    with torch.inference_mode():
        for count in (1, 2, 3):
            compiled(*(x.expand(count, -1, -1, -1) for x in inputs))
    assert len(list(home.glob("compiled/*.blob"))) == left


def test_openvino_sends_nothing_to_its_maker():
    code = "from livehead.models.openvino import import_openvino; import_openvino(); import openvino.tools.ovc, sys; "
    code += "print([name for name in sys.modules if name.startswith('openvino_telemetry') and sys.modules[name]])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "[]"
