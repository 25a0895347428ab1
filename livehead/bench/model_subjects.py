"""The models as ``livehead bench model`` times them: each in all its precisions, with and without what it caches."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from livehead.assembly.dagan import CHECKPOINTS
from livehead.assembly.driving_clip import DrivingClip, record_driving
from livehead.assembly.live_avatar import make_renderer
from livehead.assembly.synthetic_performer import ASTRONAUT_PHOTO, bundled_portrait, still_head_speech
from livehead.bench.model import BenchmarkSubject, RenderFrame, StillHeadSpeech, bench_model
from livehead.bench.module_timing import count_gflops, time_modules
from livehead.config import RunSettings
from livehead.frames import Image
from livehead.interfaces import RenderRequest
from livehead.models.engine import ExecutionConfig, faster_precisions
from livehead.motion.face.face_rig import FaceRig, build_demo_timeline
from livehead.motion.keypoints import Keypoints
from livehead.perception.portrait import Portrait
from livehead.perception.rgbd import to_keypoints
from livehead.perception.segmentation import SelfieSegmenter
from livehead.renderers.dagan import DaganAvatar, DaganRenderer
from livehead.reporting.report import Json
from livehead.stats import StatsCollector
from livehead.threads import available_cores, network_threads, set_network_threads

if TYPE_CHECKING:
    from livehead.renderers.compact import CompactAvatar, CompactRenderer

log = logging.getLogger(__name__)

MakeDaganRenderer: TypeAlias = Callable[[str], DaganRenderer]
"""A DaGAN renderer in a precision."""

_CLIP_FRAMES = 30  # pictures of the performer that are played over and over
_FPS = 30


def bench_named_model(settings: RunSettings, name: str, rounds: int) -> dict[str, Json]:
    """Time ``rounds`` frames of the face model ``name`` in each precision. Raises: ConfigError, WeightsError."""
    log.info("loading %s in each precision", name)
    portrait = bundled_portrait(ASTRONAUT_PHOTO)
    rig, timeline = FaceRig(portrait.motion), build_demo_timeline()
    motions = [
        rig.pose_face(timeline.controls_at(number / _FPS), 0) for number in range(round(timeline.duration_s * _FPS))
    ]
    size = settings.render_size
    if name in CHECKPOINTS:
        clip = record_driving(portrait, motions[:: max(len(motions) // _CLIP_FRAMES, 1)])
        make = cast(MakeDaganRenderer, lambda precision: make_renderer(name, size, precision=precision))
        return bench_model(make_dagan_subject(make, settings, portrait, clip), clip.motions, rounds)
    used = make_renderer(name, size, precision=settings.precision)
    avatar = used.prepare(portrait)
    with SelfieSegmenter() as segmenter:
        person = segmenter.segment_person(used.render(avatar, avatar.motion, size))
    speech = StillHeadSpeech(still_head_speech(avatar.motion), person)
    subject = BenchmarkSubject(
        render_by_precision={"fp32": lambda motion: used.render(avatar, motion, size)}, speech=speech
    )
    if name == "compact":
        subject = _make_compact_subject(settings, cast("CompactRenderer", used), avatar, speech)
    return bench_model(subject, motions, rounds)


def make_dagan_subject(
    make: MakeDaganRenderer, settings: RunSettings, portrait: Portrait, clip: DrivingClip
) -> BenchmarkSubject:
    """DaGAN as ``run`` would use it, beside its exact path with and without the source's work kept.

    Its networks look at the performer themselves, so that a frame is seeing and drawing.
    """
    size = settings.render_size
    used, exact = make(settings.precision), make("fp32")
    avatar = used.prepare(portrait)

    def render_uncached(motion: Keypoints) -> Image:
        fresh = DaganAvatar(avatar.motion, avatar.image, avatar.disparity, avatar.person)
        return exact.render(fresh, exact.detector.detect(clip.picture_of(motion)), size)

    def render_batch(motions: Sequence[Keypoints]) -> list[Image]:
        points = used.detector.detect_batch([clip.picture_of(motion) for motion in motions]).points
        moved = to_keypoints(points, used.detector.motion_set, 0)
        return used.render_many([RenderRequest(avatar, motion, size) for motion in moved])

    renderers = {"fp32": exact, used.setting.precision: used}
    for precision in faster_precisions():
        if precision not in renderers:
            renderers[precision] = make(precision)
    exact.encode(avatar)
    plain = _detect_and_render(exact, avatar, clip, size)
    first = clip.motions[0]
    gflops = {"cached": count_gflops(lambda: plain(first)), "uncached": count_gflops(lambda: render_uncached(first))}
    stats = StatsCollector()
    time_modules({**used.detector.parts, **used.parts}, stats)
    frames = {
        precision: with_own_threads(renderer.setting, _detect_and_render(renderer, avatar, clip, size))
        for precision, renderer in renderers.items()
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
    threads = 1 if setting.int8 else available_cores()

    def render_frame(motion: Any) -> Image:
        if network_threads() != threads:
            set_network_threads(threads)
        return render(motion)

    return render_frame


def _detect_and_render(renderer: DaganRenderer, avatar: DaganAvatar, clip: DrivingClip, size: int) -> RenderFrame:
    return lambda motion: renderer.render(avatar, renderer.detector.detect(clip.picture_of(motion)), size)


def _make_compact_subject(
    settings: RunSettings, used_renderer: CompactRenderer, avatar: CompactAvatar, speech: StillHeadSpeech
) -> BenchmarkSubject:
    """The bundled generator as ``run`` would use it, beside its exact path with and without the source's work kept."""
    from livehead.renderers.compact import CompactAvatar

    def uncached_avatar() -> CompactAvatar:
        return CompactAvatar(avatar.motion, avatar.image, avatar.person)

    size = settings.render_size
    exact = cast("CompactRenderer", make_renderer("compact", size, precision="fp32"))
    renderers = {"fp32": exact, used_renderer.setting.precision: used_renderer}
    for precision in faster_precisions():
        if precision not in renderers:
            renderers[precision] = cast("CompactRenderer", make_renderer("compact", size, precision=precision))
    stats = StatsCollector()
    time_modules(used_renderer.parts, stats)
    exact.render(avatar, avatar.motion, size)
    return BenchmarkSubject(
        render_by_precision={
            precision: with_own_threads(renderer.setting, partial(renderer.render, avatar, size=size))
            for precision, renderer in renderers.items()
        },
        used_precision=used_renderer.setting.precision,
        render_uncached=with_own_threads(exact.setting, lambda motion: exact.render(uncached_avatar(), motion, size)),
        render_batch=lambda motions: used_renderer.render_many(
            [RenderRequest(avatar, motion, size) for motion in motions]
        ),
        gflops={
            "cached": count_gflops(lambda: exact.render(avatar, avatar.motion, size)),
            "uncached": count_gflops(lambda: exact.render(uncached_avatar(), avatar.motion, size)),
        },
        stats=stats,
        speech=speech,
    )
