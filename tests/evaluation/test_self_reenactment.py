"""The protocol, end to end on a small clip: what stands still, what is perfect, what shows no face."""

import cv2
import numpy as np
import pytest

from livehead.errors import CaptureError, ConfigError, NoFaceError
from livehead.evaluation.image_metrics import PSNR_OF_IDENTICAL
from livehead.evaluation.landmarks import MISSED_AKD, mesh_pixels
from livehead.evaluation.self_reenactment import IDENTITY_COSINE_KEY, METRICS, copy_baseline, evaluate_clips


def perfect(source):
    return lambda driving: driving.image


def faceless(source):
    return lambda driving: np.full_like(driving.image, 127)


def tilted(source):
    """A sensible model: the source under the best affinity between the meshes."""
    start = mesh_pixels(source.mesh, 256, 256)

    def draw(driving):
        matrix, _ = cv2.estimateAffine2D(start, mesh_pixels(driving.mesh, 256, 256))
        return cv2.warpAffine(source.image, matrix, (256, 256), borderMode=cv2.BORDER_REFLECT)

    return draw


@pytest.fixture(scope="module")
def results(swaying_clip, finder):
    models = {"copy": copy_baseline, "perfect": perfect, "faceless": faceless, "tilted": tilted}
    return evaluate_clips([swaying_clip], models, finder, frames=6)


def test_every_model_has_every_figure_for_every_clip(results):
    for figures in results.values():
        assert tuple(figures.mean) == METRICS
        assert list(figures.clips) == ["sway"]
        assert figures.clips["sway"] == figures.mean


def test_the_truth_itself_is_perfect(results):
    mean = results["perfect"].mean
    assert mean["l1"] == mean["akd"] == mean["missed"] == mean["mouth_l1"] == 0
    assert mean["psnr"] == PSNR_OF_IDENTICAL
    assert mean["ssim"] == pytest.approx(1)
    assert mean["sharpness"] == pytest.approx(1)
    assert mean["flicker"] == pytest.approx(1)
    assert mean["identity"] < 0.3


def test_the_copy_keeps_the_person_and_misses_the_motion(results):
    mean = results["copy"].mean
    assert mean["identity"] == pytest.approx(0, abs=1e-3)
    assert mean["flicker"] == 0
    assert mean["akd"] > 4


def test_a_model_that_moves_beats_the_copy(results):
    assert results["tilted"].mean["akd"] < 0.5 * results["copy"].mean["akd"]
    assert results["tilted"].mean["psnr"] > results["copy"].mean["psnr"] + 2


def test_outputs_without_a_face_are_counted_and_cost_twenty_pixels(results):
    mean = results["faceless"].mean
    assert mean["missed"] == 6
    assert mean["akd"] == MISSED_AKD
    assert mean["identity"] == 1


def test_means_are_over_frames_then_over_clips(swaying_clip, finder, tmp_path):
    again = tmp_path / "again.mp4"
    again.write_bytes(swaying_clip.read_bytes())
    told = []
    results = evaluate_clips([swaying_clip, again], {"copy": copy_baseline}, finder, frames=4, progress=told.append)
    assert told == ["sway", "again"]
    assert results["copy"].mean == pytest.approx(results["copy"].clips["again"])


def test_a_recognition_network_is_asked_beside_the_other_figures(swaying_clip, finder):
    def embed(image, mesh):
        return image.mean(axis=(0, 1)).astype(np.float32)

    results = evaluate_clips(
        [swaying_clip], {"copy": copy_baseline, "faceless": faceless}, finder, frames=4, embed=embed
    )
    assert results["copy"].mean[IDENTITY_COSINE_KEY] == pytest.approx(1)
    assert results["faceless"].mean[IDENTITY_COSINE_KEY] == 0


def test_too_few_frames_are_refused(swaying_clip, finder):
    with pytest.raises(ConfigError, match="2 frames"):
        evaluate_clips([swaying_clip], {"copy": copy_baseline}, finder, frames=2)


def test_clips_that_cannot_be_judged_are_told(finder, tmp_path, write_clip, astronaut):
    short = write_clip(tmp_path / "short.mp4", [astronaut()] * 3)
    with pytest.raises(CaptureError, match=r"short\.mp4 is too short"):
        evaluate_clips([short], {"copy": copy_baseline}, finder)
    empty = write_clip(tmp_path / "empty.mp4", [np.full((64, 64, 3), 127, np.uint8)] * 6)
    with pytest.raises(NoFaceError, match=r"empty\.mp4"):
        evaluate_clips([empty], {"copy": copy_baseline}, finder)


def test_driving_shots_tell_how_the_torso_moved_since_the_source(astronaut, write_clip, finder, tmp_path):
    frames = [astronaut(zoom=0.7, shift=(2 * i, -i)) for i in range(8)]
    seen = []

    def watching(source):
        def draw(driving):
            seen.append((source.mesh, driving.mesh))
            return driving.image

        return draw

    evaluate_clips([write_clip(tmp_path / "aside.mp4", frames)], {"watching": watching}, finder, frames=4)
    assert len(seen) == 4
    for source, driving in seen:
        moved = (driving.torso - source.torso)[0] * 128
        head = (driving.value - source.value).mean(axis=1) * 128
        assert np.abs(moved - head).max() < 1.5  # the whole picture moves
    assert np.abs(seen[-1][1].torso - seen[-1][0].torso).max() * 128 > 8
