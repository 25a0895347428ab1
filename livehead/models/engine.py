"""How a network is run: its precision and memory format, folded norms and compiled parts."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeGuard, TypeVar, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from livehead.errors import ConfigError
from livehead.models import openvino, quantize
from livehead.models.blocks import UpBlock, relu
from livehead.models.cuda_graph import CudaGraphPart
from livehead.models.openvino import OpenVinoPart
from livehead.models.torchscript import TracedPart
from livehead.threads import available_cores

log = logging.getLogger(__name__)

Precision = Literal["auto", "fp32", "bf16", "fp16", "int8"]
"""``auto`` is the fastest precision that is safe on this machine; ``fp32`` is the exact one."""

ModuleT = TypeVar("ModuleT", bound=nn.Module)

_MIN_FUSED_CHANNELS = 128  # with fewer channels, the products are not what an upsampling block costs

# Attributes of one block that hold a convolution and the norm that follows it directly.
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
    """The device and dtype that a network runs with; ``description`` names them for a person.

    ``int8``: the parts that a renderer names are compiled by OpenVINO with convolutions in eight bits; ``dtype`` is
    that of the rest.
    """

    device: torch.device
    dtype: torch.dtype
    description: str
    int8: bool = False
    threads: int = field(default_factory=available_cores)
    """Threads of the parts that OpenVINO compiles; for the others ``livehead.threads`` sets torch's."""

    @property
    def precision(self) -> str:
        """The name of the precision: ``fp32``, ``bf16``, ``fp16`` or ``int8``."""
        if self.int8:
            return "int8"
        return {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}[self.dtype]


def choose_execution_config(
    precision: Precision = "auto", *, has_ranges: bool = True, threads: int | None = None
) -> ExecutionConfig:
    """The configuration for ``precision`` on this machine.

    ``has_ranges``: whether the weights come with the activation ranges that int8 needs.
    Raises: ConfigError when this machine cannot run that precision.
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
        count = threads or available_cores()
        return ExecutionConfig(
            torch.device("cpu"), torch.float32, "processor, int8 by OpenVINO", int8=True, threads=count
        )
    if precision == "fp32":
        return ExecutionConfig(torch.device("cpu"), torch.float32, "processor, fp32")
    means = "with matrix tiles (AMX)" if torch.cpu._is_amx_tile_supported() else "with AVX-512"
    return ExecutionConfig(
        torch.device("cpu"), torch.bfloat16, f"processor, bf16 {means if _has_fast_bf16() else 'without hardware'}"
    )


def faster_precisions() -> list[Precision]:
    """The precisions that this machine's CPU computes faster than fp32, the fastest first; none with a GPU.

    With a GPU the networks do not run on the CPU.
    """
    found: list[Precision] = []
    if openvino.is_available() and has_fast_int8():
        found.append("int8")
    if not torch.cuda.is_available() and _has_fast_bf16():
        found.append("bf16")
    return found


def has_fast_int8() -> bool:
    """Tell whether networks run here on a CPU that multiplies 8-bit integers faster than other numbers."""
    if torch.cuda.is_available():
        return False
    return torch.cpu._is_vnni_supported() or torch.cpu._is_amx_tile_supported()


def _has_fast_bf16() -> bool:
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) and torch.cpu._is_avx512_bf16_supported()


CompilableParts = Mapping[str, Callable[..., Any]]
"""The parts of a network that can be compiled, since they take and return tensors only: by their name in the network
("" is the whole of it), the function that turns those tensors into what the part returns."""

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
    """Copy ``network`` for inference under ``config``; children named in ``float32_parts`` stay in float32.

    Batch norms are folded into the convolutions before them. Weights are laid out channels last, or, on a CPU with
    bf16, once and for all in the blocks that its matrix unit takes. ``parts`` are compiled where that helps: for int8
    by OpenVINO with the ``ranges`` of ``observe_ranges``, on a GPU as CUDA graphs. Those in ``float_types`` use no
    8-bit arithmetic even then, but the type named there ("bf16" where it is fast here, else "f32"). On a CPU each of
    ``traced_parts`` is traced into one call into torch, except for fp32.
    Raises: ConfigError for int8 without ranges.
    """
    network = fold_batch_norm(copy.deepcopy(network).eval().requires_grad_(False))
    optimized = config.device.type == "cpu" and config.precision != "fp32"  # fp32 keeps the network as published
    if optimized:
        fuse_upsample_convs(network)
    if config.int8 and not ranges:
        raise ConfigError("these weights have no ranges for int8", "export them anew, or use --precision bf16")
    for name, child in network.named_children():
        dtype = torch.float32 if name in float32_parts else config.dtype
        # torch's stub of Module.to lacks memory_format
        child.to(config.device, dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
    network = network.to(config.device)
    for name, rebuild in (parts or {}).items():
        part = network.get_submodule(name)
        if config.int8 and ranges:
            network = _replace_part(
                network, name, _compile_part(part, name, rebuild, ranges, (float_types or {}).get(name), config.threads)
            )
        elif config.device.type == "cuda":
            network = _replace_part(network, name, CudaGraphPart(part, rebuild))
    for name, rebuild in (traced_parts or {}).items() if optimized else ():
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
    threads: int,
) -> OpenVinoPart:
    if float_type is None:
        return OpenVinoPart(part, quantize.select_ranges(ranges, name), rebuild, threads=threads)
    return OpenVinoPart(part, None, rebuild, float_type if _has_fast_bf16() else "f32", threads=threads)


def _replace_part(network: ModuleT, name: str, replacement: nn.Module) -> ModuleT:
    """Put ``replacement`` in the place of the part ``name``; an empty name returns the replacement for the whole."""
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
    """An ``UpBlock`` in evaluation mode as one transposed convolution: sixteen products instead of the thirty-six that
    repeating every pixel first takes.

    Of three taps that slide over repeated pixels, two always meet the same one, so their weights can be added.
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
    def can_replace(block: nn.Module) -> TypeGuard[UpBlock]:
        """Whether ``block`` is an ``UpBlock`` with its norm folded, wide enough for products to be what it costs."""
        return (
            isinstance(block, UpBlock)
            and isinstance(block.norm, nn.Identity)
            and block.conv.in_channels >= _MIN_FUSED_CHANNELS
        )

    def forward(self, x: Tensor) -> Tensor:
        return relu(self.conv(x))


def fuse_upsample_convs(network: ModuleT) -> ModuleT:
    """Replace, in place, the ``UpBlock``s of a folded network by ``FusedUpsampleConv``; returns ``network``."""
    for owner in list(network.modules()):
        for name, child in owner.named_children():
            if FusedUpsampleConv.can_replace(child):
                setattr(owner, name, FusedUpsampleConv(child.conv))
    return network


class PackedConv(nn.Module):
    """A convolution whose weights are stored in the order that oneDNN computes with.

    A plain convolution reorders its weights at every call. The order depends on the size of the feature maps, so it is
    chosen for those of the first call: for a small map of many channels the wrong order costs seventy times as much.
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.shape = (list(conv.padding), list(conv.stride), list(conv.dilation), conv.groups)
        self.register_buffer("weight", conv.weight.detach(), persistent=False)
        self.register_buffer("bias", None if conv.bias is None else conv.bias.detach(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if not self.weight.is_mkldnn:
            dense = self.weight.to_mkldnn()
            # torch's stub lacks the size of the input
            self.weight = torch._C._nn.mkldnn_reorder_conv2d_weight(dense, *self.shape, list(x.shape))  # type: ignore[call-arg]
        output: Tensor = torch.ops.mkldnn._convolution_pointwise(x, self.weight, self.bias, *self.shape, "none", [], "")
        return output


class PackedConvTranspose(nn.Module):
    """A transposed convolution that doubles the size, as one packed convolution that computes even and odd rows and
    columns as four quarters of its channels.

    It is twice as fast, since oneDNN's own transposed convolution has no packed form.
    """

    def __init__(self, conv: nn.ConvTranspose2d) -> None:
        super().__init__()
        self.out = conv.out_channels
        # An even line is made of the line before and its own by these rows of the kernel, an odd one of its own and
        # the next.
        taps = [[3, 1], [2, 0]]
        kernels = [conv.weight[:, :, rows][:, :, :, columns] for rows in taps for columns in taps]
        quarters = nn.Conv2d(conv.in_channels, 4 * self.out, 2, padding=1, bias=conv.bias is not None)
        quarters.weight = nn.Parameter(torch.cat(kernels, dim=1).transpose(0, 1).contiguous(), requires_grad=False)
        if conv.bias is not None:
            quarters.bias = nn.Parameter(conv.bias.detach().repeat(4), requires_grad=False)
        self.quarters = PackedConv(quarters)

    @staticmethod
    def can_replace(layer: nn.Module) -> TypeGuard[nn.ConvTranspose2d]:
        """Tell whether ``layer`` is a transposed convolution that doubles the size with a 4 x 4 kernel."""
        if not isinstance(layer, nn.ConvTranspose2d) or layer.groups != 1 or layer.output_padding != (0, 0):
            return False
        return (layer.kernel_size, layer.stride, layer.padding, layer.dilation) == ((4, 4), (2, 2), (1, 1), (1, 1))

    def forward(self, x: Tensor) -> Tensor:
        batch, _, height, width = x.shape
        quarters = self.quarters(x.contiguous(memory_format=torch.channels_last))
        whole = torch.empty((batch, self.out, 2 * height, 2 * width), dtype=x.dtype, memory_format=torch.channels_last)
        for number, quarter in enumerate(torch.split(quarters, self.out, dim=1)):
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
