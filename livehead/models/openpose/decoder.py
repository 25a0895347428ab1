"""From a network's maps to people: peaks, line integrals, assembly, and removal of incomplete persons."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from livehead.models.openpose.affinity import LineIntegralRule, score_limb_candidates
from livehead.models.openpose.grouping import NO_PEAK, AssembledPersons, assemble_by_limb, assemble_by_score
from livehead.models.openpose.heatmaps import STRIDE, Array, CubicPlanes, DensePlanes, HeatmapPlanes, resize_cubic
from livehead.models.openpose.peaks import HeatmapPeaks, find_peaks
from livehead.models.openpose.skeletons import Skeleton

AssemblyMethod = Literal["score", "limb"]
"""How limbs become persons: ``score`` as in OpenPose's GPU builds, ``limb`` as in its CPU builds."""

_MAX_REJECTED_PARTS = 4  # a person with feet and at most this many other parts is rejected


@dataclass(frozen=True, slots=True)
class DecoderThresholds:
    """Thresholds of a decoder.

    ``peak_threshold``: least value of a peak. ``alignment_threshold`` and ``min_share``: see ``LineIntegralRule``.
    ``min_parts`` and ``min_score``: least number of parts and least mean score of a person. ``reject_feet_only``:
    whether a person that consists of little more than feet is rejected.
    """

    peak_threshold: float
    alignment_threshold: float
    min_share: float = 0.95
    min_parts: int = 3
    min_score: float = 0.4
    reject_feet_only: bool = True

    @classmethod
    def for_skeleton(cls, skeleton: Skeleton, *, maximize_positives: bool = False) -> DecoderThresholds:
        """The published thresholds; ``maximize_positives`` lets more persons through, false ones included."""
        if not maximize_positives:
            return cls(skeleton.peak_threshold, skeleton.alignment_threshold)
        return cls(min(skeleton.peak_threshold, 0.02), 0.01, 0.75, 2, 0.05, reject_feet_only=False)


@dataclass(frozen=True, slots=True, eq=False)
class DecodedPeople:
    """Decoded people: ``points`` [P, K, 3] of x, y in pixels and score (zeros for a missing part), ``score`` [P]."""

    points: Array
    score: Array

    def scale_points(self, scale: float) -> DecodedPeople:
        """The same people with their coordinates multiplied by ``scale``."""
        return replace(self, points=self.points * np.array([scale, scale, 1], np.float32))


class BodyPoseDecoder:
    """Finds the people in a network's maps of a ``skeleton``. It keeps no state between calls."""

    def __init__(
        self, skeleton: Skeleton, thresholds: DecoderThresholds | None = None, assembly: AssemblyMethod = "score"
    ) -> None:
        self.skeleton = skeleton
        self.thresholds = thresholds or DecoderThresholds.for_skeleton(skeleton)
        self._assemble = assemble_by_score if assembly == "score" else assemble_by_limb

    def decode(self, cells: Array, scale: float = 1.0) -> DecodedPeople:
        """Find the people in ``cells`` [C, h, w], a network's output.

        ``scale``: the factor from pixels of the network's input to those of the result.
        """
        heat, fields = self._split_maps(cells)
        return self._decode_planes(CubicPlanes(heat), CubicPlanes(fields), scale)

    def decode_dense(self, maps: Array, scale: float = 1.0) -> DecodedPeople:
        """As ``decode``, from maps [C, H, W] that have the input's size already (the mean of several scales, say)."""
        heat, fields = self._split_maps(maps)
        return self._decode_planes(DensePlanes(heat), DensePlanes(fields), scale)

    def decode_upsampled(self, cells: Array, scale: float = 1.0) -> DecodedPeople:
        """Do as ``decode``, by resizing all maps to the input's size first; for comparison."""
        height, width = cells.shape[1:]
        return self.decode_dense(resize_cubic(cells, (width * STRIDE, height * STRIDE)), scale)

    def _split_maps(self, maps: Array) -> tuple[Array, Array]:
        """Split maps into the parts' heat maps and the limbs' affinity fields, as complex numbers."""
        skeleton = self.skeleton
        fields = maps[skeleton.heat_planes :]
        x, y = skeleton.limb_table[:, 2], skeleton.limb_table[:, 3]
        return maps[: len(skeleton.parts)], (fields[x] + 1j * fields[y]).astype(np.complex64)

    def _decode_planes(self, heat: HeatmapPlanes, fields: HeatmapPlanes, scale: float) -> DecodedPeople:
        rules = self.thresholds
        peaks = find_peaks(heat, rules.peak_threshold, 0.5 / scale)
        edges = score_limb_candidates(
            fields,
            peaks,
            self.skeleton,
            LineIntegralRule(rules.alignment_threshold, rules.min_share, rules.peak_threshold),
        )
        persons = self._prune_persons(self._assemble(edges, peaks, self.skeleton))
        return _to_people(persons, peaks, self.skeleton).scale_points(scale)

    def _prune_persons(self, persons: AssembledPersons) -> AssembledPersons:
        """Keep persons with enough parts of a sufficient score; persons of feet only count if there is no other."""
        kept = persons[self._has_enough_parts(persons, feet=self.thresholds.reject_feet_only)]
        return kept if len(kept.count) else persons[self._has_enough_parts(persons, feet=False)]

    def _has_enough_parts(self, persons: AssembledPersons, *, feet: bool) -> npt.NDArray[np.bool_]:
        count = persons.count
        rejected = np.zeros(len(count), bool)
        if feet and self.skeleton.foot_parts:
            feet_found = (persons.peaks[:, list(self.skeleton.foot_parts)] != NO_PEAK).sum(axis=1)
            count = count - feet_found
            rejected = (feet_found > 0) & (count <= _MAX_REJECTED_PARTS)
        enough: npt.NDArray[np.bool_] = (count >= self.thresholds.min_parts) & (
            persons.score / np.maximum(count, 1) >= self.thresholds.min_score
        )
        return enough & ~rejected


def _to_people(persons: AssembledPersons, peaks: HeatmapPeaks, skeleton: Skeleton) -> DecodedPeople:
    """Replace the peaks' indices by the peaks; a person's score is relative to that of a complete person."""
    table = np.stack([peaks.x, peaks.y, peaks.score], axis=1)
    table = np.concatenate([table, np.zeros((1, 3), np.float32)])  # the last row is that of NO_PEAK
    whole = len(skeleton.parts) + len(skeleton.limbs)
    return DecodedPeople(table[persons.peaks].astype(np.float32), (persons.score / whole).astype(np.float32))
