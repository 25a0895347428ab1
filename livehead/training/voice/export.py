"""Export of a voice run's checkpoint to the weights that ship: half precision, checksum, entry in ``weights.json``.

python -m livehead.training.voice.export runs/voice/latest.pt
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from safetensors.torch import save_file

from livehead.errors import ConfigError
from livehead.models.voice.build import BASIS_KEY, WEIGHTS_NAME, build_voice_model
from livehead.storage import replace_file
from livehead.training.bundled_weights import ASSETS, register_weights
from livehead.training.checkpoint import read_checkpoint

_SINGLE_PRECISION = ("scale", "mean", "spread")  # a few numbers by which everything is multiplied
DEFAULT_MOTION_GAIN = 1.0


def export_tensors(checkpoint: Path, motion_gain: float) -> tuple[dict[str, torch.Tensor], int]:
    """The averaged weights of a run with their basis, and the number of its steps.

    The coefficients are multiplied by ``motion_gain``: a network that is trained to be near the truth moves less than
    the truth, since it hedges where sound does not tell.

    Raises: ConfigError.
    """
    document = read_checkpoint(checkpoint)
    if not {"average", "basis"} <= document.keys():
        raise ConfigError(
            f"{checkpoint} is no checkpoint of a voice run", "name its latest.pt", subject=str(checkpoint)
        )
    tensors = {
        name: (value.float() if name in _SINGLE_PRECISION else value.half()).contiguous()
        for name, value in document["average"].items()
    }
    tensors["scale"] = tensors["scale"] * motion_gain
    tensors[BASIS_KEY] = document["basis"].half().contiguous()
    build_voice_model(dict(tensors), checkpoint.name)
    return tensors, int(document["counts"]["step"])


def export_voice(checkpoint: Path, assets: Path, motion_gain: float) -> Path:
    """Write ``voice.safetensors`` and its entry of ``weights.json`` into ``assets``; returns the weights' path."""
    tensors, steps = export_tensors(checkpoint, motion_gain)
    path = assets / f"{WEIGHTS_NAME}.safetensors"
    with replace_file(path) as partial:
        save_file(tensors, partial, metadata={"format": "pt", "model": WEIGHTS_NAME, "steps": str(steps)})
    register_weights(path, assets, WEIGHTS_NAME, f"from speech to the motion of a face, {steps} training steps")
    return path


def main() -> None:
    """The command line of ``python -m livehead.training.voice.export``."""
    parser = argparse.ArgumentParser(
        prog="python -m livehead.training.voice.export",
        description="Export a voice run's averaged weights into the package.",
    )
    add = parser.add_argument
    add("checkpoint", type=Path, help="the latest.pt of a run")
    add("--assets", type=Path, default=ASSETS, help="the folder to write to (default: the package's livehead/assets)")
    gain = "how far the face moves, as a multiple of what was trained (default: %(default)s)"
    add("--livelier", type=float, default=DEFAULT_MOTION_GAIN, help=gain)
    given = parser.parse_args()
    export_voice(given.checkpoint, given.assets, given.livelier)


if __name__ == "__main__":
    main()
