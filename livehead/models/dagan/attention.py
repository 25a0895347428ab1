"""Attention across modalities: queries come from depth, keys and values from appearance (DaGAN, section 3.4)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class CrossModalAttention(nn.Module):
    """Adds to each pixel's features those of other pixels, weighted by an attention on depth.

    Queries come from ``guide`` features, keys and values from appearance; all three are 1 x 1 convolutions with ReLU.
    The logits are plain products, not divided by the root of the dimension. ``gamma`` starts at 0: no attention.
    """

    def __init__(self, guide: int, channels: int, width: int) -> None:
        super().__init__()
        self.query_conv = nn.Conv2d(guide, width, 1)
        self.key_conv = nn.Conv2d(channels, width, 1)
        self.value_conv = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def project_keys_values(self, appearance: Tensor) -> tuple[Tensor, Tensor]:
        """Keys [B, 1, N, width] and values [B, 1, N, C] of ``appearance`` [B, C, H, W]."""
        return _flatten_planes(F.relu(self.key_conv(appearance))), _flatten_planes(F.relu(self.value_conv(appearance)))

    def project_queries(self, guide: Tensor) -> Tensor:
        """Queries [B, 1, N, width] of ``guide`` [B, G, h, w]."""
        return _flatten_planes(F.relu(self.query_conv(guide)))

    def attend(self, guide: Tensor, keys_values: tuple[Tensor, Tensor]) -> Tensor:
        """Attend with the queries of ``guide`` [B, G, h, w]; the result [B, C, h, w] is scaled by gamma."""
        found = self.attend_queries(self.project_queries(guide), keys_values)
        return found.reshape(len(guide), -1, *guide.shape[2:])

    def attend_queries(self, query: Tensor, keys_values: tuple[Tensor, Tensor]) -> Tensor:
        """Attend with ``query`` [B, 1, N, width]; the result [B, C, N] is scaled by gamma."""
        key, value = keys_values
        query = query.to(key.dtype)
        if query.device.type == "cpu" and query.shape[2] > _MAX_UNBLOCKED_QUERIES:
            mixed = _attend_in_blocks(query, key, value)
        else:
            mixed = F.scaled_dot_product_attention(query, key, value, scale=1.0)
        mixed = mixed.squeeze(1).transpose(1, 2)
        return self.gamma.to(mixed.dtype) * mixed

    def attention_weights(self, query: Tensor, keys_values: tuple[Tensor, Tensor]) -> Tensor:
        """The attention weights [B, N, M] of N queries over M pixels, each in sum 1, for inspection."""
        return torch.softmax(query.float() @ keys_values[0].float().transpose(2, 3), dim=-1).squeeze(1)

    def forward(self, features: Tensor, query: Tensor) -> Tensor:
        """Add to ``features`` [B, C, H, W] what ``query`` (of ``project_queries``) attends to in them."""
        return features + self.attend_queries(query, self.project_keys_values(features)).reshape(features.shape)


_MAX_UNBLOCKED_QUERIES = 1024  # with more, all logits together are too large to keep
_QUERIES_PER_BLOCK = 512


def _attend_in_blocks(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attend as ``scaled_dot_product_attention`` without a scale, with one block of queries' logits at a time.

    On a CPU, PyTorch has no kernel for values wider than the queries: it would keep all logits, or the queries would
    have to be padded to the values' width, which takes twice as long as this.
    """
    keys = key.transpose(2, 3)
    blocks = [
        torch.softmax((rows @ keys).float(), dim=-1).to(value.dtype) @ value
        for rows in torch.split(query, _QUERIES_PER_BLOCK, 2)
    ]
    return torch.cat(blocks, dim=2)


def _flatten_planes(planes: Tensor) -> Tensor:
    return planes.flatten(2).transpose(1, 2).unsqueeze(1)
