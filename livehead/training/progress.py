"""How far a training run is, as it is counted in memory and in checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(kw_only=True)
class TrainingProgress:
    """The steps and samples a run has seen (samples of all processes together), and its seconds of work."""

    step: int = 0
    samples: int = 0
    seconds: float = 0.0

    def counts(self) -> dict[str, int | float]:
        """The progress as the entry ``counts`` of a checkpoint."""
        return {"step": self.step, "samples": self.samples, "seconds": self.seconds}

    def restore_counts(self, counts: Mapping[str, int | float]) -> None:
        """Go on from the ``counts`` of a checkpoint. Raises: KeyError when one is missing."""
        self.step, self.samples, self.seconds = int(counts["step"]), int(counts["samples"]), counts["seconds"]

    def progress_row(self) -> dict[str, int | float]:
        """The columns ``samples`` and ``seconds`` of a run's logs."""
        return {"samples": self.samples, "seconds": self.seconds}
