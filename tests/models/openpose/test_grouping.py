"""Rounds of edges that do not touch each other give what one edge after the other gives."""

import numpy as np
import pytest

from livehead.models.openpose.affinity import LimbCandidates
from livehead.models.openpose.grouping import NO_PEAK, assemble_by_score, match_greedily
from livehead.models.openpose.peaks import HeatmapPeaks
from livehead.models.openpose.skeletons import BODY_25


def crowd(seed, people, share):
    """Peaks of ``people``, and that share of all possible edges between them, at random."""
    chance = np.random.default_rng(seed)
    part = np.repeat(np.arange(25), people)
    score = chance.uniform(0.1, 1, len(part)).astype(np.float32)
    peaks = HeatmapPeaks(part, score, score, score, np.arange(26) * people)
    limb, i, j = (each.ravel() for each in np.indices((len(BODY_25.limbs), people, people)))
    table = BODY_25.limb_table
    kept = chance.uniform(size=len(limb)) < share
    scores = chance.uniform(0, 1, len(limb)).astype(np.float32)
    edges = LimbCandidates(limb, peaks.first[table[limb, 0]] + i, peaks.first[table[limb, 1]] + j, scores)
    return edges[kept], peaks


def one_after_the_other(edges, peaks):
    """The published rules as they read: [(parts, score, count)]."""
    key = edges.score + np.float32(0.1) * (peaks.score[edges.a] + peaks.score[edges.b])
    order = np.lexsort((edges.b, edges.a, edges.limb, edges.score, key))[::-1]
    persons = []
    for limb, a, b, score in zip(edges.limb[order], edges.a[order], edges.b[order], edges.score[order], strict=True):
        part_a, part_b = BODY_25.limb_table[limb, :2]
        of_a = next((p for p in persons if p[0].get(part_a) == a), None)
        of_b = next((p for p in persons if p[0].get(part_b) == b), None)
        if of_a is None and of_b is None:
            persons.append([{part_a: a, part_b: b}, peaks.score[a] + peaks.score[b] + score, 2])
        elif of_a is None or of_b is None:
            person, part, peak = (of_b, part_a, a) if of_a is None else (of_a, part_b, b)
            if part not in person[0]:
                person[0][part] = peak
                person[1] += peaks.score[peak] + score
                person[2] += 1
        elif of_a is of_b:
            of_a[1] += score
        elif not of_a[0].keys() & of_b[0].keys():
            kept, gone = sorted((of_a, of_b), key=lambda p: next(i for i, q in enumerate(persons) if q is p))
            kept[0] |= gone[0]
            kept[1] += gone[1] + score
            kept[2] += gone[2]
            persons = [person for person in persons if person is not gone]
    return persons


@pytest.mark.parametrize(("people", "share"), [(1, 1.0), (3, 0.9), (6, 0.4), (8, 0.1)])
@pytest.mark.parametrize("seed", range(4))
def test_rounds_give_what_one_after_the_other_gives(seed, people, share):
    edges, peaks = crowd(seed, people, share)
    found = assemble_by_score(edges, peaks, BODY_25)
    expected = one_after_the_other(edges, peaks)
    assert [{k: p for k, p in enumerate(row) if p != NO_PEAK} for row in found.peaks] == [
        person[0] for person in expected
    ]
    np.testing.assert_allclose(found.score, [person[1] for person in expected], rtol=1e-5)
    np.testing.assert_array_equal(found.count, [person[2] for person in expected])


def test_matching_takes_the_best_first_and_every_peak_once():
    edges, _ = crowd(1, 6, 1.0)
    edges = edges[edges.limb == 3]
    found = match_greedily(edges)
    expected, used_a, used_b = [], set(), set()
    for place in np.argsort(-edges.score):
        if edges.a[place] not in used_a and edges.b[place] not in used_b:
            expected.append((edges.a[place], edges.b[place]))
            used_a.add(edges.a[place])
            used_b.add(edges.b[place])
    assert list(zip(found.a, found.b, strict=True)) == expected


def test_no_edges_make_nobody():
    edges, peaks = crowd(0, 2, 0.0)
    assert len(assemble_by_score(edges, peaks, BODY_25).count) == 0
