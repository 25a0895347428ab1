"""Smooth ways from 0 to 1."""

from __future__ import annotations

from typing import Any, TypeVar, overload

import numpy as np
import numpy.typing as npt

_Float = TypeVar("_Float", bound=np.floating[Any])


@overload
def smoothstep(value: float, start: float = 0.0, end: float = 1.0) -> float: ...
@overload
def smoothstep(value: npt.NDArray[_Float], start: float = 0.0, end: float = 1.0) -> npt.NDArray[_Float]: ...
def smoothstep(value: Any, start: float = 0.0, end: float = 1.0) -> Any:
    """The cubic that rises from 0 at ``start`` to 1 at ``end``, level at both ends and outside.

    ``value`` is a number or an array; an array keeps its shape and dtype.
    """
    share = (value - start) / (end - start)
    share = np.clip(share, 0, 1) if isinstance(share, np.ndarray) else min(max(share, 0.0), 1.0)
    return share * share * (3 - 2 * share)
