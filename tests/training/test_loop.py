import os
import signal
from dataclasses import dataclass

import pytest
import torch

from livehead.errors import ConfigError
from livehead.training.checkpoint import read_checkpoint, write_checkpoint
from livehead.training.loop import Loop, Rhythm
from livehead.training.place import Place

ALONE = Place(torch.device("cpu"), 0, 1)


@dataclass
class Tally:
    step: int = 0
    samples: int = 0
    seconds: float = 0.0


class Patient:
    """Counts, and is told to end after so many steps."""

    def __init__(self, ends_after=1000):
        self.counts, self.ends_after, self.done = Tally(), ends_after, []

    def step(self):
        self.counts.step += 1
        self.counts.samples += 2
        if self.counts.step == self.ends_after:
            os.kill(os.getpid(), signal.SIGTERM)

    def save(self):
        self.done.append(f"saved {self.counts.samples}")

    def validate(self):
        self.done.append(f"validated {self.counts.samples}")


def test_a_run_ends_with_a_checkpoint_and_figures():
    subject = Patient()
    Loop(ALONE, Rhythm(1e9, 1e9)).train(subject, 6)
    assert subject.done == ["validated 0", "saved 6", "validated 6"]
    assert subject.counts.seconds > 0


def test_sigterm_ends_a_run_after_the_step_under_way_with_a_checkpoint():
    before = signal.getsignal(signal.SIGTERM)
    subject = Patient(ends_after=3)
    Loop(ALONE, Rhythm(1e9, 1e9)).train(subject, 1000)
    assert subject.counts.samples == 6
    assert subject.done == ["validated 0", "saved 6"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_checkpoints_and_figures_come_in_their_rhythm():
    subject = Patient()
    Loop(ALONE, Rhythm(0, 1e9)).train(subject, 4)
    assert [each for each in subject.done if each.startswith("saved")] == ["saved 2", "saved 4", "saved 4"]


def test_a_damaged_checkpoint_is_refused_in_one_line(tmp_path):
    path = tmp_path / "latest.pth.tar"
    write_checkpoint({"counts": {"step": 1}}, path)
    assert read_checkpoint(path) == {"counts": {"step": 1}}
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ConfigError, match="no checkpoint of a run"):
        read_checkpoint(path)
