"""pytorch-openpose's decoder, for comparison with what was made with it: COCO_18 maps enlarged to the picture, smoothed
before peaks are looked for, limb by limb.

It differs from OpenPose's own in nearly every constant; ``livehead.models.openpose.decoder`` is the one to use.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from livehead.frames import Image
from livehead.models.openpose.affinity import Edges, pairs_of
from livehead.models.openpose.decoder import People
from livehead.models.openpose.grouping import NONE, Persons, match, with_pairs
from livehead.models.openpose.heatmaps import STRIDE, Array, enlarged
from livehead.models.openpose.peaks import Peaks
from livehead.models.openpose.picture import as_input
from livehead.models.openpose.skeletons import COCO_18

_HEIGHT = 184  # of the picture that the network sees
_GREY = 128  # beyond its border
_SIGMA, _WINDOW = 3.0, 25  # of the smoothing, in pixels of the picture
_PEAK, _ALIGNED = 0.1, 0.05
_SAMPLES, _SHARE = 10, 0.8
_FEWEST, _LEAST_MEAN = 4, 0.4  # parts of a person, and their mean score


def smoothed_input(image: Image) -> Array:
    """``image`` uint8 [h, w, 3] RGB as [3, H, W] BGR in [-0.5, 0.5), sides padded to multiples of 8."""
    height, width = image.shape[:2]
    scale = _HEIGHT / height
    small = cv2.resize(image[..., ::-1], (round(width * scale), _HEIGHT), interpolation=cv2.INTER_CUBIC)
    pad = [-side % STRIDE for side in small.shape[:2]]
    return as_input(np.pad(small, ((0, pad[0]), (0, pad[1]), (0, 0)), constant_values=_GREY))


def decode_smoothed(cells: Array, size: tuple[int, int]) -> People:
    """People in COCO_18's output [57, h, w] for ``smoothed_input`` of a picture of ``size`` (width, height)."""
    peaks, persons = assemble_smoothed(cells, size)
    table = np.concatenate([np.stack([peaks.x, peaks.y, peaks.score], axis=1), np.zeros((1, 3), np.float32)])
    return People(table[persons.peaks], (persons.score / np.maximum(persons.count, 1)).astype(np.float32))


def assemble_smoothed(cells: Array, size: tuple[int, int]) -> tuple[Peaks, Persons]:
    """The peaks, and who they belong to."""
    width, height = size
    inner = (round(width * _HEIGHT / height), _HEIGHT)
    full = enlarged(cells, (cells.shape[2] * STRIDE, cells.shape[1] * STRIDE))
    maps = enlarged(full[:, : inner[1], : inner[0]], size)
    peaks = _peaks(maps[: len(COCO_18.parts)])
    fields = maps[COCO_18.heat_planes :]
    table = COCO_18.limb_table
    edges = _edges((fields[table[:, 2]] + 1j * fields[table[:, 3]]).astype(np.complex64), peaks)
    persons = Persons(np.empty((0, len(COCO_18.parts)), np.int64), np.empty(0), np.empty(0, np.int64))
    for place, limb in enumerate(COCO_18.limbs):
        persons = _grown(persons, (limb.a, limb.b), match(edges[edges.limb == place]), peaks, founds=limb.binds)
    return peaks, persons[(persons.count >= _FEWEST) & (persons.score / persons.count >= _LEAST_MEAN)]


def _peaks(heat: Array) -> Peaks:
    """Pixels not below their four neighbours in the smoothed maps; the score is the unsmoothed one."""
    smooth = np.stack(
        [cv2.GaussianBlur(plane, (_WINDOW, _WINDOW), _SIGMA, borderType=cv2.BORDER_REFLECT) for plane in heat]
    )
    padded = np.pad(smooth, ((0, 0), (1, 1), (1, 1)))
    across = np.maximum(padded[:, 1:-1, :-2], padded[:, 1:-1, 2:])
    down = np.maximum(padded[:, :-2, 1:-1], padded[:, 2:, 1:-1])
    part, y, x = np.nonzero((smooth > _PEAK) & (smooth >= across) & (smooth >= down))
    first = np.searchsorted(part, np.arange(len(heat) + 1))
    return Peaks(part, x.astype(np.float32), y.astype(np.float32), heat[part, y, x], first)


def _edges(fields: npt.NDArray[np.complex64], peaks: Peaks) -> Edges:
    """Pairs of which enough samples, both ends too, follow the field, with their mean product; long ones lose."""
    pairs = pairs_of(peaks, COCO_18)
    places = peaks.x.astype(np.float64) + 1j * peaks.y
    start, way = places[pairs.a], places[pairs.b] - places[pairs.a]
    length = np.maximum(np.abs(way), 1e-3)
    line = start[:, None] + way[:, None] * np.linspace(0, 1, _SAMPLES)
    x, y = np.rint(line.real).astype(np.int64), np.rint(line.imag).astype(np.int64)
    products = (fields[pairs.limb[:, None], y, x] * (way / length).conj()[:, None]).real
    score = products.mean(axis=1) + np.minimum(0.5 * fields.shape[1] / length - 1, 0)
    good = ((products > _ALIGNED).sum(axis=1) > _SHARE * _SAMPLES) & (score > 0)
    return Edges(pairs.limb, pairs.a, pairs.b, score)[good]


def _grown(persons: Persons, parts: tuple[int, int], edges: Edges, peaks: Peaks, *, founds: bool) -> Persons:
    """A limb's matched edges: of each, persons that hold an end get the other, two that share nothing become one."""
    holders = (persons.peaks[:, parts[0], None] == edges.a) | (persons.peaks[:, parts[1], None] == edges.b)
    number = holders.sum(axis=0)
    person, which = np.nonzero(holders & (number == 1))
    lacks = persons.peaks[person, parts[1]] != edges.b[which]
    _give(persons, person[lacks], parts[1], edges[which[lacks]], peaks)
    gone = np.zeros(len(persons.count), bool)
    for edge in np.flatnonzero(number == 2):
        first, second = np.flatnonzero(holders[:, edge])
        if (np.minimum(persons.peaks[first], persons.peaks[second]) != NONE).any():
            _give(persons, np.array([first]), parts[1], edges[np.array([edge])], peaks)
            continue
        persons.peaks[first] = np.maximum(persons.peaks[first], persons.peaks[second])
        persons.score[first] += persons.score[second] + edges.score[edge]
        persons.count[first] += persons.count[second]
        gone[second] = True
    kept = persons[~gone]
    return with_pairs(kept, parts, edges[number == 0], peaks) if founds else kept


def _give(persons: Persons, person: npt.NDArray[np.int64], part: int, edges: Edges, peaks: Peaks) -> None:
    persons.peaks[person, part] = edges.b
    persons.score[person] += peaks.score[edges.b] + edges.score
    persons.count[person] += 1
