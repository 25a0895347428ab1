"""``livehead bench model`` for models that look at the performer themselves: a frame is seeing and drawing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch

from livehead.commands.compose import make_renderer
from livehead.commands.performer import performer
from livehead.config import RunSettings
from livehead.frames import Image
from livehead.metrics.bench_model import Render, Subject
from livehead.metrics.stages import count_gflops, time_parts
from livehead.models.engine import Setting, quicker_precisions
from livehead.motion.keypoints import Keypoints
from livehead.perception.portrait import Portrait
from livehead.perception.rgbd import SIDE, as_keypoints
from livehead.renderers.dagan_full import DaganAvatar, DaganRenderer
from livehead.stats import Stats, processor

FILM = 30
"""Pictures of the performer that are played over and over."""


@dataclass(frozen=True, slots=True, eq=False)
class Film:
    """``pictures`` of ``motions``; a motion's ``captured_ns`` is the number of its picture."""

    motions: Sequence[Keypoints]
    pictures: Sequence[Image]

    def of(self, motion: Keypoints) -> Image:
        """The picture of a motion."""
        return self.pictures[motion.captured_ns]


def filmed(portrait: Portrait, motions: Sequence[Keypoints]) -> Film:
    """The synthetic performer in ``motions`` (``mesh478``), square and as large as the networks want it."""
    numbered = [replace(motion, captured_ns=number) for number, motion in enumerate(motions)]
    return Film(numbered, performer(portrait, (SIDE, SIDE), list(motions)))


def live_subject(settings: RunSettings, name: str, portrait: Portrait, film: Film) -> Subject:
    """The model as ``run`` would use it, beside its exact path with and without the source's work kept."""
    used = _load(settings, name, settings.precision)
    exact = _load(settings, name, "fp32")
    avatar = used.prepare(portrait)

    def uncached(motion: Keypoints) -> Image:
        fresh = DaganAvatar(avatar.motion, avatar.image, avatar.disparity, avatar.person)
        return exact.render(fresh, exact.detector.detect(film.of(motion)))

    def batched(motions: Sequence[Keypoints]) -> list[Image]:
        points = used.detector.look([film.of(motion) for motion in motions]).points
        return used.render_many([(avatar, each) for each in as_keypoints(points, used.detector.motion_set, 0)])

    renderers = {"fp32": exact, used.setting.precision: used}
    for precision in quicker_precisions():
        if precision not in renderers:
            renderers[precision] = _load(settings, name, precision)
    exact.encode(avatar)
    plain = _seen_and_drawn(exact, avatar, film)
    first = film.motions[0]
    gflops = {"cached": count_gflops(lambda: plain(first)), "uncached": count_gflops(lambda: uncached(first))}
    stats = Stats()
    time_parts({**used.detector.parts, **used.parts}, stats)
    frames = {
        way: alone(renderer.setting, _seen_and_drawn(renderer, avatar, film)) for way, renderer in renderers.items()
    }
    return Subject(
        frames=frames,
        uses=used.setting.precision,
        uncached=alone(exact.setting, uncached),
        batched=batched,
        gflops=gflops,
        stats=stats,
    )


def alone(setting: Setting, render: Render) -> Render:
    """``render`` with torch in as many threads as if this were the only renderer of the process."""
    threads = 1 if setting.integer else processor()[1]

    def drawn(motion: Any) -> Image:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        return render(motion)

    return drawn


def _load(settings: RunSettings, name: str, precision: str) -> DaganRenderer:
    return cast(DaganRenderer, make_renderer(name, settings.render_size, precision=precision))


def _seen_and_drawn(renderer: DaganRenderer, avatar: DaganAvatar, film: Film) -> Render:
    return lambda motion: renderer.render(avatar, renderer.detector.detect(film.of(motion)))
