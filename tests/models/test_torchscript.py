"""Parts as one call into torch: the same numbers, for whatever shapes they are called with."""

import pytest
import torch
from torch import nn

from livehead.models.compact.build import build_compact
from livehead.models.compact.motion_prior import TorsoMotion
from livehead.models.compact.types import MotionCues
from livehead.models.engine import ExecutionConfig, choose_execution_config, optimize_for_inference
from livehead.models.torchscript import TracedPart
from livehead.motion.face.mean_face import load_mean_face

QUICK = ExecutionConfig(torch.device("cpu"), torch.bfloat16, "processor")


@pytest.fixture(scope="module")
def geometry():
    return build_compact().geometry.eval()


def told(side, *scales):
    points = torch.cat([torch.from_numpy(load_mean_face())[None] * scale for scale in scales])
    torch.manual_seed(side)
    card = torch.rand(len(scales), 24, side // 4, side // 4)
    return card, points * 0.9, points, *TorsoMotion.unknown(points)


def test_a_traced_part_computes_the_same_for_every_set_of_shapes(geometry):
    traced = TracedPart(geometry, MotionCues)
    for side, scales in ((64, [0.5]), (32, [0.4, 0.6]), (64, [0.3]), (64, [0.55, 0.45, 0.5])):
        given = told(side, *scales)
        with torch.inference_mode():
            for one, other in zip(traced(*given), geometry(*given), strict=True):
                torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


def test_what_else_a_traced_part_has_is_there_as_before(geometry):
    card = TracedPart(geometry, MotionCues).surface.source_map(told(64, 0.5)[1], 16)
    assert card.shape == (1, 8, 16, 16)


def test_named_parts_are_traced_on_a_processor_but_for_the_exact_path():
    network = build_compact()
    for setting, traced in ((QUICK, True), (choose_execution_config("fp32"), False)):
        ready = optimize_for_inference(network, setting, ("geometry",), traced_parts={"geometry": MotionCues})
        assert isinstance(ready.geometry, TracedPart) == traced
    assert not isinstance(network.geometry, TracedPart)


class Counting(nn.Module):
    """Knows how often its Python has run."""

    ran = 0

    def forward(self, x):
        self.ran += 1
        return torch.sin(x) + x


def test_the_part_s_own_python_runs_once_for_every_set_of_shapes():
    part = Counting()
    traced = TracedPart(part)
    with torch.inference_mode():
        for size in (3, 3, 5, 3, 5):
            torch.testing.assert_close(traced(torch.ones(size)), torch.sin(torch.ones(size)) + 1)
    assert part.ran == 2
