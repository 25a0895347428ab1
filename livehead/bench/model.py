"""``livehead bench model``: how long one renderer takes for a frame, how it was made faster, and at what loss."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from livehead.bench.timing import cycle_inputs, time_round_robin
from livehead.evaluation.image_metrics import psnr
from livehead.frames import Image
from livehead.motion.keypoints import Array
from livehead.reporting.report import Json
from livehead.stats import StatsCollector, peak_memory_mb, summarize_ms

log = logging.getLogger(__name__)

RenderFrame: TypeAlias = Callable[[Any], Image]
"""A renderer with its avatar: one picture of a motion of its kind."""

_BACKGROUND_SHARE = 0.02  # share of person in a pixel below which it is background
_REFERENCE = "fp32"
_UNCACHED = "fp32, uncached"


@dataclass(frozen=True, slots=True, eq=False)
class StillHeadSpeech:
    """``motions`` of a head that is still and a mouth that moves, during which nothing but the person may move.

    ``person_mask``: float32 [size, size] in [0, 1], where the person is in the renderer's pictures.
    """

    motions: Sequence[Any]
    person_mask: Array


@dataclass(frozen=True, slots=True, eq=False)
class BenchmarkSubject:
    """A renderer in all the ways in which it can be run; what a renderer does not have stays empty.

    ``render_by_precision`` always has ``fp32``; ``used_precision`` is the one that ``run`` would use here.
    ``render_uncached`` is fp32 with the source's own work done anew for each frame, ``render_batch`` draws
    ``batch_size`` motions at once. ``gflops`` of one frame has the keys ``cached`` and ``uncached``. The renderer
    records its stages in ``stats``, if it does. ``speech`` shows whether the background stands still. ``warm_up`` is
    the number of frames before those that are timed, and of those that are compared.
    """

    render_by_precision: Mapping[str, RenderFrame]
    used_precision: str = _REFERENCE
    render_uncached: RenderFrame | None = None
    render_batch: Callable[[Sequence[Any]], list[Image]] | None = None
    batch_size: int = 8
    gflops: Mapping[str, float] = field(default_factory=dict)
    stats: StatsCollector | None = None
    speech: StillHeadSpeech | None = None
    warm_up: int = 10


def bench_model(subject: BenchmarkSubject, motions: Sequence[Any], rounds: int = 300) -> dict[str, Json]:
    """Time ``rounds`` frames of each way to draw, after a warm-up, playing ``motions`` over and over.

    The result has the keys of ``bench model``'s JSON; those that do not apply to this renderer are left out.
    """
    plans = {name: (render, rounds) for name, render in subject.render_by_precision.items()}
    if subject.render_uncached is not None:
        plans[_UNCACHED] = (subject.render_uncached, max(rounds // 4, 1))
    frames = time_round_robin(plans, motions, subject.warm_up)
    uncached = frames.pop(_UNCACHED, None)
    results: dict[str, Json] = {
        "frame": summarize_ms(frames[subject.used_precision]),
        "frames": {name: summarize_ms(samples) for name, samples in frames.items()},
        "uses": subject.used_precision,
    }
    if subject.stats is not None:
        results["stages"] = subject.stats.summarize_stages()  # before anything is drawn several at a time
    reference = float(np.median(frames[_REFERENCE]))
    quicker = {name: samples for name, samples in frames.items() if name != _REFERENCE}
    if uncached is not None:
        results["frame_fp32_uncached"] = summarize_ms(uncached)
        reference = float(np.median(uncached))
        quicker = frames
    if quicker:
        # over the plain way to run the network: exact, and with nothing cached
        results["speedup"] = {name: round(reference / float(np.median(times)), 3) for name, times in quicker.items()}
    log.info("comparing the precisions with fp32")
    outputs = {
        name: [render(motion) for motion in motions[: subject.warm_up]]
        for name, render in subject.render_by_precision.items()
    }
    exact = outputs.pop(_REFERENCE)
    if outputs:
        results["psnr_to_fp32"] = {name: round(_mean_psnr(images, exact), 2) for name, images in outputs.items()}
    results["output_std"] = round(float(np.std(np.stack(exact).astype(np.float32) / 255)), 5)
    if subject.render_batch is not None:
        log.info("timing batches of %d", subject.batch_size)
        results["batched_fps"] = round(
            _measure_batched_fps(subject.render_batch, motions, subject.batch_size, max(rounds // 15, 1)), 2
        )
    if subject.speech is not None:
        results["background_change"] = measure_background_change(
            subject.render_by_precision[subject.used_precision], subject.speech
        )
    results |= {f"gflops_{name}": figure for name, figure in subject.gflops.items()}
    results["peak_mb"] = round(peak_memory_mb(), 1)
    return results


def measure_background_change(render: RenderFrame, speech: StillHeadSpeech) -> dict[str, float]:
    """The mean and the largest change of a pixel outside the person from the first motion on, in the 0-1 range."""
    outside = speech.person_mask < _BACKGROUND_SHARE
    first, *others = (render(motion)[..., :3][outside].astype(np.int16) for motion in speech.motions)
    changes = [np.abs(other - first) for other in others]
    mean = float(np.mean([change.mean() for change in changes])) / 255
    return {"mean": round(mean, 6), "largest": round(float(max(change.max() for change in changes)) / 255, 6)}


def _measure_batched_fps(
    render: Callable[[Sequence[Any]], list[Image]], motions: Sequence[Any], batch: int, rounds: int
) -> float:
    """Frames a second when ``batch`` sessions are drawn together."""
    together = list(cycle_inputs(motions, batch))
    render(together)
    start = time.perf_counter()
    for _ in range(rounds):
        render(together)
    return rounds * batch / (time.perf_counter() - start)


def _mean_psnr(images: Sequence[Image], exact: Sequence[Image]) -> float:
    return float(np.mean([psnr(image[..., :3], truth[..., :3]) for image, truth in zip(images, exact, strict=True)]))
