"""``livehead bench model`` for models that look at the performer themselves: a frame is seeing and drawing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch

from livehead.assembly.live_avatar import make_renderer
from livehead.assembly.synthetic_performer import render_driving
from livehead.bench.model import BenchmarkSubject, RenderFrame
from livehead.bench.module_timing import count_gflops, time_modules
from livehead.config import RunSettings
from livehead.frames import Image
from livehead.models.engine import ExecutionConfig, faster_precisions
from livehead.motion.keypoints import Keypoints
from livehead.perception.portrait import Portrait
from livehead.perception.rgbd import DAGAN_SIDE, to_keypoints
from livehead.renderers.dagan import DaganAvatar, DaganRenderer
from livehead.stats import StatsCollector, cpu_info

CLIP_FRAMES = 30
"""Pictures of the performer that are played over and over."""


@dataclass(frozen=True, slots=True, eq=False)
class DrivingClip:
    """``pictures`` of ``motions``; a motion's ``captured_ns`` is the number of its picture."""

    motions: Sequence[Keypoints]
    pictures: Sequence[Image]

    def picture_of(self, motion: Keypoints) -> Image:
        """The picture of a motion."""
        return self.pictures[motion.captured_ns]


def record_driving(portrait: Portrait, motions: Sequence[Keypoints]) -> DrivingClip:
    """The synthetic performer in ``motions`` (``mesh478``), square and as large as the networks want it."""
    numbered = [replace(motion, captured_ns=number) for number, motion in enumerate(motions)]
    return DrivingClip(numbered, render_driving(portrait, (DAGAN_SIDE, DAGAN_SIDE), list(motions)))


def make_dagan_subject(settings: RunSettings, name: str, portrait: Portrait, clip: DrivingClip) -> BenchmarkSubject:
    """The model as ``run`` would use it, beside its exact path with and without the source's work kept."""
    used = _make_dagan_renderer(settings, name, settings.precision)
    exact = _make_dagan_renderer(settings, name, "fp32")
    avatar = used.prepare(portrait)

    def render_uncached(motion: Keypoints) -> Image:
        fresh = DaganAvatar(avatar.motion, avatar.image, avatar.disparity, avatar.person)
        return exact.render(fresh, exact.detector.detect(clip.picture_of(motion)))

    def render_batch(motions: Sequence[Keypoints]) -> list[Image]:
        points = used.detector.detect_batch([clip.picture_of(motion) for motion in motions]).points
        return used.render_many([(avatar, each) for each in to_keypoints(points, used.detector.motion_set, 0)])

    renderers = {"fp32": exact, used.setting.precision: used}
    for precision in faster_precisions():
        if precision not in renderers:
            renderers[precision] = _make_dagan_renderer(settings, name, precision)
    exact.encode(avatar)
    plain = _detect_and_render(exact, avatar, clip)
    first = clip.motions[0]
    gflops = {"cached": count_gflops(lambda: plain(first)), "uncached": count_gflops(lambda: render_uncached(first))}
    stats = StatsCollector()
    time_modules({**used.detector.parts, **used.parts}, stats)
    frames = {
        way: with_own_threads(renderer.setting, _detect_and_render(renderer, avatar, clip))
        for way, renderer in renderers.items()
    }
    return BenchmarkSubject(
        render_by_precision=frames,
        used_precision=used.setting.precision,
        render_uncached=with_own_threads(exact.setting, render_uncached),
        render_batch=render_batch,
        gflops=gflops,
        stats=stats,
    )


def with_own_threads(setting: ExecutionConfig, render: RenderFrame) -> RenderFrame:
    """``render`` with torch in as many threads as if this were the only renderer of the process."""
    threads = 1 if setting.int8 else cpu_info()[1]

    def render_frame(motion: Any) -> Image:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        return render(motion)

    return render_frame


def _make_dagan_renderer(settings: RunSettings, name: str, precision: str) -> DaganRenderer:
    return cast(DaganRenderer, make_renderer(name, settings.render_size, precision=precision))


def _detect_and_render(renderer: DaganRenderer, avatar: DaganAvatar, clip: DrivingClip) -> RenderFrame:
    return lambda motion: renderer.render(avatar, renderer.detector.detect(clip.picture_of(motion)))
