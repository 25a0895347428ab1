"""Statistics of how people blink, look about and sway: the figures of the idle motion, measured on clips.

    python -m livehead.training.fits.idle_statistics --clips DIR --list FILE --json idle.json

Angles and positions are the head's against its mean in the clip; gaze is in widths of the eye, in the head's own frame.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from livehead.errors import LiveheadError
from livehead.evaluation.clips import list_clips
from livehead.motion.face.eyes import estimate_gaze, eye_aperture
from livehead.motion.face.head import fit_head_motion
from livehead.motion.face.mean_face import load_mean_face
from livehead.motion.face.mesh import FACE_MESH
from livehead.motion.keypoints import Array
from livehead.perception.talking_clip import track_meshes
from livehead.storage import write_atomically

log = logging.getLogger(__name__)

BANDS_HZ = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
"""Edges of the octaves for which sway is measured."""

_SHUT, _OPEN = 0.45, 0.8  # shares of the eye's usual opening: a blink goes below the first, and lasts up to the second
_MAX_BLINK_S = 0.6  # anything longer is a look down, or sleep
_MIN_GLANCE_STEP = 0.025  # widths of the eye between two frames; less is noise and no glance
_MIN_CLIP_S = 4.0  # a shorter clip has too few periods of sway

_FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ClipIdleMotion:
    """The idle motion of one clip of so many ``seconds``.

    ``blinks`` are the beginning, deepest moment and end of each in seconds; ``glances`` the moment of each and how far
    it goes to the right and down; ``sway`` is [axes, bands], None for a clip that is too short.
    """

    seconds: float
    blinks: list[tuple[float, float, float]]
    glances: list[tuple[float, float, float]]
    gaze_spread: tuple[float, float]
    sway: Array | None


SWAY_AXES = ("yaw", "pitch", "roll", "right", "down")


def measure_idle_motion(times: _FloatArray, meshes: Array) -> ClipIdleMotion:
    """Measure the idle motion of one person's ``meshes`` [T, 478, 3] at ``times`` [T] in seconds."""
    mean = load_mean_face()
    heads = [fit_head_motion(mean, mesh) for mesh in meshes]
    shapes = np.stack([head.inverse().apply(mesh) for head, mesh in zip(heads, meshes, strict=True)])
    opened = np.array(
        [(eye_aperture(s, FACE_MESH.right_eye) + eye_aperture(s, FACE_MESH.left_eye)) / 2 for s in shapes]
    )
    opened = opened / max(float(np.percentile(opened, 75)), 1e-6)
    looks = np.array(
        [
            [(g.right, g.down) for g in (estimate_gaze(s, FACE_MESH.right_eye), estimate_gaze(s, FACE_MESH.left_eye))]
            for s in shapes
        ]
    )
    look = looks.mean(axis=1)
    still = opened > _OPEN
    spread = look[still].std(axis=0) if still.any() else np.zeros(2)
    places = np.array([[*head.euler_angles(), head.shift[0], head.shift[1]] for head in heads])
    return ClipIdleMotion(
        seconds=float(times[-1]),
        blinks=find_blinks(times, opened),
        glances=find_glances(times, look, still),
        gaze_spread=(float(spread[0]), float(spread[1])),
        sway=measure_sway(times, places) if times[-1] >= _MIN_CLIP_S else None,
    )


def find_blinks(times: _FloatArray, opened: _FloatArray) -> list[tuple[float, float, float]]:
    """The beginning, deepest moment and end in seconds of each blink; beginning and end are interpolated.

    ``opened`` [T] is the eyes' opening as a share of the usual one.
    """
    found = []
    last_end = 0
    for start in np.flatnonzero((opened[1:] < _SHUT) & (opened[:-1] >= _SHUT)) + 1:
        before = start
        while before > 0 and opened[before] < _OPEN:
            before -= 1
        after = start
        while after < len(opened) - 1 and opened[after] < _OPEN:
            after += 1
        if opened[before] < _OPEN or opened[after] < _OPEN or before < last_end:
            continue
        if times[after] - times[before] <= _MAX_BLINK_S:
            deepest = before + int(np.argmin(opened[before : after + 1]))
            found.append(
                (
                    _opening_crossing_s(times, opened, before),
                    float(times[deepest]),
                    _opening_crossing_s(times, opened, after - 1),
                )
            )
            last_end = after
    return found


def _opening_crossing_s(times: _FloatArray, opened: _FloatArray, index: int) -> float:
    """The moment in seconds at which the lids pass ``_OPEN`` between frame ``index`` and the next."""
    one, other = opened[index], opened[index + 1]
    share = (one - _OPEN) / (one - other) if one != other else 0.5
    return float(times[index] + np.clip(share, 0, 1) * (times[index + 1] - times[index]))


def find_glances(
    times: _FloatArray, look: _FloatArray, still: npt.NDArray[np.bool_]
) -> list[tuple[float, float, float]]:
    """The moment of each jump of the gaze, and how far it goes to the right and down.

    ``look`` [T, 2] is the gaze, ``still`` [T] tells where the eyes are open. Jumps of neighbouring frames are one.
    """
    step = np.diff(look, axis=0)
    quick = (np.abs(step[:, 0]) > _MIN_GLANCE_STEP) & still[1:] & still[:-1]
    found: list[tuple[float, float, float]] = []
    index = 0
    while index < len(quick):
        if not quick[index]:
            index += 1
            continue
        end = index
        while end < len(quick) and quick[end]:
            end += 1
        right, down = look[end] - look[index]
        found.append((float(times[index]), float(right), float(down)))
        index = end
    return found


def measure_sway(times: _FloatArray, places: _FloatArray) -> Array:
    """The standard deviation of each of ``places`` [T, axes] in the octaves of ``BANDS_HZ``: [axes, bands]."""
    rate = (len(times) - 1) / times[-1]
    window = np.hanning(len(places))[:, None]
    line = np.linspace(0, 1, len(places))[:, None]
    plain = places - (places[:1] + line * (places[-1:] - places[:1]))
    spectrum = np.abs(np.fft.rfft((plain - plain.mean(axis=0)) * window, axis=0)) ** 2
    power = 2 * spectrum / (len(places) * np.square(window).sum())
    at = np.fft.rfftfreq(len(places), 1 / rate)
    rows = []
    for low, high in zip(BANDS_HZ[:-1], BANDS_HZ[1:], strict=True):
        inside = (at >= low) & (at < high)
        rows.append(np.sqrt(power[inside].sum(axis=0)) if inside.any() else np.full(places.shape[1], np.nan))
    return np.asarray(np.stack(rows, axis=1), np.float32)


def summarize_clips(clips: Sequence[ClipIdleMotion]) -> dict[str, object]:
    """The figures of all clips together, as they are written to JSON."""
    seconds = sum(clip.seconds for clip in clips)
    events = [blink for clip in clips for blink in clip.blinks]
    closing = [deepest - start for start, deepest, _ in events]
    reopening = [end - deepest for _, deepest, end in events]
    intervals = np.concatenate([np.diff([b[0] for b in clip.blinks]) for clip in clips if len(clip.blinks) > 1])
    jumps = np.array([(right, down) for clip in clips for _, right, down in clip.glances])
    pauses = np.concatenate([np.diff([g[0] for g in clip.glances]) for clip in clips if len(clip.glances) > 1])
    sways = np.stack([clip.sway for clip in clips if clip.sway is not None])
    quartiles = np.nanpercentile(sways, [25, 50, 75], axis=0)
    return {
        "clips": len(clips),
        "minutes": round(seconds / 60, 2),
        "blinks_a_minute": round(60 * len(events) / seconds, 2),
        "blink_intervals_s": _percentile_row(intervals),
        "blink_closing_s": _percentile_row(closing),
        "blink_opening_s": _percentile_row(reopening),
        "glances_a_minute": round(60 * len(jumps) / seconds, 2),
        "glance_intervals_s": _percentile_row(pauses),
        "glance_right": _percentile_row(np.abs(jumps[:, 0])),
        "glance_down": _percentile_row(np.abs(jumps[:, 1])),
        "gaze_spread": [_percentile_row([clip.gaze_spread[axis] for clip in clips]) for axis in (0, 1)],
        "bands_hz": BANDS_HZ,
        "sway": {
            axis: {name: [round(float(v), 5) for v in quartiles[q, i]] for q, name in enumerate(("p25", "p50", "p75"))}
            for i, axis in enumerate(SWAY_AXES)
        },
    }


def _percentile_row(values: Sequence[float] | npt.NDArray[np.float64]) -> dict[str, float]:
    marks = np.percentile(np.asarray(values, float), [10, 25, 50, 75, 90])
    return {f"p{p}": round(float(v), 4) for p, v in zip((10, 25, 50, 75, 90), marks, strict=True)}


def main() -> None:
    """The command line of ``python -m livehead.training.fits.idle_statistics``."""
    parser = argparse.ArgumentParser(
        prog="python -m livehead.training.fits.idle_statistics",
        description="Measure how people blink, look about and sway.",
    )
    parser.add_argument("--clips", type=Path, required=True, help="a folder of clips of one face each")
    parser.add_argument("--list", type=Path, help="a file with names of clips, one a line; without it all are measured")
    parser.add_argument("--json", type=Path, required=True, help="the file to write the figures to")
    given = parser.parse_args()
    clips = []
    for path in tqdm(list_clips(given.clips, given.list), unit="clip", disable=None):
        try:
            times, meshes, _ = track_meshes(path)
        except LiveheadError as error:
            log.warning("%s", error)
            continue
        clips.append(measure_idle_motion(times, meshes))
    write_atomically(given.json, json.dumps(summarize_clips(clips), indent=1) + "\n")


if __name__ == "__main__":
    main()
