"""From a run's checkpoint to the weights that ship: half precision, ranges for int8, checksum, model card."""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from livehead.errors import WeightsMissingError
from livehead.models.compact.network import BLEND_PLANES, build_compact
from livehead.models.engine import fold_batch_norm
from livehead.models.quantize import ActivationRanges, observe_ranges, ranges_to_tensors
from livehead.training.compact.pair_sampler import AugmentationRanges, PairSampler
from livehead.weights.safetensors_file import load_strict_state

_SIDE = 192  # at which the renderer runs
_PAIRS = 48
_CLIP_STRIDE = 8  # of the clips one is read: enough to know ranges


def averaged_half_weights(checkpoint: Path, blend_bias: float = 0.0) -> tuple[dict[str, torch.Tensor], int]:
    """The averaged weights of a run, and the samples it has seen.

    ``sharper`` raises the blend map's logits: more of the warped photo, less of what is generated. L1 makes a network
    hedge with blur; 0.6 more cost 0.05 dB and gave 0.024 of sharpness (val).

    Convolutions in half precision; vectors (biases, norms) in single: they are small, and variances can be tiny.
    Raises: WeightsMissingError.
    """
    if not checkpoint.is_file():
        raise WeightsMissingError(f"there is no checkpoint {checkpoint}", "train first", subject=str(checkpoint))
    document = torch.load(checkpoint, map_location="cpu", weights_only=True)
    network = build_compact()
    network.load_state_dict(document["average"])
    network.decoder.final.bias.data[BLEND_PLANES] += blend_bias
    tensors = {
        name: (value.half() if value.ndim > 1 else value.float()).contiguous()
        for name, value in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    load_strict_state(network, tensors, checkpoint.name)
    return tensors, int(document["counts"]["samples"])


def measure_int8_ranges(tensors: dict[str, torch.Tensor], data: Path) -> ActivationRanges:
    """What the convolutions of these weights get from training pairs of the cache ``data``. Raises: ConfigError."""
    network = build_compact()
    load_strict_state(network, tensors, "the exported weights")
    network = fold_batch_norm(network.eval())
    source = PairSampler(data, "train", _SIDE, 0, _CLIP_STRIDE)

    @torch.inference_mode()
    def look() -> None:
        for number in range(_PAIRS):
            batch = source.sample_batch(1, AugmentationRanges(), (number,))
            network(batch.source, batch.mask, batch.source_points, batch.target_points, batch.torso)

    return observe_ranges(network, look)


def export_compact(checkpoint: Path, assets: Path, data: Path, summary: str, blend_bias: float = 0.0) -> Path:
    """Write ``compact.safetensors`` and its line in ``weights.json`` into ``assets``; returns the weights' path.

    ``data``: the training cache, to measure the ranges for int8 on.
    """
    tensors, samples = averaged_half_weights(checkpoint, blend_bias)
    tensors |= ranges_to_tensors(measure_int8_ranges(tensors, data))
    path = assets / "compact.safetensors"
    save_file(tensors, path, metadata={"format": "pt", "model": "compact", "samples": str(samples)})
    register_weights(path, assets, "compact", summary.format(samples=samples))
    return path


def register_weights(path: Path, assets: Path, name: str, summary: str) -> None:
    """Write the line of the bundled weights ``name``, which lie at ``path``, into ``weights.json`` of ``assets``."""
    listing = assets / "weights.json"
    entries = json.loads(listing.read_text(encoding="utf-8")) if listing.is_file() else {}
    entries[name] = {
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "licence": f"research and evaluation only, see {name}.card.md",
        "card": f"{name}.card.md",
        "summary": summary,
    }
    listing.write_text(json.dumps(entries, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description="export a run's averaged weights into the package")
    parser.add_argument("checkpoint", type=Path, help="latest.pt of a run")
    parser.add_argument("--data", type=Path, required=True, help="the training cache")
    parser.add_argument("--assets", type=Path, default=Path(__file__).parents[1] / "assets")
    parser.add_argument("--summary", default="compact generator, {samples} training samples")
    parser.add_argument("--sharper", type=float, default=1.2, help="raise the blend's logits: more photo, less paint")
    given = parser.parse_args()
    export_compact(given.checkpoint, given.assets, given.data, given.summary, given.sharper)


if __name__ == "__main__":
    main()
