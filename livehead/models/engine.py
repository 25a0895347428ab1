"""How a network is run: precision, memory format, folded norms, compiled parts. The fastest safe setting, named."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from livehead.errors import ConfigError
from livehead.models import openvino, quantize
from livehead.models.blocks import UpBlock, relu
from livehead.models.cuda_graph import CudaGraphPart
from livehead.models.openvino import OpenVinoPart
from livehead.models.torchscript import TracedPart

log = logging.getLogger(__name__)

Precision = Literal["auto", "fp32", "bf16", "fp16", "int8"]
"""``auto`` is the fastest that is safe on this machine; ``fp32`` the exact path."""

ModuleT = TypeVar("ModuleT", bound=nn.Module)

_MIN_FUSED_CHANNELS = 128  # planes

# attributes of one block that hold a convolution and the norm that follows it directly
_CONV_NORM_PAIRS = (
    ("conv", "norm"),
    ("conv1", "norm2"),
    ("conv1", "bn1"),
    ("conv2", "bn2"),
    ("conv3", "bn3"),
    ("0", "1"),
)


@dataclass(frozen=True, slots=True)
class ExecutionConfig:
    """Where and in which type a network runs; ``why`` says so to a person.

    ``integer``: the parts that a renderer names are compiled by OpenVINO with convolutions in eight bits; ``dtype`` is
    that of the rest.
    """

    device: torch.device
    dtype: torch.dtype
    description: str
    int8: bool = False

    @property
    def precision(self) -> str:
        """``fp32``, ``bf16``, ``fp16`` or ``int8``."""
        if self.int8:
            return "int8"
        return {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}[self.dtype]


def choose_execution_config(precision: Precision = "auto", *, has_ranges: bool = True) -> ExecutionConfig:
    """The setting for ``precision`` on this machine; ``ranges``: whether the weights have those that int8 needs.

    Raises: ConfigError when it cannot be had here.
    """
    if precision not in get_args(Precision):
        raise ConfigError(f"there is no precision {precision!r}", f"use one of {', '.join(get_args(Precision))}")
    if torch.cuda.is_available() and precision != "int8":
        dtype = {"auto": torch.float16, "fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}[precision]
        return ExecutionConfig(torch.device("cuda"), dtype, f"{torch.cuda.get_device_name()}, {precision}")
    if precision == "fp16":
        raise ConfigError("fp16 needs a GPU", "use --precision auto, bf16 or fp32", subject=precision)
    if precision == "int8" and not openvino.is_available():
        raise ConfigError("int8 needs OpenVINO", "pip install 'livehead[fast-cpu]'", subject=precision)
    if precision == "auto":
        precision = next((quick for quick in faster_precisions() if has_ranges or quick != "int8"), "fp32")
    if precision == "int8":
        return ExecutionConfig(torch.device("cpu"), torch.float32, "processor, int8 by OpenVINO", int8=True)
    if precision == "fp32":
        return ExecutionConfig(torch.device("cpu"), torch.float32, "processor, fp32")
    means = "with matrix tiles (AMX)" if torch.cpu._is_amx_tile_supported() else "with AVX-512"
    return ExecutionConfig(
        torch.device("cpu"), torch.bfloat16, f"processor, bf16 {means if _has_fast_bf16() else 'without hardware'}"
    )


def faster_precisions() -> list[Precision]:
    """What a processor here computes quicker than fp32, the quickest first; none where a GPU does the work."""
    found: list[Precision] = []
    if openvino.is_available() and has_fast_int8():
        found.append("int8")
    if not torch.cuda.is_available() and _has_fast_bf16():
        found.append("bf16")
    return found


def has_fast_int8() -> bool:
    """Whether networks run here on a processor that multiplies integers of eight bits quicker than other numbers."""
    if torch.cuda.is_available():
        return False
    return torch.cpu._is_vnni_supported() or torch.cpu._is_amx_tile_supported()


def _has_fast_bf16() -> bool:
    return torch.ops.mkldnn._is_mkldnn_bf16_supported() and torch.cpu._is_avx512_bf16_supported()


CompilableParts = Mapping[str, Callable[..., Any]]
"""Parts that take and return tensors only, by their names in the network (the whole of it is ""), and what makes of
the tensors what each of them returns: they can be compiled."""

FloatType = Literal["f32", "bf16"]


def optimize_for_inference(
    network: ModuleT,
    config: ExecutionConfig,
    float32_parts: tuple[str, ...] = (),
    parts: CompilableParts | None = None,
    ranges: quantize.ActivationRanges | None = None,
    float_types: Mapping[str, FloatType] | None = None,
    *,
    traced_parts: CompilableParts | None = None,
) -> ModuleT:
    """A copy of ``network`` for inference under ``setting``; children named in ``exact`` stay in float32.

    Batch norms are folded into the convolutions before them; weights are laid out channels last, or on a processor with
    bf16 once and for all in the blocks that its matrix unit takes. ``parts`` are compiled where that helps: for eight
    bits, with the ``ranges`` of ``observe``, and as CUDA graphs. Those in ``floating`` have nothing in eight bits even
    then: all their arithmetic is of that type ("bf16" where it is quick here, else "f32"). Those in ``traced`` are one
    call into torch each on a processor, but for fp32.
    Raises: ConfigError for eight bits without ranges.
    """
    network = fold_batch_norm(copy.deepcopy(network).eval().requires_grad_(False))
    quick = config.device.type == "cpu" and config.precision != "fp32"  # there the network stays as it was published
    if quick:
        fuse_upsample_convs(network)
    if config.int8 and not ranges:
        raise ConfigError("these weights have no ranges for int8", "export them anew, or use --precision bf16")
    for name, child in network.named_children():
        kept = torch.float32 if name in float32_parts else config.dtype
        child.to(config.device, kept, memory_format=torch.channels_last)
    network = network.to(config.device)
    for name, rebuild in (parts or {}).items():
        part = network.get_submodule(name)
        if config.int8 and ranges:
            network = _replace_part(
                network, name, _compile_part(part, name, rebuild, ranges, (float_types or {}).get(name))
            )
        elif config.device.type == "cuda":
            network = _replace_part(network, name, CudaGraphPart(part, rebuild))
    for name, rebuild in (traced_parts or {}).items() if quick else ():
        network = _replace_part(network, name, TracedPart(network.get_submodule(name), rebuild))
    if config.device.type == "cpu" and config.dtype == torch.bfloat16:
        _pack_convolutions(network)
    return network


def _compile_part(
    part: nn.Module,
    name: str,
    rebuild: Callable[..., Any],
    ranges: quantize.ActivationRanges,
    float_type: FloatType | None,
) -> OpenVinoPart:
    if float_type is None:
        return OpenVinoPart(part, quantize.select_ranges(ranges, name), rebuild)
    return OpenVinoPart(part, None, rebuild, float_type if _has_fast_bf16() else "f32")


def _replace_part(network: ModuleT, name: str, replacement: nn.Module) -> ModuleT:
    """``network`` with ``by`` in the place of its part ``name``; ``by`` itself, which passes for it, for the whole."""
    if not name:
        return cast(ModuleT, replacement)
    owner, _, last = name.rpartition(".")
    setattr(network.get_submodule(owner), last, replacement)
    return network


def fold_batch_norm(network: ModuleT) -> ModuleT:
    """Replace, in place, every batch norm that directly follows a convolution of its block; returns ``network``.

    In evaluation mode a norm is a scale and a shift of each channel, which a convolution can do with its own weights.
    """
    if network.training:
        raise ValueError("only a network in evaluation mode has constant norms")
    for block in list(network.modules()):
        for before, after in _CONV_NORM_PAIRS:
            conv, norm = getattr(block, before, None), getattr(block, after, None)
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(block, before, fuse_conv_bn_eval(conv, norm))
                setattr(block, after, nn.Identity())
    return network


class FusedUpsampleConv(nn.Module):
    """An ``Up`` block in evaluation mode as one transposed convolution: sixteen products where repeating every pixel
    first takes thirty-six.

    Of three taps that slide over repeated pixels two always meet the same one, so their weights can be added.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        weight = conv.weight.detach()
        merge = torch.tensor([[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]], dtype=weight.dtype, device=weight.device)
        self.conv = nn.ConvTranspose2d(conv.in_channels, conv.out_channels, 4, 2, padding=1, bias=conv.bias is not None)
        merged = torch.einsum("ay,oiyx,bx->ioab", merge, weight, merge).contiguous()
        self.conv.weight = nn.Parameter(merged, requires_grad=False)
        if conv.bias is not None:
            self.conv.bias = nn.Parameter(conv.bias.detach(), requires_grad=False)

    @staticmethod
    def can_replace(block: nn.Module) -> bool:
        """Whether ``block`` is one with its norm folded, and wide enough for products to be what it costs."""
        return (
            isinstance(block, UpBlock)
            and isinstance(block.norm, nn.Identity)
            and block.conv.in_channels >= _MIN_FUSED_CHANNELS
        )

    def forward(self, x: Tensor) -> Tensor:
        return relu(self.conv(x))


def fuse_upsample_convs(network: ModuleT) -> ModuleT:
    """Replace, in place, the ``Up`` blocks of a folded network by ``MergedUp``; returns ``network``."""
    for owner in list(network.modules()):
        for name, child in owner.named_children():
            if FusedUpsampleConv.can_replace(child):
                setattr(owner, name, FusedUpsampleConv(cast(UpBlock, child).conv))
    return network


class PackedConv(nn.Module):
    """A convolution whose weights lie as oneDNN computes with them; a plain one reorders them at every call.

    Which order that is depends on the pictures' size, so it is chosen for those of the first call: for a small map of
    many channels another one costs seventy times as much.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.shape = (list(conv.padding), list(conv.stride), list(conv.dilation), conv.groups)
        self.register_buffer("weight", conv.weight.detach(), persistent=False)
        self.register_buffer("bias", None if conv.bias is None else conv.bias.detach(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if not self.weight.is_mkldnn:
            dense = self.weight.to_mkldnn()
            self.weight = torch._C._nn.mkldnn_reorder_conv2d_weight(dense, *self.shape, list(x.shape))
        return torch.ops.mkldnn._convolution_pointwise(x, self.weight, self.bias, *self.shape, "none", [], "")


class PackedConvTranspose(nn.Module):
    """A transposed convolution that doubles the size, as one packed convolution with a quarter of the output each for
    even and odd rows and columns: twice as fast, as oneDNN's own has no packed form."""

    def __init__(self, conv: nn.ConvTranspose2d) -> None:
        super().__init__()
        self.out = conv.out_channels
        # an even line is made of the line before and its own by these rows of the kernel, an odd one of its own and
        # the next
        taps = [[3, 1], [2, 0]]
        kernels = [conv.weight[:, :, rows][:, :, :, columns] for rows in taps for columns in taps]
        quarters = nn.Conv2d(conv.in_channels, 4 * self.out, 2, padding=1, bias=conv.bias is not None)
        quarters.weight = nn.Parameter(torch.cat(kernels, dim=1).transpose(0, 1).contiguous(), requires_grad=False)
        if conv.bias is not None:
            quarters.bias = nn.Parameter(conv.bias.detach().repeat(4), requires_grad=False)
        self.quarters = PackedConv(quarters)

    @staticmethod
    def can_replace(layer: nn.Module) -> bool:
        """Whether ``layer`` is one of this kind."""
        if not isinstance(layer, nn.ConvTranspose2d) or layer.groups != 1 or layer.output_padding != (0, 0):
            return False
        return (layer.kernel_size, layer.stride, layer.padding, layer.dilation) == ((4, 4), (2, 2), (1, 1), (1, 1))

    def forward(self, x: Tensor) -> Tensor:
        batch, _, height, width = x.shape
        quarters = self.quarters(x.contiguous(memory_format=torch.channels_last))
        whole = torch.empty((batch, self.out, 2 * height, 2 * width), dtype=x.dtype, memory_format=torch.channels_last)
        for number, quarter in enumerate(quarters.split(self.out, dim=1)):
            row, column = divmod(number, 2)
            whole[:, :, row::2, column::2] = quarter[:, :, row : row + height, column : column + width]
        return whole


def _pack_convolutions(network: nn.Module) -> None:
    for block in list(network.modules()):
        for name, child in block.named_children():
            if PackedConvTranspose.can_replace(child) and child.weight.dtype == torch.bfloat16:
                setattr(block, name, PackedConvTranspose(child))
            elif type(child) is nn.Conv2d and child.padding_mode == "zeros" and child.weight.dtype == torch.bfloat16:
                setattr(block, name, PackedConv(child))
