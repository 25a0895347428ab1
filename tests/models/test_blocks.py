import torch

from livehead.models.blocks import Hourglass, ResBlock


def test_the_published_hourglass_has_the_published_widths():
    hourglass = Hourglass(channels=64, expansion=64, largest=1024, depth=5)  # dense motion of DaGAN with 15 points
    downs = [tuple(block.conv.weight.shape[:2]) for block in hourglass.encoder.down_blocks]
    ups = [tuple(block.conv.weight.shape[:2]) for block in hourglass.decoder.up_blocks]
    assert downs == [(128, 64), (256, 128), (512, 256), (1024, 512), (1024, 1024)]
    assert ups == [(1024, 1024), (512, 2048), (256, 1024), (128, 512), (64, 256)]
    assert hourglass.out_channels == 128


def test_an_hourglass_ends_with_its_own_input():
    hourglass = Hourglass(5, 4, 16, 2).eval()
    x = torch.rand(1, 5, 16, 16)
    y = hourglass(x)
    assert y.shape == (1, 9, 16, 16)
    assert torch.equal(y[:, 4:], x)


def test_a_residual_block_does_not_touch_its_input_without_gradients():
    block = ResBlock(4).eval()
    x = torch.randn(1, 4, 8, 8)
    before = x.clone()
    with torch.no_grad():
        block(x)
    assert torch.equal(x, before)
