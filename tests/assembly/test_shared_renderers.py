"""All sessions of a server draw with one network, and what has no network is simply made."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest
import torch

from livehead.assembly import shared_renderers
from livehead.assembly.live_avatar import build_live_avatar, make_driver
from livehead.assembly.shared_renderers import SharedRenderers, warm_up_batches
from livehead.assembly.synthetic_performer import ASTRONAUT_PHOTO, bundled_portrait
from livehead.avatars.cache import AvatarCache
from livehead.config import PictureSettings, RunSettings
from livehead.renderers.batching import BatchingRenderer
from livehead.renderers.warp.renderer import WarpRenderer

SETTINGS = RunSettings(model="compact", render_size=96, precision="fp32")


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the models whose renderers were made."""
    names: list[str] = []
    make = shared_renderers.make_renderer

    def make_and_note(name: str, size: int, **options: Any) -> Any:
        names.append(name)
        return make(name, size, **options)

    monkeypatch.setattr(shared_renderers, "make_renderer", make_and_note)
    return names


def test_sessions_share_a_network_with_and_without_alpha_until_the_last_one_ends(loaded: list[str]) -> None:
    shared = SharedRenderers(on_cpu=True)
    sessions = [shared.make_renderer("compact", 96, alpha=alpha, precision="fp32") for alpha in (False, True, False)]
    assert all(isinstance(renderer, BatchingRenderer) for renderer in sessions)
    assert loaded == ["compact"]
    shared.make_renderer("compact", 128, precision="fp32")
    assert loaded == ["compact", "compact"], "another full size is another network"
    sessions.clear()
    gc.collect()
    shared.make_renderer("compact", 96, precision="fp32")
    assert len(loaded) == 3, "nothing is kept for nobody"


def test_a_model_without_a_network_is_made_for_each_session(loaded: list[str]) -> None:
    shared = SharedRenderers(on_cpu=True)
    first, second = (shared.make_renderer("warp", 96) for _ in range(2))
    assert isinstance(first, WarpRenderer)
    assert first is not second
    assert loaded == ["warp", "warp"]


def test_two_live_avatars_of_one_network_draw_what_one_of_its_own_draws(loaded: list[str]) -> None:
    portrait = bundled_portrait(ASTRONAUT_PHOTO)
    green = SETTINGS.model_copy(update={"picture": PictureSettings(background="#00ff00")})
    shared = SharedRenderers(on_cpu=True)

    def first_picture(settings: RunSettings, **options: Any) -> np.ndarray[Any, Any]:
        driver = make_driver("idle", [portrait])
        live_avatar = build_live_avatar(settings, [portrait], driver, AvatarCache(), **options)
        warm_up_batches(live_avatar, 30)
        return np.asarray(live_avatar.renderer.render(live_avatar.avatars[0], portrait.motion, 96))

    for settings in (SETTINGS, green):
        together = first_picture(settings, create_renderer=shared.make_renderer)
        np.testing.assert_array_equal(together, first_picture(settings))


def test_on_a_processor_every_session_has_a_network_of_its_own(loaded: list[str]) -> None:
    shared = SharedRenderers()
    first, second = (shared.make_renderer("compact", 96) for _ in range(2))
    assert first is not second
    assert len(loaded) == (1 if torch.cuda.is_available() else 2)
