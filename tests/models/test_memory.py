import pytest
import torch

from livehead.models.memory import interleaved, planar


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_maps_become_planes_whatever_their_layout(batch, layout):
    x = torch.rand(batch, 5, 4, 6).bfloat16().contiguous(memory_format=layout)
    found = planar(x)
    assert found.is_contiguous()
    assert torch.equal(found, x.float())


@pytest.mark.parametrize("batch", [1, 3])
def test_planes_are_joined_pixel_by_pixel(batch):
    parts = [torch.rand(batch, channels, 4, 6) for channels in (2, 5)]
    found = interleaved(parts, torch.bfloat16)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(found, torch.cat(parts, dim=1).bfloat16())
