"""The voice model's training, on mouths that are drawn: they open as loud as the sound is."""

import csv
import json

import numpy as np
import pytest
import torch

from livehead.bench.voice_timing import RATE, synthesize_babble
from livehead.errors import ConfigError
from livehead.evaluation.speech import loudness_envelope
from livehead.models.voice.build import build_voice_model
from livehead.models.voice.logmel import MEL_BANDS
from livehead.models.voice.network import FRAMES_PER_STEP, STEP_S
from livehead.motion.face.mean_face import load_mean_face
from livehead.motion.face.mesh import FACE_MESH
from livehead.training.voice import trainer
from livehead.training.voice.av_alignment import align_clips, find_best_lag
from livehead.training.voice.export import export_voice
from livehead.training.voice.losses import voice_losses
from livehead.training.voice.recipe import AudioVideoSyncSettings, SoundAugmentation
from livehead.training.voice.speech_clips import (
    SpeechClip,
    build_motion_basis,
    mouth_opening,
    normalized_displacements,
    project_onto_basis,
    read_clips,
    resample_to_steps,
    speaker_of,
)
from livehead.training.voice.speech_sampler import SpeechSampler
from livehead.weights.safetensors_file import read_safetensors

FPS, SECONDS = 25, 5.0
RECIPE = """
outputs = 3
width = 16
members = 1
batch = 6
seconds = 2.0
dropout = 0.0
steps = {steps}
rate = 4e-3
log_every = 2
[sync]
rounds = 0
"""


def drawn_talk(seed, late_s=0.0):
    """Times, meshes and sound of a mouth that opens as loud as its sound, which comes ``late_s`` late."""
    sound = synthesize_babble(SECONDS, seed) * np.float32(0.5 + 0.1 * seed)
    shift = 0.37 * seed  # other words for everybody
    sound = np.roll(sound, round(shift * RATE))
    times = np.arange(round(SECONDS * FPS)) / FPS
    loud = np.clip(loudness_envelope(np.roll(sound, -round(late_s * RATE)), times) + 3, 0, 3) / 3
    rest = load_mean_face() * np.float32(0.5)
    meshes = np.repeat(rest[None], len(times), axis=0)
    meshes[:, FACE_MESH.mouth.lower[1:-1], 1] += 0.08 * loud[:, None]
    meshes[:, FACE_MESH.mouth.upper[1:-1], 1] -= 0.02 * loud[:, None]
    meshes[:, FACE_MESH.chin, 1] += 0.06 * loud
    return times, meshes.astype(np.float32), sound


def drawn_clip(name, seed, late_s=0.0):
    times, meshes, sound = drawn_talk(seed, late_s)
    return SpeechClip(name, speaker_of(name), times.astype(np.float32), normalized_displacements(meshes), sound)


@pytest.fixture(scope="module")
def clips():
    return [drawn_clip(f"p{seed}_01", seed) for seed in range(3)]


@pytest.fixture
def folder(tmp_path):
    """Clips that were watched already, so that no face has to be looked for."""
    (tmp_path / "clips").mkdir()
    (tmp_path / "run" / "talks").mkdir(parents=True)
    for seed in range(4):
        (tmp_path / "clips" / f"p{seed}_01.mp4").touch()
        times, meshes, sound = drawn_talk(seed)
        seen = np.ones(len(times), bool)
        kept = tmp_path / "run" / "talks" / f"p{seed}_01.npz"
        np.savez(kept, times=times, meshes=meshes, seen=seen, sound=sound)
    (tmp_path / "val.txt").write_text("p3_01.mp4\n")
    return tmp_path


def train(folder, steps, resume=False):
    (folder / "recipe.toml").write_text(RECIPE.format(steps=steps))
    trainer.run(folder / "clips", folder / "recipe.toml", folder / "run", val=folder / "val.txt", resume=resume)
    return torch.load(folder / "run" / trainer.CHECKPOINT, weights_only=True)


def test_it_learns_a_mouth_that_it_never_saw(folder, one_thread):
    train(folder, 60)
    with (folder / "run" / "val.csv").open(newline="") as rows:
        figures = [float(row["mouth_correlation"]) for row in csv.DictReader(rows)]
    assert figures[-1] > 0.6
    assert figures[-1] > figures[0] + 0.2
    assert (folder / "run" / "curves.png").stat().st_size > 1000


def test_a_run_that_goes_on_is_as_one_that_never_stopped(folder, one_thread, monkeypatch):
    whole = train(folder, 6)
    with monkeypatch.context() as patched:
        patched.setattr(trainer.VoiceTrainer, "total", property(lambda self: 3 * self.recipe.batch))
        train(folder, 6)
    going_on = train(folder, 6, resume=True)
    assert going_on["counts"]["step"] == whole["counts"]["step"] == 6
    for name, value in whole["network"].items():
        torch.testing.assert_close(going_on["network"][name], value)


def test_what_it_learnt_ships_in_one_small_file(folder, tmp_path, one_thread):
    train(folder, 2)
    path = export_voice(folder / "run" / trainer.CHECKPOINT, tmp_path, motion_gain=2.0)
    model = build_voice_model(read_safetensors(path))
    document = torch.load(folder / "run" / trainer.CHECKPOINT, weights_only=True)
    torch.testing.assert_close(model.network.scale, 2 * document["average"]["scale"])
    entry = json.loads((tmp_path / "weights.json").read_text())["voice"]
    assert entry["file"] == path.name
    torch.save({"network": {}}, tmp_path / "other.pt")
    with pytest.raises(ConfigError, match="no checkpoint of a voice run"):
        export_voice(tmp_path / "other.pt", tmp_path, 1.0)


def test_clips_of_no_use_are_passed_over_and_none_at_all_is_told(folder):
    useless = folder / "clips" / "grey_01.mp4"
    useless.write_bytes(b"no video")
    names = ["p0_01.mp4", "grey_01.mp4"]
    for _ in range(2):  # watched, then remembered
        assert [clip.name for clip in read_clips(folder / "clips", names, folder / "run" / "talks")] == ["p0_01"]
    with pytest.raises(ConfigError, match="no clip"):
        read_clips(folder / "clips", ["grey_01.mp4"], folder / "run" / "talks")
    with pytest.raises(ConfigError, match=r"there is no clip .*nobody"):
        read_clips(folder / "clips", ["nobody.mp4"], folder / "run" / "talks")


def test_the_basis_has_the_opening_apart_and_gives_the_motion_back(clips):
    basis = build_motion_basis(clips, 2)
    moves = clips[0].displacements
    found = project_onto_basis(moves, basis)
    np.testing.assert_allclose(found[:, 0], mouth_opening(moves), atol=1e-5)
    np.testing.assert_allclose(mouth_opening(basis), [1, 0], atol=1e-4)
    again = np.tensordot(found, basis, axes=1)
    lips = FACE_MESH.mouth.inner
    assert np.abs(again - moves)[:, lips].max() < 0.1 * np.abs(moves[:, lips]).max()


def test_everybody_opens_the_mouth_as_far_on_average():
    _, meshes, _ = drawn_talk(0)
    wide = meshes.copy()
    rest = load_mean_face() * np.float32(0.5)
    wide += 0.4 * (wide - rest)
    np.testing.assert_allclose(
        mouth_opening(normalized_displacements(wide)).std(),
        mouth_opening(normalized_displacements(meshes)).std(),
        rtol=0.05,
    )


def test_sound_that_comes_late_is_found_out():
    late = drawn_clip("late_01", 4, late_s=0.12)
    loud = loudness_envelope(late.sound, np.arange(int(SECONDS / STEP_S)) * STEP_S)
    lag = find_best_lag(loud, late.times, mouth_opening(late.displacements), 0.24)
    assert abs(lag.video_delay_s - 0.12) <= 0.041
    assert lag.correlation > find_best_lag(loud, late.times, mouth_opening(late.displacements), 0.0).correlation


def test_clips_that_do_not_go_with_their_sound_are_left_out(clips, tmp_path):
    late = drawn_clip("late_01", 4, late_s=0.12)
    noise = np.random.default_rng(0).standard_normal(len(clips[0].sound)).astype(np.float32) * 0.1
    foreign = SpeechClip("foreign_01", "foreign", clips[0].times, clips[0].displacements, noise)
    heard = []

    def learn(some):
        heard.append({clip.person for clip in some})
        return lambda clip: loudness_envelope(clip.sound, np.arange(int(len(clip.sound) / RATE / STEP_S)) * STEP_S)

    sync = AudioVideoSyncSettings(rounds=2, folds=2, weakest=0.5)
    every = [*clips, late, foreign]
    kept = align_clips(every, learn, sync, tmp_path / "sync.csv", seed=0)
    assert [clip.name for clip in kept] == [*(clip.name for clip in clips), "late_01"]
    apart = (kept[-1].times - late.times).mean() - (kept[0].times - clips[0].times).mean()
    assert abs(float(apart) - 0.12) <= 0.041
    moved = [float((one.times - other.times).mean()) for one, other in zip(kept, [*clips, late], strict=True)]
    assert abs(np.mean(moved)) < 1e-3  # the average person stays
    assert all(persons < {clip.person for clip in every} for persons in heard)
    again = align_clips(every, None, sync, tmp_path / "sync.csv", seed=0)  # read, not measured
    assert [clip.name for clip in again] == [clip.name for clip in kept]


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_samples_follow_from_their_seed_and_silence_closes_the_mouth(clips, share):
    wanted = {clip.name: resample_to_steps(clip, np.ones((len(clip.times), 2), np.float32)) for clip in clips}
    source = SpeechSampler(clips, wanted, 2.0, SoundAugmentation(silence_share=share, noise_share=0))
    one, again, other = (source.sample_batch(4, seed) for seed in ((1, 2), (1, 2), (1, 3)))
    assert one.frames.shape == (4, MEL_BANDS, FRAMES_PER_STEP * 100)
    assert one.target.shape == (4, 2, 100)
    for mine, theirs in zip(one, again, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)
    assert not torch.equal(one.frames, other.frames)
    assert bool((one.target == 0).any()) == bool(share)


def test_where_nothing_moves_the_loss_still_has_a_slope():
    found = torch.zeros(2, 1, 3, 40, requires_grad=True)
    terms = voice_losses(found, torch.zeros(2, 3, 40), torch.zeros(2, 40), torch.ones(3))
    sum(terms).backward()
    assert bool(found.grad.isfinite().all())


def test_the_truth_costs_next_to_nothing():
    wanted = torch.randn(2, 3, 60, generator=torch.Generator().manual_seed(0))
    perfect = voice_losses(wanted[:, None], wanted, torch.ones(2, 60), torch.ones(3))
    wrong = voice_losses(-wanted[:, None], wanted, torch.ones(2, 60), torch.ones(3))
    assert float(perfect.motion) == float(perfect.velocity) == 0
    assert float(perfect.correlation) < 0.15
    assert all(float(bad) > float(good) + 0.5 for good, bad in zip(perfect, wrong, strict=True))
