import torch

from livehead.models.dagan.discriminator import Discriminator


def test_the_published_sizes_have_the_published_shapes():
    shapes = {name: tuple(value.shape) for name, value in Discriminator(points=15).state_dict().items()}
    assert shapes["discs.1.down_blocks.0.conv.weight"] == (64, 18, 4, 4)
    assert shapes["discs.1.down_blocks.3.conv.weight"] == (512, 256, 4, 4)
    assert shapes["discs.1.conv.weight"] == (1, 512, 1, 1)
    assert "discs.1.down_blocks.0.norm.weight" not in shapes


def test_it_judges_as_the_published_one(parity):
    arrays = parity("dagan-discriminator-tiny")
    config = arrays.pop("config")
    critic = Discriminator(4, config["block_expansion"], config["max_features"], config["num_blocks"]).eval()
    critic.load_state_dict({name[3:]: value for name, value in arrays.items() if name.startswith("sd/")})
    judgement = critic(arrays["x"], arrays["kp_value"])
    for i, features in enumerate(judgement.features):
        assert torch.allclose(features, arrays[f"feature{i}"], atol=1e-4, rtol=1e-4)
    assert torch.allclose(judgement.realness, arrays["prediction_map"], atol=1e-4, rtol=1e-4)
