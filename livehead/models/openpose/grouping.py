"""Assembly of limbs (edges between peaks) to persons, in the published program's two ways, whose results differ.

``assemble_by_score``, of its GPU builds, takes the edges of all limbs from the best to the worst (Cao et al., TPAMI
2019, section 3.3, with redundant limbs). ``assemble_by_limb``, of its CPU builds, goes from limb to limb.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from livehead.models.openpose.affinity import LimbCandidates
from livehead.models.openpose.heatmaps import Array
from livehead.models.openpose.peaks import HeatmapPeaks
from livehead.models.openpose.skeletons import Indices, Skeleton

NO_PEAK = -1
_MIN_SCORE = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class AssembledPersons:
    """Persons: ``peaks`` [P, K], the index of the peak of each part, or ``NO_PEAK``; ``score`` [P], the sum of the
    scores of its peaks and limbs; ``count`` [P], the number of its parts."""

    peaks: Indices
    score: npt.NDArray[np.float64]
    count: Indices

    def __getitem__(self, which: Indices | npt.NDArray[np.bool_]) -> AssembledPersons:
        return AssembledPersons(self.peaks[which], self.score[which], self.count[which])


def assemble_by_score(edges: LimbCandidates, peaks: HeatmapPeaks, skeleton: Skeleton) -> AssembledPersons:
    """Take the edges from the best to the worst; each starts a person, extends one, joins two, or is in conflict.

    Edges are meant to be taken one after the other, but an edge depends only on better ones at the persons of its own
    two ends. So all edges that are the best at both ends are taken at once, round after round, with the same result.
    """
    edges = edges[edges.score > _MIN_SCORE]
    ends = edges.score + np.float32(0.1) * (peaks.score[edges.a] + peaks.score[edges.b])
    order = np.lexsort((edges.b, edges.a, edges.limb, edges.score, ends))[::-1]
    table = _PersonTable(edges[order], peaks, skeleton)
    waiting = np.arange(len(order))
    while len(waiting):
        best = table.best_at_both_ends(waiting)
        table.apply_edges(waiting[best])
        waiting = waiting[~best]
    return table.to_persons()


class _PersonTable:
    """The persons under assembly. A person's index is that of the edge that started it, so lower means earlier."""

    def __init__(self, edges: LimbCandidates, peaks: HeatmapPeaks, skeleton: Skeleton) -> None:
        self._edges = edges
        self._peaks = peaks
        self._parts = skeleton.limb_table[edges.limb, :2]
        self._ends = np.stack([edges.a, edges.b], axis=1)
        self._owner = np.full(len(peaks.part), NO_PEAK)
        size = len(edges.limb)
        self._members = np.full((size, len(skeleton.parts)), NO_PEAK)
        self._score = np.zeros(size)
        self._count = np.zeros(size, np.int64)

    def best_at_both_ends(self, waiting: Indices) -> npt.NDArray[np.bool_]:
        """Which of ``waiting`` (ascending) come first at the person, or lone peak, of each of their ends."""
        owner = self._owner[self._ends[waiting]]
        group = np.where(owner == NO_PEAK, len(self._score) + self._ends[waiting], owner)
        first = np.empty(len(self._score) + len(self._owner), np.int64)
        first[group[::-1].ravel()] = np.repeat(waiting[::-1], 2)  # the last write stays: the earliest edge's
        found: npt.NDArray[np.bool_] = (first[group] == waiting[:, None]).all(axis=1)
        return found

    def apply_edges(self, which: Indices) -> None:
        """Apply edges no two of which share a person or peak."""
        owner = self._owner[self._ends[which]]
        free = owner == NO_PEAK
        self._add_persons(which[free.all(axis=1)])
        one = free.any(axis=1) & ~free.all(axis=1)
        self._add_parts(which[one], owner[one], free[one])
        same = ~free.any(axis=1) & (owner[:, 0] == owner[:, 1])
        self._score[owner[same, 0]] += self._edges.score[which[same]]
        two = ~free.any(axis=1) & ~same
        self._merge_persons(which[two], np.sort(owner[two], axis=1))

    def _add_persons(self, which: Indices) -> None:
        ends = self._ends[which]
        self._members[which[:, None], self._parts[which]] = ends
        self._owner[ends] = which[:, None]
        self._score[which] = self._peaks.score[ends].sum(axis=1, dtype=np.float64) + self._edges.score[which]
        self._count[which] = 2

    def _add_parts(self, which: Indices, owner: Indices, free: npt.NDArray[np.bool_]) -> None:
        """Add the free end of each edge to the person of the other end, unless it has such a part already."""
        rows = np.arange(len(which))
        loose = free.argmax(axis=1)
        person = owner[rows, 1 - loose]
        peak, part = self._ends[which, loose], self._parts[which, loose]
        fits = self._members[person, part] == NO_PEAK
        person, peak, part, which = person[fits], peak[fits], part[fits], which[fits]
        self._members[person, part] = peak
        self._owner[peak] = person
        self._score[person] += self._peaks.score[peak] + self._edges.score[which]
        self._count[person] += 1

    def _merge_persons(self, which: Indices, owner: Indices) -> None:
        """Merge the later person of each pair [E, 2] into the earlier, unless they have a part in common."""
        has = self._members[owner] != NO_PEAK
        apart = ~(has[:, 0] & has[:, 1]).any(axis=1)
        which, kept, gone = which[apart], owner[apart, 0], owner[apart, 1]
        self._members[kept] = np.maximum(self._members[kept], self._members[gone])
        self._score[kept] += self._score[gone] + self._edges.score[which]
        self._count[kept] += self._count[gone]
        moved = self._members[gone]
        rows, parts = np.nonzero(moved != NO_PEAK)
        self._owner[moved[rows, parts]] = kept[rows]
        self._count[gone] = 0

    def to_persons(self) -> AssembledPersons:
        """The assembled persons, the earliest first."""
        alive = self._count > 0
        return AssembledPersons(self._members[alive], self._score[alive], self._count[alive])


def assemble_by_limb(edges: LimbCandidates, peaks: HeatmapPeaks, skeleton: Skeleton) -> AssembledPersons:
    """Go limb by limb in the skeleton's order and append the best one-to-one matching to the persons so far."""
    persons = AssembledPersons(np.empty((0, len(skeleton.parts)), np.int64), np.empty(0), np.empty(0, np.int64))
    for place, limb in enumerate(skeleton.limbs):
        of_a, of_b = (np.arange(peaks.first[part], peaks.first[part + 1]) for part in (limb.a, limb.b))
        if not len(of_a) or not len(of_b):
            part, lone = (limb.a, of_a) if len(of_a) else (limb.b, of_b)
            persons = _append_lone_peaks(persons, part, lone[~np.isin(lone, persons.peaks[:, part])], peaks)
            continue
        matched = match_greedily(edges[(edges.limb == place) & (edges.score > _MIN_SCORE)])
        if place == 0:
            persons = append_pairs(persons, (limb.a, limb.b), matched, peaks)
        elif limb.can_add_person:
            persons = _attach_or_append(persons, (limb.a, limb.b), matched, peaks)
        else:
            _fill_missing_ends(persons, (limb.a, limb.b), matched)
    return persons


def match_greedily(edges: LimbCandidates) -> LimbCandidates:
    """Match edges one-to-one, greedily from the best score on; the result is in that order.

    As in ``assemble_by_score``, all edges that are the best at both ends are taken at once.
    """
    edges = edges[np.lexsort((edges.b, edges.a, -edges.score))]
    taken = np.zeros(len(edges.limb), bool)
    waiting = np.arange(len(edges.limb))
    size = 1 + max(edges.a.max(initial=0), edges.b.max(initial=0))
    first = np.empty((2, size), np.int64)
    while len(waiting):
        a, b = edges.a[waiting], edges.b[waiting]
        first[0, a[::-1]] = first[1, b[::-1]] = waiting[::-1]
        best = (first[0, a] == waiting) & (first[1, b] == waiting)
        taken[waiting[best]] = True
        used_a, used_b = np.zeros(size, bool), np.zeros(size, bool)
        used_a[a[best]] = used_b[b[best]] = True
        waiting = waiting[~(used_a[a] | used_b[b])]
    return edges[taken]


def _append_lone_peaks(persons: AssembledPersons, part: int, lone: Indices, peaks: HeatmapPeaks) -> AssembledPersons:
    rows = np.full((len(lone), persons.peaks.shape[1]), NO_PEAK)
    rows[:, part] = lone
    return _append_rows(persons, rows, peaks.score[lone], 1)


def append_pairs(
    persons: AssembledPersons, parts: tuple[int, int], edges: LimbCandidates, peaks: HeatmapPeaks
) -> AssembledPersons:
    """Append a person of two parts for each edge to ``persons``."""
    rows = np.full((len(edges.limb), persons.peaks.shape[1]), NO_PEAK)
    rows[:, parts[0]], rows[:, parts[1]] = edges.a, edges.b
    return _append_rows(persons, rows, peaks.score[edges.a] + peaks.score[edges.b] + edges.score, 2)


def _append_rows(persons: AssembledPersons, rows: Indices, score: Array, count: int) -> AssembledPersons:
    return AssembledPersons(
        np.concatenate([persons.peaks, rows]),
        np.concatenate([persons.score, score.astype(np.float64)]),
        np.concatenate([persons.count, np.full(len(rows), count)]),
    )


def _attach_or_append(
    persons: AssembledPersons, parts: tuple[int, int], edges: LimbCandidates, peaks: HeatmapPeaks
) -> AssembledPersons:
    """Attach each edge's b to all persons that hold its a; an edge whose a nobody holds starts a person."""
    rows, which = np.nonzero(persons.peaks[:, parts[0], None] == edges.a)
    persons.peaks[rows, parts[1]] = edges.b[which]
    persons.score[rows] += peaks.score[edges.b[which]] + edges.score[which]
    persons.count[rows] += 1
    new = np.ones(len(edges.limb), bool)
    new[which] = False
    return append_pairs(persons, parts, edges[new], peaks)


def _fill_missing_ends(persons: AssembledPersons, parts: tuple[int, int], edges: LimbCandidates) -> None:
    """Add the missing end of each edge to persons that hold the other; neither score nor count change."""
    for here, there, known, missing in (
        (parts[0], parts[1], edges.a, edges.b),
        (parts[1], parts[0], edges.b, edges.a),
    ):
        rows, which = np.nonzero((persons.peaks[:, here, None] == known) & (persons.peaks[:, there, None] == NO_PEAK))
        persons.peaks[rows, there] = missing[which]
