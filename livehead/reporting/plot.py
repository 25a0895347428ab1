"""Plots of evaluations and benchmarks as PNG files, drawn without a screen."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from livehead.errors import ConfigError
from livehead.evaluation.self_reenactment import ModelFigures
from livehead.evaluation.speech import SpeechFigures
from livehead.storage import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from livehead.bench.soak_windows import SoakWindow

_BETTER_DIRECTION = {
    "l1": "lower",
    "psnr": "higher",
    "ssim": "higher",
    "akd": "lower",
    "mouth_l1": "lower",
    "sharpness": "1 is ideal",
    "flicker": "1 is ideal",
    "identity": "lower",
}
"""The metrics of an evaluation that are plotted, and which direction is better."""

_WAIT_COLOUR = "#9aa5b1"

MAX_SPEECH_CLIPS = 3
"""The number of clips of which ``plot_speech`` shows the mouth."""


def plot_evaluation(results: Mapping[str, ModelFigures], path: Path) -> None:
    """Plot a panel for each metric: a bar for a model's mean, a dot for each clip. Raises: ConfigError."""
    figure = _new_figure(13, 6.5)
    panels = figure.subplots(2, 4).flat
    colours = _palette_colours(len(results))
    for panel, (metric, better) in zip(panels, _BETTER_DIRECTION.items(), strict=True):
        for place, figures in enumerate(results.values()):
            clips = [clip[metric] for clip in figures.clips.values()]
            panel.bar(place, figures.mean[metric], color=colours[place], width=0.7)
            spread = np.linspace(-0.22, 0.22, len(clips)) if len(clips) > 1 else [0.0]
            panel.plot(place + np.asarray(spread), clips, "o", color="#20242a", alpha=0.45, markersize=3)
        panel.set_title(f"{metric}  ({better})", fontsize=10)
        panel.set_xticks(range(len(results)), list(results), fontsize=9)
        if metric in ("psnr", "ssim"):  # differences are small beside the figures themselves
            _zoom_y_axis(panel, [clip[metric] for figures in results.values() for clip in figures.clips.values()])
        _hide_spines(panel)
    count = len(next(iter(results.values())).clips)
    figure.suptitle(f"self-reenactment, {count} clips: bars are means, dots are clips", fontsize=11)
    _save_figure(figure, path)


def plot_latency(latency_ms: Sequence[float], shares: Mapping[str, float], path: Path, title: str) -> None:
    """Plot motion to photon as a histogram with median, p95 and p99, and each step's share of the median.

    ``latency_ms`` has a value for each motion; ``shares`` is the part of the median that each step takes, in the order
    in which a frame passes them. Raises: ConfigError when the file cannot be written.
    """
    figure = _new_figure(9, 5.2)
    top, bottom = figure.subplots(2, 1, height_ratios=(4, 1))
    samples = np.asarray(latency_ms)
    last = max(float(samples.max()), 1.0) * 1.05
    top.hist(samples, bins=np.arange(0, last + 2, 2).tolist(), color=_palette_colours(1)[0])
    marks = np.percentile(samples, [50, 95, 99])
    for name, value, line in zip(("median", "p95", "p99"), marks, ("-", "--", ":"), strict=True):
        top.axvline(value, color="#20242a", linestyle=line, linewidth=1.2, label=f"{name} {value:.1f} ms")
    top.legend(frameon=False, fontsize=9)
    top.set_title(f"{title} ({len(samples)} motions)", fontsize=11)
    top.set_ylabel("motions")
    top.set_xlim(0, last)
    _hide_spines(top)
    _draw_shares(bottom, shares, float(marks[0]))
    bottom.set_xlim(0, last)
    bottom.set_xlabel("milliseconds after the motion")
    _save_figure(figure, path)


def plot_speech(figures: SpeechFigures, path: Path) -> None:
    """Plot the opening of the mouth, in the clip and made from its sound, of up to three clips. Raises: ConfigError."""
    names = list(figures.traces)[:MAX_SPEECH_CLIPS]
    figure = _new_figure(12, 2.6 * len(names) + 0.6)
    panels = np.atleast_1d(figure.subplots(len(names), 1))
    reference_colour, predicted_colour = _palette_colours(2)
    for panel, name in zip(panels, names, strict=True):
        trace, clip = figures.traces[name], figures.clips[name]
        panel.plot(trace.times, trace.reference, color=reference_colour, linewidth=1.3, label="in the clip")
        panel.plot(trace.times, trace.predicted, color=predicted_colour, linewidth=1.3, label="from its sound")
        loudness = clip["mouth_correlation_envelope"]
        panel.set_title(f"{name}: correlation {clip['mouth_correlation']:.2f}, of loudness {loudness:.2f}", fontsize=10)
        panel.set_ylabel("opening")
        panel.set_xlim(trace.times[0], trace.times[-1])
        _hide_spines(panel)
    panels[0].legend(frameon=False, fontsize=9, loc="upper right")
    panels[-1].set_xlabel("seconds")
    figure.suptitle("inner lips' distance over the face's height", fontsize=11)
    _save_figure(figure, path)


def plot_frame_ages(ages_ms: Mapping[str, Sequence[float]], path: Path) -> None:
    """Plot camera to page as histograms with median and p95, a panel for each renderer. Raises: ConfigError."""
    figure = _new_figure(9, 1.4 + 1.7 * len(ages_ms))
    panels = figure.subplots(len(ages_ms), 1, sharex=True, squeeze=False)[:, 0]
    last = max(max(samples) for samples in ages_ms.values()) * 1.02 + 5
    colours = _palette_colours(len(ages_ms))
    for panel, colour, (name, samples) in zip(panels, colours, ages_ms.items(), strict=True):
        panel.hist(samples, bins=np.arange(0, last + 5, 5).tolist(), color=colour)
        for mark, line in ((50, "-"), (95, "--")):
            value = float(np.percentile(samples, mark))
            label = f"{'median' if mark == 50 else 'p95'} {value:.0f} ms"
            panel.axvline(value, color="#20242a", linestyle=line, linewidth=1.2, label=label)
        panel.legend(frameon=False, fontsize=9)
        panel.set_title(f"{name} ({len(samples)} pictures)", fontsize=10)
        _hide_spines(panel)
    panels[-1].set_xlabel("milliseconds from the camera to the page")
    _save_figure(figure, path)


def plot_decoder_times(by_people: Mapping[int, Mapping[str, float]], plain: Mapping[str, float], path: Path) -> None:
    """Plot the pose decoder's time over the number of people, beside the plain way's. Raises: ConfigError."""
    figure = _new_figure(8, 4.6)
    axes = figure.subplots()
    colour, other = _palette_colours(2)
    counts = list(by_people)
    axes.plot(counts, [times["median"] for times in by_people.values()], "o-", color=colour, label="median")
    axes.plot(counts, [times["p95"] for times in by_people.values()], ":", color=colour, label="p95")
    top = 1.25 * max(times["p95"] for times in by_people.values())
    label = f"all maps enlarged first: {plain['median']:.0f} ms" + " (far above)" * (plain["median"] > top)
    axes.axhline(plain["median"], color=other, linestyle="--", linewidth=1.2, label=label)
    axes.set_ylim(0, top)
    axes.set_xticks(counts)
    axes.set_xlabel("people in the maps of a 656 x 368 picture")
    axes.set_ylabel("milliseconds")
    axes.set_title("from a network's maps to people, BODY_25, one core", fontsize=11)
    axes.legend(frameon=False, fontsize=9, loc="upper left")
    _hide_spines(axes)
    _save_figure(figure, path)


def plot_soak(windows: Sequence[SoakWindow], path: Path, title: str) -> None:
    """Plot latency, A/V offset and memory over a long call. Raises: ConfigError when the file cannot be written."""
    figure = _new_figure(9, 6.4)
    panels = figure.subplots(3, 1, sharex=True)
    minutes = [window.at_s / 60 for window in windows]
    rows = (
        ("picture, ms late", "picture_ms"),
        ("sound after picture, ms", "offset_ms"),
        ("server's MB", "resident_mb"),
    )
    for panel, colour, (label, name) in zip(panels, _palette_colours(3), rows, strict=True):
        values = [np.nan if (value := getattr(window, name)) is None else value for window in windows]
        panel.plot(minutes, values, ".-", color=colour, linewidth=1.3, markersize=3)
        panel.set_ylabel(label, fontsize=9)
        _hide_spines(panel)
    panels[1].axhline(0, color="#20242a", linewidth=0.6)
    panels[-1].set_xlabel("minutes")
    figure.suptitle(title, fontsize=11)
    _save_figure(figure, path)


def _draw_shares(axes: Axes, shares: Mapping[str, float], total_ms: float) -> None:
    """Draw one bar of the steps one after the other, to the scale of the histogram above it."""
    left = 0.0
    shown = {name: share * total_ms for name, share in shares.items() if share > 0}
    for (name, wide), colour in zip(shown.items(), [_WAIT_COLOUR, *_palette_colours(len(shown))], strict=False):
        axes.barh(0, wide, left=left, color=colour, height=0.8, label=f"{name} {wide:.1f}", edgecolor="white")
        left += wide
    axes.set_yticks([])
    axes.legend(ncols=4, frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.55))
    axes.set_title("where the median goes (medians of the stages)", fontsize=9)
    _hide_spines(axes)


def _zoom_y_axis(axes: Axes, values: Sequence[float]) -> None:
    margin = (max(values) - min(values)) * 0.1 or 1.0
    axes.set_ylim(min(values) - margin, max(values) + margin)


def _hide_spines(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)


def _palette_colours(count: int) -> list[str]:
    palette = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377")
    return [palette[i % len(palette)] for i in range(count)]


def _new_figure(width: float, height: float) -> Figure:
    """A figure with a canvas of its own: it needs no screen and no global state, so that any thread may draw."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save_figure(figure: Figure, path: Path) -> None:
    picture = io.BytesIO()
    figure.savefig(picture, dpi=110, format="png")
    try:
        write_atomically(path, picture.getvalue())
    except OSError as error:
        raise ConfigError(
            f"cannot write {path} ({error.strerror})", "give --plot a file in a folder that exists", subject=str(path)
        ) from error
