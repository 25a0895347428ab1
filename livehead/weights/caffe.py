"""Caffe's binary models (``.caffemodel``): the layers' blobs, read by the few facts of protobuf's wire format.

Nothing is trusted: every length has to lie within what holds it, the numbers of fields and of sides are bounded, and a
blob's numbers are counted before its shape is believed, so no file can ask for more memory than it has bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from livehead.errors import WeightsMismatchError
from livehead.untrusted_files import DamagedFileError, read_untrusted

if TYPE_CHECKING:
    from torch import Tensor

_LAYERS, _V1_LAYERS = 100, 2  # of a network, as Caffe numbers its fields
_LAYER_NAME, _LAYER_BLOBS = 1, 7
_V1_NAME, _V1_BLOBS = 4, 6
_BLOB_LEGACY_SHAPE, _BLOB_DATA, _BLOB_SHAPE, _BLOB_DOUBLES = (1, 2, 3, 4), 5, 7, 8
_SHAPE_DIMENSIONS = 1

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # protobuf's ways to write a value

_MAX_FIELDS = 200_000  # of a file; a real one has some thousands
_MAX_DIMENSIONS = 8
_MAX_NAME_BYTES = 256
_MAX_FILE_BYTES = 1 << 30  # a real one has at most 210 MB


def _parse_arrays(content: bytes) -> dict[str, npt.NDArray[np.float32]]:
    return dict(_read_tensors(_ProtobufMessage(memoryview(content), _FieldBudget())))


class _InvalidCaffeModelError(Exception):
    """The file is not a Caffe model; the message completes "PATH ..."."""


def read_caffemodel(path: Path) -> dict[str, Tensor]:
    """Tensors by ``layer.weight`` (a layer's first blob, a PReLU's slopes too) and ``layer.bias`` (its second).

    Raises: WeightsMismatchError for what is no Caffe model, or only the beginning of one.
    """
    import torch

    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise _InvalidCaffeModelError("is far too large for a Caffe model")
        arrays = read_untrusted(path, _parse_arrays, max_bytes=_MAX_FILE_BYTES)
    except (_InvalidCaffeModelError, OSError, DamagedFileError) as error:
        cause = error.__cause__ if isinstance(error, DamagedFileError) else error
        problem = str(cause) if isinstance(cause, _InvalidCaffeModelError) else f"cannot be read ({error})"
        raise WeightsMismatchError(
            f"{path} {problem}", "download it again from its authors", subject=str(path)
        ) from error
    if not arrays:
        raise WeightsMismatchError(f"{path} holds no layer with weights", "name the published file", subject=str(path))
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


@dataclass
class _FieldBudget:
    """How many fields may still be read of a file."""

    fields: int = _MAX_FIELDS

    def spend_field(self) -> None:
        self.fields -= 1
        if self.fields < 0:
            raise _InvalidCaffeModelError("has far more fields than a Caffe model")


@dataclass
class _ProtobufMessage:
    """The fields of a message: (number, way, value), a view for bytes and a number otherwise."""

    view: memoryview
    budget: _FieldBudget = field(repr=False)

    def __iter__(self) -> Iterator[tuple[int, int, int | memoryview]]:
        place, end = 0, len(self.view)
        while place < end:
            self.budget.spend_field()
            key, place = _read_varint(self.view, place)
            number, way = key >> 3, key & 7
            value: int | memoryview
            if way == _VARINT:
                value, place = _read_varint(self.view, place)
            else:
                length, place = self._read_length(way, place)
                if length > end - place:
                    raise _InvalidCaffeModelError("is not wholly downloaded, or no Caffe model")
                value, place = self.view[place : place + length], place + length
            yield number, way, value

    def _read_length(self, wire_type: int, place: int) -> tuple[int, int]:
        if wire_type == _BYTES:
            return _read_varint(self.view, place)
        if wire_type in (_FIXED32, _FIXED64):
            return (4 if wire_type == _FIXED32 else 8), place
        raise _InvalidCaffeModelError("is no Caffe model")

    def submessages(self, wanted: int) -> Iterator[_ProtobufMessage]:
        """The messages in the fields of that number."""
        for number, _, value in self:
            if number == wanted and isinstance(value, memoryview):
                yield _ProtobufMessage(value, self.budget)


def _read_varint(view: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(view):
            raise _InvalidCaffeModelError("is not wholly downloaded, or no Caffe model")
        byte = view[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
    raise _InvalidCaffeModelError("is no Caffe model")


def _read_tensors(network: _ProtobufMessage) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    seen = set()
    for number, _, value in network:
        if number not in (_LAYERS, _V1_LAYERS) or not isinstance(value, memoryview):
            continue
        layer = _ProtobufMessage(value, network.budget)
        modern = number == _LAYERS
        name, blobs = _read_layer(layer, *((_LAYER_NAME, _LAYER_BLOBS) if modern else (_V1_NAME, _V1_BLOBS)))
        if not blobs:
            continue
        if name in seen or len(blobs) > 2:
            raise _InvalidCaffeModelError(
                f"has a layer {name!r} " + ("twice" if name in seen else f"of {len(blobs)} blobs")
            )
        seen.add(name)
        for part, blob in zip(("weight", "bias"), blobs, strict=False):
            # old files give every blob four sides: a bias is 1 x 1 x 1 x C
            line = part == "bias" or len(blobs) == 1
            yield f"{name}.{part}", blob.reshape(-1) if line else blob


def _read_layer(layer: _ProtobufMessage, name_field: int, blob_field: int) -> tuple[str, list[npt.NDArray[np.float32]]]:
    name, blobs = "", []
    for number, _, value in layer:
        if not isinstance(value, memoryview):
            continue
        if number == name_field:
            if len(value) > _MAX_NAME_BYTES:
                raise _InvalidCaffeModelError("is no Caffe model")
            name = bytes(value).decode("utf-8", "replace")
        elif number == blob_field:
            blobs.append(_read_blob(_ProtobufMessage(value, layer.budget)))
    return name, blobs


def _read_blob(blob: _ProtobufMessage) -> npt.NDArray[np.float32]:
    """A copy of a blob's numbers in its shape."""
    old, shape = dict.fromkeys(_BLOB_LEGACY_SHAPE, 0), None
    pieces: list[npt.NDArray[np.float32]] = []
    for number, _, value in blob:
        if number in old and isinstance(value, int):
            old[number] = value
        elif number == _BLOB_SHAPE and isinstance(value, memoryview):
            shape = _read_shape(_ProtobufMessage(value, blob.budget))
        elif number in (_BLOB_DATA, _BLOB_DOUBLES) and isinstance(value, memoryview):
            pieces.append(_read_floats(value, double=number == _BLOB_DOUBLES))
    count = sum(len(piece) for piece in pieces)
    sides = tuple(old.values()) if shape is None else shape
    if prod(sides) != count or not count:
        raise _InvalidCaffeModelError(f"has {count} numbers where its shape tells of {'x'.join(map(str, sides))}")
    return np.concatenate(pieces).reshape(sides)


def _read_floats(value: memoryview, *, double: bool) -> npt.NDArray[np.float32]:
    """Packed floats, or one that stands alone; both are the same bytes."""
    width = 8 if double else 4
    if len(value) % width:
        raise _InvalidCaffeModelError("has a blob that breaks off")
    return np.array(np.frombuffer(value, "<f8" if double else "<f4"), np.float32)


def _read_shape(shape: _ProtobufMessage) -> tuple[int, ...]:
    sides: list[int] = []
    for number, way, value in shape:
        if number != _SHAPE_DIMENSIONS:
            continue
        if way == _VARINT and isinstance(value, int):
            sides.append(value)
        elif isinstance(value, memoryview):
            place = 0
            while place < len(value) and len(sides) <= _MAX_DIMENSIONS:
                side, place = _read_varint(value, place)
                sides.append(side)
        if len(sides) > _MAX_DIMENSIONS:
            raise _InvalidCaffeModelError("is no Caffe model")
    return tuple(sides)
