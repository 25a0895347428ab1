"""A mouth made from sound is judged against the one that spoke."""

from __future__ import annotations

import numpy as np
import pytest

from livehead.bench.voice_timing import synthesize_babble
from livehead.evaluation.speech import (
    AUDIO_METRICS,
    MouthTrace,
    SpeechFigures,
    evaluate_clip,
    find_silences,
    lip_opening,
    loudness_envelope,
    mean_figures,
    silence_opening_ratio,
)
from livehead.motion.face.mean_face import load_mean_face
from livehead.motion.keypoints import Array
from livehead.perception.talking_clip import RATE, TalkingClip
from livehead.reporting.plot import plot_speech

FPS = 25
TIMES = np.arange(0, 6, 1 / FPS)


def meshes(opened: Array) -> Array:
    """Faces whose inner lips are ``opened`` [T] of the face's height apart."""
    faces = np.repeat(load_mean_face()[None], len(opened), axis=0)
    height = np.linalg.norm(faces[0, 10, :2] - faces[0, 152, :2])
    faces[:, 14, :2] = faces[:, 13, :2]
    faces[:, 14, 1] += np.float32(height) * opened
    return faces.astype(np.float32)


def mouth(delay_s: float = 0.0) -> Array:
    return np.asarray(0.05 + 0.03 * np.sin(2 * np.pi * 1.7 * (TIMES - delay_s)), np.float32)


@pytest.fixture(scope="module")
def talk() -> TalkingClip:
    sound = np.concatenate([synthesize_babble(5.0), np.zeros(RATE, np.float32)])
    return TalkingClip("clip", TIMES, meshes(mouth()), np.ones(len(TIMES), bool), sound)


def test_the_opening_is_the_lips_distance_over_the_face_s_height() -> None:
    np.testing.assert_allclose(lip_opening(meshes(mouth())), mouth(), rtol=1e-4)


def test_the_truth_itself_is_perfect(talk: TalkingClip) -> None:
    figures, trace = evaluate_clip(talk, TIMES, talk.meshes)
    assert set(figures) == set(AUDIO_METRICS)
    assert figures["mouth_correlation"] == pytest.approx(1)
    assert figures["mouth_lag_ms"] == 0
    np.testing.assert_allclose(trace.reference, trace.predicted)


@pytest.mark.parametrize("lag_ms", [-80, 40, 120])
def test_a_mouth_that_comes_late_has_its_peak_there(talk: TalkingClip, lag_ms: int) -> None:
    figures, _ = evaluate_clip(talk, TIMES, meshes(mouth(lag_ms / 1000)))
    assert abs(figures["mouth_lag_ms"] - lag_ms) <= 10
    assert figures["mouth_correlation"] < 0.99


def test_frames_in_which_no_face_was_seen_do_not_count(talk: TalkingClip) -> None:
    seen = talk.face_seen.copy()
    seen[20:40] = False
    broken = talk.meshes.copy()
    broken[20:40, 14, 1] += 1
    figures, trace = evaluate_clip(TalkingClip("clip", TIMES, broken, seen, talk.sound), TIMES, talk.meshes)
    assert figures["mouth_correlation"] == pytest.approx(1)
    assert len(trace.times) == len(TIMES) - 20


def test_loudness_goes_with_sound() -> None:
    sound = np.concatenate([np.zeros(RATE), 0.5 * np.ones(RATE), 0.005 * np.ones(RATE)]).astype(np.float32)
    loud = loudness_envelope(sound, np.arange(0, 3, 1 / FPS))
    np.testing.assert_allclose(loud[[10, 35, 60]], [-5, np.log10(0.5), np.log10(0.005)], atol=2e-3)


def test_only_long_and_deep_silences_count() -> None:
    loud = 0.1 * np.ones(RATE)
    sound = np.concatenate([loud, np.zeros(6400), loud, np.zeros(3200), loud, 0.004 * np.ones(8000), loud])
    assert find_silences(sound.astype(np.float32)) == [(1.0, pytest.approx(1.4))]


def test_an_open_mouth_in_silence_is_told_as_a_share_of_speaking(talk: TalkingClip) -> None:
    opened = np.where(TIMES < 5.0, 0.06, 0.015).astype(np.float32)
    sound = np.concatenate([0.1 * np.ones(5 * RATE), np.zeros(RATE)]).astype(np.float32)
    assert silence_opening_ratio(sound, TIMES, opened) == pytest.approx(0.25, abs=0.01)
    assert np.isnan(silence_opening_ratio(sound[: 5 * RATE], TIMES, opened))


def test_what_a_clip_cannot_tell_does_not_count_in_the_mean(talk: TalkingClip) -> None:
    still, _ = evaluate_clip(talk, TIMES, meshes(np.full(len(TIMES), 0.05, np.float32)))
    assert np.isnan(still["mouth_correlation"])
    perfect, _ = evaluate_clip(talk, TIMES, talk.meshes)
    assert mean_figures({"still": still, "perfect": perfect})["mouth_correlation"] == pytest.approx(1)


def test_the_plot_shows_three_clips(tmp_path, talk: TalkingClip) -> None:
    figures, trace = evaluate_clip(talk, TIMES, talk.meshes)
    names = [f"clip{number}" for number in range(5)]
    every = SpeechFigures(figures, dict.fromkeys(names, figures), dict.fromkeys(names, trace))
    plot_speech(every, tmp_path / "speech.png")
    few = SpeechFigures(figures, {"one": figures}, {"one": MouthTrace(trace.times, trace.reference, trace.predicted)})
    plot_speech(few, tmp_path / "one.png")
    assert (tmp_path / "speech.png").stat().st_size > (tmp_path / "one.png").stat().st_size > 5000
