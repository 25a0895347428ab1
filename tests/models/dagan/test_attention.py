from pathlib import Path

import numpy as np
import pytest
import torch

from livehead.models.dagan.attention import CrossModalAttention

PARITY = Path(__file__).parents[4] / "shared" / "parity" / "dagan-attention.npz"


def test_attention_is_off_before_training():
    attention = CrossModalAttention(guide=3, channels=8, width=4)
    features = torch.rand(1, 8, 6, 6)
    assert torch.equal(attention(features, torch.rand(1, 3, 6, 6)), features)


@pytest.mark.skipif(not PARITY.is_file(), reason="the parity fixtures are not beside the checkout")
def test_attention_equals_the_published_one():
    with np.load(PARITY) as stored:
        arrays = {name: torch.from_numpy(np.atleast_1d(stored[name])) for name in stored.files}
    attention = CrossModalAttention(guide=32, channels=32, width=4)
    attention.load_state_dict({name[3:]: value for name, value in arrays.items() if name.startswith("sd/")})
    output = attention(arrays["warped_features"], arrays["depth_features"])
    assert torch.allclose(output, arrays["output"], atol=1e-4, rtol=1e-4)
