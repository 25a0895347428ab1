"""From a network's maps to people: peaks, line integrals, assembly, and who is too little of a person."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from livehead.models.openpose.affinity import LineRule, score_edges
from livehead.models.openpose.grouping import NONE, Persons, assemble_by_limb, assemble_by_score
from livehead.models.openpose.heatmaps import STRIDE, Array, CubicPlanes, DensePlanes, Planes, enlarged
from livehead.models.openpose.peaks import Peaks, find_peaks
from livehead.models.openpose.skeletons import Skeleton

Assembly = Literal["score", "limb"]
"""``score``: of OpenPose's GPU builds; ``limb``: of its CPU builds."""

_TOO_FEW = 4  # parts that are left of a person without its feet: nobody


@dataclass(frozen=True, slots=True)
class Rules:
    """Thresholds of a decoder. ``peak``, ``aligned``, ``share``: of peaks and of samples along a limb; ``parts`` and
    ``score``: the least count and mean of a person; ``feet``: whether feet alone make nobody."""

    peak: float
    aligned: float
    share: float = 0.95
    parts: int = 3
    score: float = 0.4
    feet: bool = True

    @classmethod
    def of(cls, skeleton: Skeleton, *, all_found: bool = False) -> Rules:
        """The published ones; ``all_found`` lets more through, false ones too ("maximize positives")."""
        if not all_found:
            return cls(skeleton.peak, skeleton.aligned)
        return cls(min(skeleton.peak, 0.02), 0.01, 0.75, 2, 0.05, feet=False)


@dataclass(frozen=True, slots=True, eq=False)
class People:
    """``points`` [P, K, 3]: x, y in pixels, and score, zeros where a part is missing; ``score`` [P]."""

    points: Array
    score: Array

    def scaled(self, scale: float) -> People:
        """The same people in pixels ``scale`` times as fine."""
        return replace(self, points=self.points * np.array([scale, scale, 1], np.float32))


class Decoder:
    """Finds the people in maps of ``skeleton``. Keeps nothing between two calls."""

    def __init__(self, skeleton: Skeleton, rules: Rules | None = None, assembly: Assembly = "score") -> None:
        self.skeleton = skeleton
        self.rules = rules or Rules.of(skeleton)
        self._assemble = assemble_by_score if assembly == "score" else assemble_by_limb

    def decode(self, cells: Array, scale: float = 1.0) -> People:
        """People in ``cells`` [C, h, w], a network's output, in pixels of its input times ``scale``.

        ``scale``: from the network's input to the picture.
        """
        heat, fields = self._split(cells)
        return self._people(CubicPlanes(heat), CubicPlanes(fields), scale)

    def decode_dense(self, maps: Array, scale: float = 1.0) -> People:
        """As ``decode``, from maps [C, H, W] that were brought to the input's size already (of several scales, say)."""
        heat, fields = self._split(maps)
        return self._people(DensePlanes(heat), DensePlanes(fields), scale)

    def decode_plainly(self, cells: Array, scale: float = 1.0) -> People:
        """As ``decode``, by enlarging everything first; for comparison."""
        height, width = cells.shape[1:]
        return self.decode_dense(enlarged(cells, (width * STRIDE, height * STRIDE)), scale)

    def _split(self, maps: Array) -> tuple[Array, Array]:
        """Heat of the parts, and fields as complex numbers by limb."""
        skeleton = self.skeleton
        fields = maps[skeleton.heat_planes :]
        x, y = skeleton.limb_table[:, 2], skeleton.limb_table[:, 3]
        return maps[: len(skeleton.parts)], (fields[x] + 1j * fields[y]).astype(np.complex64)

    def _people(self, heat: Planes, fields: Planes, scale: float) -> People:
        rules = self.rules
        peaks = find_peaks(heat, rules.peak, 0.5 / scale)
        edges = score_edges(fields, peaks, self.skeleton, LineRule(rules.aligned, rules.share, rules.peak))
        persons = self._pruned(self._assemble(edges, peaks, self.skeleton))
        return _placed(persons, peaks, self.skeleton).scaled(scale)

    def _pruned(self, persons: Persons) -> Persons:
        """Those with enough parts that are good enough; if only feet were in the way of all, they count."""
        kept = persons[self._enough(persons, feet=self.rules.feet)]
        return kept if len(kept.count) else persons[self._enough(persons, feet=False)]

    def _enough(self, persons: Persons, *, feet: bool) -> np.ndarray:
        count = persons.count
        rejected = np.zeros(len(count), bool)
        if feet and self.skeleton.feet:
            feet_found = (persons.peaks[:, list(self.skeleton.feet)] != NONE).sum(axis=1)
            count = count - feet_found
            rejected = (feet_found > 0) & (count <= _TOO_FEW)
        enough: np.ndarray = (count >= self.rules.parts) & (persons.score / np.maximum(count, 1) >= self.rules.score)
        return enough & ~rejected


def _placed(persons: Persons, peaks: Peaks, skeleton: Skeleton) -> People:
    """Peaks in the place of their numbers; scores as shares of what a whole person has."""
    table = np.stack([peaks.x, peaks.y, peaks.score], axis=1)
    table = np.concatenate([table, np.zeros((1, 3), np.float32)])  # the last row is NONE's
    whole = len(skeleton.parts) + len(skeleton.limbs)
    return People(table[persons.peaks].astype(np.float32), (persons.score / whole).astype(np.float32))
