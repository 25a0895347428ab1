"""Reads back what tests have made."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

from livehead.frames import Image


def read_pictures(path: Path) -> list[Image]:
    """All pictures of a film: uint8 [H, W, 3] RGB."""
    with av.open(str(path)) as container:
        return [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in container.decode(video=0)]
