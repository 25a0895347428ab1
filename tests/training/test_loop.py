import os
import signal

import pytest
import torch

from livehead.errors import ConfigError
from livehead.training.checkpoint import read_checkpoint, write_checkpoint
from livehead.training.distributed import ProcessGroupInfo
from livehead.training.loop import TrainingIntervals, TrainingLoop
from livehead.training.progress import TrainingProgress

ALONE = ProcessGroupInfo(torch.device("cpu"), 0, 1)


class FakeTrainer:
    """Counts its steps, and sends itself SIGTERM after so many of them."""

    def __init__(self, ends_after=1000):
        self.progress, self.ends_after, self.done = TrainingProgress(), ends_after, []

    def step(self):
        self.progress.step += 1
        self.progress.samples += 2
        if self.progress.step == self.ends_after:
            os.kill(os.getpid(), signal.SIGTERM)

    def save(self):
        self.done.append(f"saved {self.progress.samples}")

    def validate(self):
        self.done.append(f"validated {self.progress.samples}")


def test_a_run_ends_with_a_checkpoint_and_figures():
    trainer = FakeTrainer()
    TrainingLoop(ALONE, TrainingIntervals(1e9, 1e9)).train(trainer, 6)
    assert trainer.done == ["validated 0", "saved 6", "validated 6"]
    assert trainer.progress.seconds > 0


def test_sigterm_ends_a_run_after_the_step_under_way_with_a_checkpoint():
    before = signal.getsignal(signal.SIGTERM)
    trainer = FakeTrainer(ends_after=3)
    TrainingLoop(ALONE, TrainingIntervals(1e9, 1e9)).train(trainer, 1000)
    assert trainer.progress.samples == 6
    assert trainer.done == ["validated 0", "saved 6"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_checkpoints_and_validations_come_at_their_intervals():
    trainer = FakeTrainer()
    TrainingLoop(ALONE, TrainingIntervals(0, 1e9)).train(trainer, 4)
    assert [each for each in trainer.done if each.startswith("saved")] == ["saved 2", "saved 4", "saved 4"]


def test_a_damaged_checkpoint_is_refused_in_one_line(tmp_path):
    path = tmp_path / "latest.pth.tar"
    write_checkpoint({"counts": {"step": 1}}, path)
    assert read_checkpoint(path) == {"counts": {"step": 1}}
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ConfigError, match="no checkpoint of a run"):
        read_checkpoint(path)
