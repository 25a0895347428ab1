"""From a voice run's checkpoint to the weights that ship: half precision, checksum, line in the listing."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from safetensors.torch import save_file

from livehead.errors import ConfigError
from livehead.models.voice.build import BASIS_KEY, WEIGHTS_NAME, build_voice_model
from livehead.training.checkpoint import read_checkpoint
from livehead.training.compact.export import register_weights

_SINGLE_PRECISION = (
    "scale",
    "mean",
    "spread",
)  # kept in single precision: a few numbers that everything is multiplied by
DEFAULT_MOTION_GAIN = 1.0


def export_tensors(checkpoint: Path, motion_gain: float) -> tuple[dict[str, torch.Tensor], int]:
    """The averaged weights of a run with their basis, and the steps it took.

    ``livelier``: the coefficients are multiplied by it. A network that is trained to be near the truth moves less than
    it, since it hedges where sound does not tell. Raises: ConfigError.
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
    """Write ``voice.safetensors`` and its line in ``weights.json`` into ``assets``; returns the weights' path."""
    tensors, steps = export_tensors(checkpoint, motion_gain)
    path = assets / f"{WEIGHTS_NAME}.safetensors"
    save_file(tensors, path, metadata={"format": "pt", "model": WEIGHTS_NAME, "steps": str(steps)})
    register_weights(path, assets, WEIGHTS_NAME, f"from speech to the motion of a face, {steps} training steps")
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description="export a voice run's averaged weights into the package")
    parser.add_argument("checkpoint", type=Path, help="latest.pt of a run")
    parser.add_argument("--assets", type=Path, default=Path(__file__).parents[1] / "assets")
    parser.add_argument(
        "--livelier", type=float, default=DEFAULT_MOTION_GAIN, help="how much further than trained it moves"
    )
    given = parser.parse_args()
    export_voice(given.checkpoint, given.assets, given.livelier)


if __name__ == "__main__":
    main()
