"""Cross-identity: which pairs, and what is said of an animated portrait."""

import numpy as np
import pytest

from livehead.errors import ConfigError, NoFaceError
from livehead.evaluation.cross_identity import choose_pairs, evaluate_pair, is_profile
from livehead.motion.face.head import HeadMotion, rotation_matrix
from livehead.motion.keypoints import mesh_keypoints
from livehead.perception.segmentation import SelfieSegmenter

HEADER = "file\tkind\tperson\tsplit\n"


@pytest.fixture(scope="module")
def segmentation():
    with SelfieSegmenter(refine=False) as segmentation:
        yield segmentation


@pytest.fixture
def collection(tmp_path):
    rows = [f"portraits/{name}_01.jpg\tportrait\t{name}\tval\n" for name in "abcd"]
    rows += [f"portraits/a_0{i}.jpg\tportrait\ta\tval\n" for i in (2, 3)]
    rows += [f"clips/{name}_01.mp4\tclip\t{name}\ttest\n" for name in "cde"]
    rows += ["portraits/secret.jpg\tportrait\tz\ttrain\n"]
    (tmp_path / "PROVENANCE.tsv").write_text(HEADER + "".join(rows))
    return tmp_path


def test_pairs_are_of_different_persons_of_the_asked_splits(collection):
    pairs = choose_pairs(collection, ["val", "test"], 12)
    assert len(set(pairs)) == 12
    assert all(pair.portrait.stem[0] != pair.clip.stem[0] for pair in pairs)
    assert not any("secret" in pair.name for pair in pairs)
    assert {pair.portrait.stem[0] for pair in pairs[:4]} == set("abcd")
    assert pairs == choose_pairs(collection, ["val", "test"], 12)


def test_too_few_pairs_and_a_missing_collection_are_told(collection, tmp_path):
    with pytest.raises(ConfigError, match="only 16 pairs"):
        choose_pairs(collection, ["val", "test"], 100)
    with pytest.raises(ConfigError, match="nowhere"):
        choose_pairs(tmp_path / "nowhere", ["val"], 1)


def test_a_portrait_that_only_moves_keeps_its_person_and_expression(finder, segmentation, astronaut):
    driving = [astronaut(turn=t) for t in (0, 4, 8)]
    outputs = [astronaut(turn=t, shift=(3, 2)) for t in (0, 4, 8)]
    figures = evaluate_pair(astronaut(), driving, outputs, finder, segmentation)
    assert figures.found == 1
    assert figures.identity < 0.3
    assert figures.expression_akd < 1.5
    assert figures.pose_error < 2


def test_a_head_that_does_not_turn_along_is_told_in_degrees(finder, segmentation, astronaut):
    driving = [astronaut(turn=t) for t in (0, 12)]
    figures = evaluate_pair(astronaut(), driving, [driving[0]] * 2, finder, segmentation)
    assert figures.pose_error == pytest.approx(12 / 2, abs=1)


def test_lost_faces_are_counted_and_look_worse(finder, segmentation, astronaut):
    driving = [astronaut(turn=t) for t in (0, 4, 8, 12)]
    outputs = [driving[0], driving[1], np.full_like(driving[0], 127), np.full_like(driving[0], 127)]
    figures = evaluate_pair(astronaut(), driving, outputs, finder, segmentation)
    whole = evaluate_pair(astronaut(), driving, driving, finder, segmentation)
    assert figures.found == 0.5
    assert figures.identity > 0.5
    assert figures.worst_first_key > whole.worst_first_key


def test_a_background_that_swims_is_seen(finder, segmentation, astronaut):
    still = [astronaut(zoom=0.5)] * 3
    swimming = [np.clip(frame.astype(int) + 20 * i, 0, 255).astype(np.uint8) for i, frame in enumerate(still)]
    assert evaluate_pair(still[0], still, still, finder, segmentation).background == 0
    assert evaluate_pair(still[0], still, swimming, finder, segmentation).background > 0.03


def test_a_head_that_looks_aside_is_a_profile(finder, astronaut):
    class Turned:
        """Finds the face, turned by some degrees about the neck."""

        def __init__(self, yaw):
            self.motion = HeadMotion(1.0, rotation_matrix(yaw, 0, 0), np.zeros(3, np.float32))

        def detect(self, image):
            (mesh,) = finder.detect(image)
            return [mesh_keypoints(self.motion.apply(mesh.points3d()[0]), 1.0, 0)]

    assert not is_profile(astronaut(), Turned(25))
    assert is_profile(astronaut(), Turned(65))
    assert is_profile(astronaut(), Turned(-65))
    assert is_profile(np.full((256, 256, 3), 127, np.uint8), finder)


def test_a_portrait_without_a_face_is_told(finder, segmentation, astronaut):
    with pytest.raises(NoFaceError):
        evaluate_pair(np.full((256, 256, 3), 127, np.uint8), [astronaut()], [astronaut()], finder, segmentation)
