import torch

from livehead.models.dagan.attention import CrossModalAttention


def test_attention_is_off_before_training():
    attention = CrossModalAttention(guide=3, channels=8, width=4)
    features = torch.rand(1, 8, 6, 6)
    assert torch.equal(attention(features, attention.project_queries(torch.rand(1, 3, 6, 6))), features)


def test_attention_equals_the_published_one(parity):
    arrays = parity("dagan-attention")
    attention = CrossModalAttention(guide=32, channels=32, width=4)
    state = {name[3:]: torch.atleast_1d(value) for name, value in arrays.items() if name.startswith("sd/")}
    attention.load_state_dict(state)
    output = attention(arrays["warped_features"], attention.project_queries(arrays["depth_features"]))
    assert torch.allclose(output, arrays["output"], atol=1e-4, rtol=1e-4)
    memory = attention.project_keys_values(arrays["warped_features"])
    weights = attention.attention_weights(attention.project_queries(arrays["depth_features"]), memory)
    assert torch.allclose(weights, arrays["attention"], atol=1e-4, rtol=1e-4)


def test_many_places_are_attended_to_exactly():
    torch.manual_seed(0)
    attention = CrossModalAttention(guide=8, channels=8, width=4)
    torch.nn.init.ones_(attention.gamma)
    features, guide = torch.rand(1, 8, 36, 36), torch.rand(1, 8, 36, 36)
    memory = attention.project_keys_values(features)
    whole = attention.attention_weights(attention.project_queries(guide), memory) @ memory[1][:, 0]
    assert torch.allclose(attention.attend(guide, memory).flatten(2).transpose(1, 2), whole, atol=1e-5)
