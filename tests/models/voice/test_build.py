"""The model that ships."""

from __future__ import annotations

import pytest
import torch

from livehead.errors import WeightsMismatchError
from livehead.models.voice.build import BASIS_KEY, build_voice_model, load_voice_model
from livehead.weights.bundled import find_weights

LARGEST = 3_000_000


def test_the_bundled_one_is_small_and_whole() -> None:
    model = load_voice_model()
    assert model.basis.shape == (model.network.outputs, 478, 3)
    assert len(find_weights("voice").path.read_bytes()) <= LARGEST


def test_its_card_and_licence_are_beside_it() -> None:
    entry = find_weights("voice")
    card = (entry.path.parent / entry.card).read_text(encoding="utf-8")
    assert "voice.LICENSE.md" in card
    assert (entry.path.parent / "voice.LICENSE.md").is_file()


def test_tensors_of_another_network_are_refused() -> None:
    with pytest.raises(WeightsMismatchError, match="lacks"):
        build_voice_model({BASIS_KEY: torch.zeros(3, 478, 3), "leave.weight": torch.zeros(3, 8, 1)}, "mine")
