"""From maps to people, as the published program's two builds."""

import numpy as np
import pytest

from livehead.bench.pose_timing import synthesize_maps, synthesize_people
from livehead.models.openpose.affinity import LineIntegralRule, score_limb_candidates
from livehead.models.openpose.decoder import BodyPoseDecoder, DecoderThresholds
from livehead.models.openpose.heatmaps import CubicPlanes
from livehead.models.openpose.peaks import MAX_PEAKS, find_peaks
from livehead.models.openpose.skeletons import BODY_25, COCO_18, MPI_15
from livehead.models.openpose.targets import build_target_maps

SCENES = {
    "openpose-decoder-body25": ("A_max0", "B_max0", "B_max1", "C_max0", "D_max0", "D_max1", "E_max0"),
    "openpose-decoder-body25-b": ("F_max0", "G_max0", "G_max1"),
}
ALL = [(name, scene) for name, scenes in SCENES.items() for scene in scenes]
ASSEMBLIES = {"gpu": "score", "cpu": "limb"}


def expect(people, points, score):
    assert people.points.shape == tuple(points.shape)
    np.testing.assert_allclose(people.points[..., :2], points[..., :2].numpy(), atol=1e-3)
    np.testing.assert_allclose(people.points[..., 2], points[..., 2].numpy(), atol=1e-4)
    np.testing.assert_allclose(people.score, score.numpy(), atol=1e-4)


@pytest.mark.parametrize("way", ["decode", "decode_upsampled"])
@pytest.mark.parametrize("build", ASSEMBLIES)
@pytest.mark.parametrize(("name", "scene"), ALL)
def test_people_of_body_25_are_the_published_ones(parity, name, scene, build, way):
    fixture = parity(name)
    rules = DecoderThresholds.for_skeleton(BODY_25, maximize_positives=scene.endswith("max1"))
    decoder = BodyPoseDecoder(BODY_25, rules, ASSEMBLIES[build])
    maps, scale = fixture[f"{scene[0]}_net_output"].numpy(), float(fixture["scale_net_to_output"])
    people = getattr(decoder, way)(maps, scale)
    expect(people, fixture[f"{scene}_{build}_keypoints"], fixture[f"{scene}_{build}_scores"])


@pytest.mark.parametrize("build", ASSEMBLIES)
def test_people_of_coco_18_are_the_published_ones(parity, build):
    fixture = parity("openpose-decoder-coco18")
    decoder = BodyPoseDecoder(COCO_18, assembly=ASSEMBLIES[build])
    people = decoder.decode(fixture["net_output"].numpy(), float(fixture["scale_net_to_output"]))
    expect(people, fixture[f"{build}_keypoints"], fixture[f"{build}_scores"])


@pytest.mark.parametrize(("name", "scene"), ALL)
def test_peaks_and_line_integrals_are_the_published_ones(parity, name, scene):
    fixture = parity(name)
    rules = DecoderThresholds.for_skeleton(BODY_25, maximize_positives=scene.endswith("max1"))
    maps = fixture[f"{scene[0]}_net_output"].numpy()
    table = BODY_25.limb_table
    fields = maps[26:]
    complex_fields = (fields[table[:, 2]] + 1j * fields[table[:, 3]]).astype(np.complex64)
    peaks = find_peaks(CubicPlanes(maps[:25]), rules.peak_threshold, 0.5 / float(fixture["scale_net_to_output"]))
    expected = fixture[f"{scene}_peaks"].numpy()
    found = np.stack([peaks.part, peaks.x, peaks.y, peaks.score], axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-3)
    rule = LineIntegralRule(rules.alignment_threshold, rules.min_share, rules.peak_threshold)
    edges = score_limb_candidates(CubicPlanes(complex_fields), peaks, BODY_25, rule)
    a, b = (peaks.first[table[edges.limb, side]] for side in (0, 1))
    pairs = fixture[f"{scene}_pair_scores"].numpy()
    pairs = pairs[np.lexsort((pairs[:, 2], pairs[:, 1], pairs[:, 0]))]
    found = np.stack([edges.limb, edges.a - a + 1, edges.b - b + 1, edges.score], axis=1)
    np.testing.assert_allclose(found, pairs, atol=1e-4)


@pytest.mark.parametrize("count", [1, 5, 20])
def test_drawn_people_are_found_where_they_were_drawn(count):
    people = BodyPoseDecoder(BODY_25).decode(synthesize_maps(count))
    drawn = synthesize_people(count)
    assert len(people.score) == count
    nearest = [np.abs(drawn - person)[..., :2].max(axis=(1, 2)).argmin() for person in people.points]
    assert sorted(nearest) == list(range(count))
    far = np.abs(people.points - drawn[nearest])[..., :2]
    assert np.median(far) < 1.5


def test_both_ways_find_the_same_among_many():
    maps = synthesize_maps(20, seed=3)
    quick, plain = BodyPoseDecoder(BODY_25).decode(maps), BodyPoseDecoder(BODY_25).decode_upsampled(maps)
    np.testing.assert_allclose(quick.points, plain.points, atol=1e-3)


def test_empty_maps_show_nobody():
    for skeleton in (BODY_25, COCO_18, MPI_15):
        planes = skeleton.heat_planes + skeleton.field_planes
        for assembly in ("score", "limb"):
            people = BodyPoseDecoder(skeleton, assembly=assembly).decode(np.zeros((planes, 6, 7), np.float32))
            assert people.points.shape == (0, len(skeleton.parts), 3)


def test_maps_of_noise_end_in_time_and_keep_no_more_peaks_than_allowed():
    noise = np.random.default_rng(0).normal(0, 1, (78, 46, 82)).astype(np.float32)
    peaks = find_peaks(CubicPlanes(noise[:25]), 0.05, 0.5)
    assert peaks.count.max() == MAX_PEAKS
    BodyPoseDecoder(BODY_25).decode(noise)


def test_half_a_body_is_a_person_and_feet_alone_are_not():
    people = synthesize_people(2)
    people[0, 8:15, 2] = people[0, 19:, 2] = 0  # no hips, no legs
    people[1, :19, 2] = 0  # feet
    found = BodyPoseDecoder(BODY_25).decode(build_target_maps(people, BODY_25, (656, 368)))
    assert len(found.score) == 1
    assert not found.points[0, 9:15].any()
    assert found.points[0, 0, 2] > 0.5
