"""The figures of ``livehead bench`` as tables on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from livehead.reporting.report import TIMING_COLUMNS, Json, format_table

Results = Mapping[str, Json]
"""What one subject of ``livehead bench`` measured, with the keys of its JSON."""


def format_model(results: Results) -> str:
    """A model's frame in every precision: time, how many times as fast as plain fp32, how near to it, memory."""
    rows = {precision: dict(_as_row(times)) for precision, times in _entries(results["frames"])}
    for column, key in (("speedup", "speedup"), ("psnr", "psnr_to_fp32"), ("peak_mb", "peaks_mb")):
        for precision, figure in _as_row(results.get(key, {})).items():
            rows[precision][column] = figure
    if "frame_fp32_uncached" in results:
        rows["fp32, plain"] = dict(_as_row(results["frame_fp32_uncached"]))
    return format_table(rows, (*TIMING_COLUMNS, "speedup", "psnr", "peak_mb"), "ms a frame")


def format_pipeline(results: Results) -> str:
    """Motion to photon and each stage on the way, then what the run as a whole came to."""
    rows = {"motion to photon": results["motion_to_photon"], **dict(_entries(results["stages"]))}
    columns = ("fps", "late_share", "dropped", "cpu_s_per_frame", "peak_mb", "start_s")
    return "\n".join([_format_times(rows, "ms"), format_table({"": _as_row(results)}, columns)])


def format_voice(results: Results) -> str:
    """The voice driver's time for a call, and how much of a core it takes."""
    times = _format_times({"estimate": results["estimate"]}, "ms")
    return "\n".join([times, format_table({"": _as_row(results)}, ("real_time_factor",))])


def format_pose(results: Results) -> str:
    """BODY_25's network in every precision, the decoder by the number of people, and the body driver."""
    network, decoder = (dict(_entries(results[name])) for name in ("network", "decoder"))
    speedup = _as_row(network["speedup"])
    frames = {"fp32, plain": network["frame_fp32_uncached"], **dict(_entries(network["frames"]))}
    by_people = {f"{count} people": times for count, times in _entries(results["decoder_by_people"])}
    return "\n".join(
        [
            _format_times(frames, "ms, BODY_25 at 368x368"),
            format_table({"": speedup}, tuple(speedup), "times as fast as plain"),
            _format_times({**by_people, "everything enlarged": decoder["plain"]}, "ms, decoder"),
            format_table({"": _as_row(results["driver"])}, (*TIMING_COLUMNS, "seen_share"), "ms, driver body"),
        ]
    )


def format_webrtc(results: Results) -> str:
    """Camera to page by renderer, what viewers cost the server, and each renderer's stages."""
    pages = dict(_entries(results["camera_to_page"]))
    rows = {name: _as_row(page) for name, page in pages.items()}
    tables = [format_table(rows, (*TIMING_COLUMNS, "fps", "join_s", "av_offset_ms"), "ms from camera to page")]
    if results["viewers_cpu"] is not None:
        columns = ("viewers", "cores_one", "cores_all", "fps_one", "fps_all", "ratio")
        tables.append(format_table({"warp": _as_row(results["viewers_cpu"])}, columns, "cores of the server"))
    for name, page in pages.items():
        stages = {stage: _as_row(times) for stage, times in _entries(dict(_entries(page))["stages"])}
        tables.append(format_table(stages, TIMING_COLUMNS[:2], name))
    return "\n".join(tables)


def format_soak(results: Results) -> str:
    """How memory, A/V offset and latency changed over a long call, beside their limits."""
    rows = {name: _as_row(results[name]) for name in ("change", "limits", "holds")}
    return format_table(rows, ("memory_mb", "offset_ms", "picture_ms"), f"{results['minutes']} minutes")


def _format_times(rows: Mapping[str, Json], corner: str) -> str:
    return format_table({name: _as_row(times) for name, times in rows.items()}, TIMING_COLUMNS, corner)


def _as_row(figures: Json) -> Mapping[str, float]:
    return cast("Mapping[str, float]", figures)


def _entries(figures: Json) -> list[tuple[str, Json]]:
    return list(cast("Mapping[str, Json]", figures).items())
