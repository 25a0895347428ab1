"""The search for the frame of a recording that is most like the photo: relative motion from it has least to make up.

FOMM and DaGAN choose it so in their demonstrations. Shapes are compared, not places and sizes. The
published programs then run forwards and backwards from that frame and join the halves, which is the same as measuring
every frame against it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from livehead.motion.keypoints import Array
from livehead.motion.retarget.relative import hull_area


def shape_distances(source: Array, frames: Sequence[Array]) -> Array:
    """The sum of squared distances of landmarks [N, 2], centred and of unit hull, for each of ``frames``."""
    own = _normalise_shape(source)
    return np.array([np.square(own - _normalise_shape(frame)).sum() for frame in frames])


def find_best_frame(source: Array, frames: Sequence[Array]) -> int:
    """The number of the frame whose landmarks [N, 2] are most like the source's."""
    return int(np.argmin(shape_distances(source, frames)))


def _normalise_shape(points: Array) -> Array:
    centred: Array = points - points.mean(axis=0)
    return np.asarray(centred / np.sqrt(max(hull_area(centred), 1e-12)))
