import pytest
import torch
from torch import nn

from livehead.models.cuda_graph import CudaGraphPart


class Part(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x, y):
        return self.conv(x), self.conv(y) * 2


def test_a_part_that_cannot_be_recorded_is_called_as_it_is(monkeypatch, caplog):
    def refuse(self, inputs):
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(CudaGraphPart, "_record_graph", refuse)
    part, x = Part(), torch.rand(1, 3, 8, 8)
    recorded = CudaGraphPart(part, lambda *outputs: outputs)
    for _ in range(2):
        assert all(torch.equal(a, b) for a, b in zip(recorded(x, x), part(x, x), strict=True))
    assert caplog.text.count("cannot be recorded") == 1
    assert recorded.conv is part.conv


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_replay_computes_what_the_part_does():
    part = Part().cuda().requires_grad_(False)
    recorded = CudaGraphPart(part, lambda *outputs: outputs)
    with torch.inference_mode():
        for side in (8, 16, 8):
            x, y = torch.rand(2, 1, 3, side, side, device="cuda").unbind()
            first = recorded(x, y)
            kept = [value.clone() for value in first]
            recorded(y, x)
            for a, b, c in zip(first, kept, part(x, y), strict=True):
                assert torch.equal(a, b)
                assert torch.allclose(a, c, atol=1e-3)
