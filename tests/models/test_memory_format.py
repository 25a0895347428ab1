import pytest
import torch

from livehead.models.memory_format import split_to_nchw, to_nchw, to_nhwc


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_maps_become_planes_whatever_their_layout(batch, layout):
    x = torch.rand(batch, 5, 4, 6).bfloat16().contiguous(memory_format=layout)
    found = to_nchw(x)
    assert found.is_contiguous()
    assert torch.equal(found, x.float())


@pytest.mark.parametrize("batch", [1, 3])
def test_planes_are_joined_pixel_by_pixel(batch):
    parts = [torch.rand(batch, channels, 4, 6) for channels in (2, 5)]
    found = to_nhwc(parts, torch.bfloat16)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(found, torch.cat(parts, dim=1).bfloat16())


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_maps_are_split_into_planes(layout):
    x = torch.rand(2, 7, 4, 6).bfloat16().contiguous(memory_format=layout)
    found = split_to_nchw(x, [2, 5, 0])
    assert [part.shape[1] for part in found] == [2, 5, 0]
    assert all(part.is_contiguous() for part in found)
    assert torch.equal(torch.cat(found, dim=1), x.float())


def test_a_traced_network_computes_the_same():
    def network(x):
        first, second = split_to_nchw(to_nhwc([x, x + 1], torch.float32), [3, 5])
        return to_nchw(second) * first[:, :1]

    x = torch.rand(1, 4, 4, 6)
    assert torch.equal(torch.jit.trace(network, x)(x), network(x))
