"""Blinks, glances and sway are measured as they were drawn."""

import numpy as np

from livehead.motion.face.face_rig import FaceRig
from livehead.motion.face.mean_face import load_mean_face
from livehead.motion.keypoints import mesh_keypoints
from livehead.motion.synthesis.idle import IdleControls
from livehead.training.fits.idle_statistics import (
    BANDS_HZ,
    SWAY_AXES,
    find_blinks,
    find_glances,
    measure_idle_motion,
    measure_sway,
    summarize_clips,
)

FPS = 25


def test_a_blink_has_a_beginning_a_deepest_moment_and_an_end():
    times = np.arange(0, 4, 1 / FPS)
    opened = 1 - np.exp(-(((times - 2) / 0.06) ** 2))
    ((start, deepest, end),) = find_blinks(times, opened)
    assert deepest == 2
    assert 1.85 < start < 1.95
    assert 2.05 < end < 2.15


def test_a_long_look_down_is_no_blink():
    times = np.arange(0, 4, 1 / FPS)
    assert find_blinks(times, np.where((times > 1) & (times < 2.5), 0.3, 1.0)) == []


def test_a_jump_of_the_gaze_is_one_glance_and_drift_is_none():
    times = np.arange(0, 4, 1 / FPS)
    look = np.stack([np.where(times > 2, 0.1, 0.0) + 0.01 * times, 0 * times], axis=1)
    ((moment, right, down),) = find_glances(times, look, np.ones(len(times), bool))
    assert abs(moment - 2) <= 1 / FPS
    assert abs(right - 0.1) < 0.005
    assert down == 0


def test_a_wave_is_found_in_its_octave_at_its_size():
    times = np.arange(0, 20, 1 / FPS)
    found = measure_sway(times, np.stack([np.sin(2 * np.pi * 0.3 * times), 0 * times], axis=1))
    band = int(np.searchsorted(BANDS_HZ, 0.3)) - 1
    assert int(found[0].argmax()) == band
    np.testing.assert_allclose(found[0, band], 1 / np.sqrt(2), rtol=0.1)
    assert found[1].max() == 0


def test_what_the_idle_model_draws_is_measured_again():
    rig, pose = FaceRig(mesh_keypoints(load_mean_face() * np.float32(0.5), 1.0, 0)), IdleControls(2)
    times = np.arange(0, 40, 1 / FPS)
    meshes = np.stack([rig.pose_face(pose.controls_at(t), 0).points3d()[0] for t in times])
    found = summarize_clips([measure_idle_motion(times, meshes)])
    drawn = np.array([pose.controls_at(t).blink for t in np.arange(0, 40, 0.005)]) > 0.5
    assert abs(found["blinks_a_minute"] * 40 / 60 - (drawn[1:] & ~drawn[:-1]).sum()) <= 1
    assert set(found["sway"]) == set(SWAY_AXES)
    assert 0.2 < found["sway"]["yaw"]["p50"][2] < 1.0
