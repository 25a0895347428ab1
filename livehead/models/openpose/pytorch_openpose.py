"""pytorch-openpose's decoder, for comparison with data made with it: COCO_18 maps are resized to the picture and
smoothed before peaks are found, and persons are assembled limb by limb.

It differs from OpenPose's own in nearly every constant; ``livehead.models.openpose.decoder`` is the one to use.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from livehead.frames import Image
from livehead.models.openpose.affinity import LimbCandidates, pair_peaks
from livehead.models.openpose.decoder import DecodedPeople
from livehead.models.openpose.grouping import NO_PEAK, AssembledPersons, append_pairs, match_greedily
from livehead.models.openpose.heatmaps import STRIDE, Array, resize_cubic
from livehead.models.openpose.network_input import to_network_input
from livehead.models.openpose.peaks import HeatmapPeaks
from livehead.models.openpose.skeletons import COCO_18

_INPUT_HEIGHT = 184  # pixels of the network's input
_PADDING_VALUE = 128  # beyond the picture's border
_SMOOTHING_SIGMA, _SMOOTHING_WINDOW = 3.0, 25  # in pixels of the picture
_PEAK_THRESHOLD, _ALIGNMENT_THRESHOLD = 0.1, 0.05
_SAMPLES_PER_LIMB, _MIN_SHARE = 10, 0.8
_MIN_PARTS, _MIN_MEAN_SCORE = 4, 0.4  # of a person


def resize_for_network(image: Image) -> Array:
    """Resize ``image`` uint8 [h, w, 3] RGB to [3, H, W] BGR in [-0.5, 0.5), with sides padded to multiples of 8."""
    height, width = image.shape[:2]
    scale = _INPUT_HEIGHT / height
    small = cv2.resize(image[..., ::-1], (round(width * scale), _INPUT_HEIGHT), interpolation=cv2.INTER_CUBIC)
    pad = [-side % STRIDE for side in small.shape[:2]]
    return to_network_input(np.pad(small, ((0, pad[0]), (0, pad[1]), (0, 0)), constant_values=_PADDING_VALUE))


def decode_smoothed(cells: Array, size: tuple[int, int]) -> DecodedPeople:
    """Find the people in COCO_18's output [57, h, w] for ``resize_for_network`` of a picture.

    ``size``: width and height of the picture.
    """
    peaks, persons = assemble_smoothed(cells, size)
    table = np.concatenate([np.stack([peaks.x, peaks.y, peaks.score], axis=1), np.zeros((1, 3), np.float32)])
    return DecodedPeople(table[persons.peaks], (persons.score / np.maximum(persons.count, 1)).astype(np.float32))


def assemble_smoothed(cells: Array, size: tuple[int, int]) -> tuple[HeatmapPeaks, AssembledPersons]:
    """The peaks of the smoothed maps, and the persons assembled of them."""
    width, height = size
    inner = (round(width * _INPUT_HEIGHT / height), _INPUT_HEIGHT)
    full = resize_cubic(cells, (cells.shape[2] * STRIDE, cells.shape[1] * STRIDE))
    maps = resize_cubic(full[:, : inner[1], : inner[0]], size)
    peaks = _find_smoothed_peaks(maps[: len(COCO_18.parts)])
    fields = maps[COCO_18.heat_planes :]
    table = COCO_18.limb_table
    edges = _score_limb_candidates((fields[table[:, 2]] + 1j * fields[table[:, 3]]).astype(np.complex64), peaks)
    persons = AssembledPersons(np.empty((0, len(COCO_18.parts)), np.int64), np.empty(0), np.empty(0, np.int64))
    for place, limb in enumerate(COCO_18.limbs):
        persons = _grow_persons(
            persons, (limb.a, limb.b), match_greedily(edges[edges.limb == place]), peaks, founds=limb.can_add_person
        )
    return peaks, persons[(persons.count >= _MIN_PARTS) & (persons.score / persons.count >= _MIN_MEAN_SCORE)]


def _find_smoothed_peaks(heat: Array) -> HeatmapPeaks:
    """Find pixels not below their four neighbours in the smoothed maps; the score is that of the unsmoothed map."""
    smooth = np.stack(
        [
            cv2.GaussianBlur(
                plane, (_SMOOTHING_WINDOW, _SMOOTHING_WINDOW), _SMOOTHING_SIGMA, borderType=cv2.BORDER_REFLECT
            )
            for plane in heat
        ]
    )
    padded = np.pad(smooth, ((0, 0), (1, 1), (1, 1)))
    across = np.maximum(padded[:, 1:-1, :-2], padded[:, 1:-1, 2:])
    down = np.maximum(padded[:, :-2, 1:-1], padded[:, 2:, 1:-1])
    part, y, x = np.nonzero((smooth > _PEAK_THRESHOLD) & (smooth >= across) & (smooth >= down))
    first = np.searchsorted(part, np.arange(len(heat) + 1))
    return HeatmapPeaks(part, x.astype(np.float32), y.astype(np.float32), heat[part, y, x], first)


def _score_limb_candidates(fields: npt.NDArray[np.complex64], peaks: HeatmapPeaks) -> LimbCandidates:
    """Score pairs by the mean product of field and direction; long limbs lose, and enough samples must align."""
    pairs = pair_peaks(peaks, COCO_18)
    places = peaks.x.astype(np.float64) + 1j * peaks.y
    start, way = places[pairs.a], places[pairs.b] - places[pairs.a]
    length = np.maximum(np.abs(way), 1e-3)
    line = start[:, None] + way[:, None] * np.linspace(0, 1, _SAMPLES_PER_LIMB)
    x, y = np.rint(line.real).astype(np.int64), np.rint(line.imag).astype(np.int64)
    products = (fields[pairs.limb[:, None], y, x] * (way / length).conj()[:, None]).real
    score = products.mean(axis=1) + np.minimum(0.5 * fields.shape[1] / length - 1, 0)
    good = ((products > _ALIGNMENT_THRESHOLD).sum(axis=1) > _MIN_SHARE * _SAMPLES_PER_LIMB) & (score > 0)
    return LimbCandidates(pairs.limb, pairs.a, pairs.b, score)[good]


def _grow_persons(
    persons: AssembledPersons, parts: tuple[int, int], edges: LimbCandidates, peaks: HeatmapPeaks, *, founds: bool
) -> AssembledPersons:
    """Apply a limb's matched edges: a person that holds one end gets the other, and two without common parts merge.

    ``founds``: whether an edge that nobody holds starts a person.
    """
    holders = (persons.peaks[:, parts[0], None] == edges.a) | (persons.peaks[:, parts[1], None] == edges.b)
    number = holders.sum(axis=0)
    person, which = np.nonzero(holders & (number == 1))
    lacks = persons.peaks[person, parts[1]] != edges.b[which]
    _attach_parts(persons, person[lacks], parts[1], edges[which[lacks]], peaks)
    gone = np.zeros(len(persons.count), bool)
    for edge in np.flatnonzero(number == 2):
        first, second = np.flatnonzero(holders[:, edge])
        if (np.minimum(persons.peaks[first], persons.peaks[second]) != NO_PEAK).any():
            _attach_parts(persons, np.array([first]), parts[1], edges[np.array([edge])], peaks)
            continue
        persons.peaks[first] = np.maximum(persons.peaks[first], persons.peaks[second])
        persons.score[first] += persons.score[second] + edges.score[edge]
        persons.count[first] += persons.count[second]
        gone[second] = True
    kept = persons[~gone]
    return append_pairs(kept, parts, edges[number == 0], peaks) if founds else kept


def _attach_parts(
    persons: AssembledPersons, person: npt.NDArray[np.int64], part: int, edges: LimbCandidates, peaks: HeatmapPeaks
) -> None:
    persons.peaks[person, part] = edges.b
    persons.score[person] += peaks.score[edges.b] + edges.score
    persons.count[person] += 1
