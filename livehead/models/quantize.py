"""Quantisation of convolutions to eight bits: the range of each one's input, and a network that rounds accordingly.

Post-training quantisation, as in Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference" (CVPR 2018): a whole input tensor shares one scale and zero point, weights have a
scale for each output channel. The rounding network computes in float32; a compiler that knows the operations (OpenVINO)
turns it into integer arithmetic.

Written by hand and not left to NNCF (OpenVINO's compression framework): its ranges come from calibration data when a
model is converted, while here they are stored beside the weights, so that a network is compiled on the user's machine
without data and without a further package.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from livehead.frames import Image

ActivationRanges = dict[str, tuple[float, float]]
"""The least and the largest input of each convolution, by its name in the network. Zero is always between them."""

ROUNDING_VERSION = 3
"""Version of the way in which ``fake_quantize`` rounds: networks compiled from another version are not used."""

_PREFIX = "ranges."


def observe_ranges(network: nn.Module, run: Callable[[], None]) -> ActivationRanges:
    """Measure the ranges of the convolutions' inputs while ``run`` calls the network on typical inputs.

    A range is the mean of each call's extremes: a single outlier would cost all other values their precision.
    """
    extremes: dict[str, list[tuple[float, float]]] = {}

    def record_range(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            x = inputs[0].detach()
            extremes.setdefault(name, []).append((float(x.amin()), float(x.amax())))

        return hook

    kinds = (nn.Conv2d, nn.ConvTranspose2d)
    convolutions = [(name, module) for name, module in network.named_modules() if isinstance(module, kinds)]
    handles = [module.register_forward_pre_hook(record_range(name)) for name, module in convolutions]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    return {name: _mean_range(pairs) for name, pairs in extremes.items()}


def _mean_range(pairs: list[tuple[float, float]]) -> tuple[float, float]:
    low, high = (sum(values) / len(values) for values in zip(*pairs, strict=True))
    return min(low, 0.0), max(high, 0.0)


class FakeQuantizedConv(nn.Module):
    """A convolution whose input is rounded to 256 levels and whose weights are rounded to 255."""

    weight: Tensor
    bias: Tensor | None
    steps: Tensor
    zeros: Tensor

    def __init__(self, conv: nn.Conv2d, span: tuple[float, float]) -> None:
        super().__init__()
        self.scale, self.zero = _quantization_parameters(span)
        if isinstance(conv.padding, str):
            raise ValueError(f"padding {conv.padding!r} is not supported: give the number of pixels")
        self.stride, self.padding, self.dilation, self.groups = conv.stride, conv.padding, conv.dilation, conv.groups
        weight = conv.weight.detach().float().contiguous()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", None if conv.bias is None else conv.bias.detach().float())
        self.register_buffer("steps", weight.abs().amax(dim=(1, 2, 3)).clamp_min(1e-8) / 127)
        self.register_buffer("zeros", torch.zeros(len(weight), dtype=torch.int32))

    def extra_repr(self) -> str:
        return f"scale={self.scale!r}, zero={self.zero}"

    def forward(self, x: Tensor) -> Tensor:
        x = torch.fake_quantize_per_tensor_affine(x, self.scale, self.zero, 0, 255)
        weight = torch.fake_quantize_per_channel_affine(self.weight, self.steps, self.zeros, 0, -127, 127)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class FakeQuantizedConvTranspose(nn.Module):
    """A transposed convolution whose input is rounded to 256 levels and whose weights are rounded to 255.

    An input of both signs gets equally many levels on both sides of zero: with any other choice the compiler does not
    use integer arithmetic.
    """

    weight: Tensor
    bias: Tensor | None
    steps: Tensor
    zeros: Tensor

    def __init__(self, conv: nn.ConvTranspose2d, span: tuple[float, float]) -> None:
        super().__init__()
        low, high = span
        self.lowest = -128 if low < 0 else 0
        self.scale = max(-low / 128, high / 127 if low < 0 else high / 255, 1e-8)
        if isinstance(conv.padding, str):
            raise ValueError(f"padding {conv.padding!r} is not supported: give the number of pixels")
        self.stride, self.padding = conv.stride, conv.padding
        weight = conv.weight.detach().float().contiguous()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", None if conv.bias is None else conv.bias.detach().float())
        self.register_buffer("steps", weight.abs().amax(dim=(0, 2, 3)).clamp_min(1e-8) / 127)
        self.register_buffer("zeros", torch.zeros(weight.shape[1], dtype=torch.int32))

    def extra_repr(self) -> str:
        return f"scale={self.scale!r}, lowest={self.lowest}"

    def forward(self, x: Tensor) -> Tensor:
        x = torch.fake_quantize_per_tensor_affine(x, self.scale, 0, self.lowest, self.lowest + 255)
        weight = torch.fake_quantize_per_channel_affine(self.weight, self.steps, self.zeros, 1, -127, 127)
        return F.conv_transpose2d(x, weight, self.bias, self.stride, self.padding)


def _quantization_parameters(span: tuple[float, float]) -> tuple[float, int]:
    """Scale and zero point of the 256 levels that cover ``span``."""
    low, high = span
    scale = max((high - low) / 255, 1e-8)
    return scale, round(-low / scale)


def fake_quantize(network: nn.Module, ranges: Mapping[str, tuple[float, float]]) -> nn.Module:
    """Copy ``network`` and round every convolution that has a range."""
    network = copy.deepcopy(network)
    for name, module in list(network.named_modules()):
        if name not in ranges:
            continue
        owner, _, last = name.rpartition(".")
        if isinstance(module, nn.Conv2d):
            setattr(network.get_submodule(owner), last, FakeQuantizedConv(module, ranges[name]))
        elif isinstance(module, nn.ConvTranspose2d):
            setattr(network.get_submodule(owner), last, FakeQuantizedConvTranspose(module, ranges[name]))
    return network


def picture_fidelity_db(picture: Image, exact: Image) -> float:
    """How near a rounding network's picture is to the exact one (both uint8): the peak signal-to-noise ratio.

    Infinite for equal pictures.
    """
    error = float(np.mean((picture.astype(np.float32) - exact.astype(np.float32)) ** 2)) / 255**2
    return float(-10 * np.log10(error)) if error > 0 else float("inf")


def select_ranges(ranges: ActivationRanges, name: str) -> ActivationRanges:
    """The ranges of the child ``name``, by the convolutions' names within it; an empty name selects all ranges."""
    if not name:
        return ranges
    return {key.removeprefix(f"{name}."): span for key, span in ranges.items() if key.startswith(f"{name}.")}


def ranges_to_tensors(ranges: ActivationRanges) -> dict[str, Tensor]:
    """Convert ranges to tensors, as they are stored beside the weights in one file."""
    return {_PREFIX + name: torch.tensor(span) for name, span in ranges.items()}


def split_ranges(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], ActivationRanges]:
    """Separate a file's tensors into the weights and the ranges stored among them."""
    weights = {name: value for name, value in tensors.items() if not name.startswith(_PREFIX)}
    spans = {
        name.removeprefix(_PREFIX): (float(value[0]), float(value[1]))
        for name, value in tensors.items()
        if name.startswith(_PREFIX)
    }
    return weights, spans
