"""The ultra-dense pose (UDP), the motion that CoNR is drawn in (Lin et al., "Collaborative Neural Rendering Using Anime
Character Sheets", IJCAI 2023, section 3.1).

Every visible point of a body is named by where it lies when the body stands in its T-pose: (X, Y, Z) scaled to [0, 1].
A picture of these names says which point is seen at each pixel; it is a correspondence, not a depth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from livehead.frames import Image
from livehead.motion.keypoints import Array

DENSE_POSE = "udp"
"""The name of this kind of motion, as ``mesh478`` is that of a face's."""


@dataclass(frozen=True, slots=True, eq=False)
class DensePose:
    """One ultra-dense pose: ``value`` float32 [S, S, 4] is X, Y, Z, visibility in [0, 1]; 0 where nothing is seen."""

    value: Array
    captured_ns: int

    def __post_init__(self) -> None:
        side = self.value.shape[0]
        if self.value.shape != (side, side, 4) or self.value.dtype != np.float32:
            raise ValueError(f"a {DENSE_POSE} is float32 [S, S, 4], got {self.value.dtype} {self.value.shape}")

    @property
    def set(self) -> str:
        """The name of the set, the same for every motion of this kind."""
        return DENSE_POSE

    @property
    def seen(self) -> bool:
        """True if any of the body is visible."""
        return bool((self.value[..., 3] > 0).any())

    def to_rgba(self) -> Image:
        """Return the pose as a picture uint8 [S, S, 4]: X, Y, Z as red, green, blue, visibility as straight alpha."""
        picture: Image = np.rint(self.value.clip(0, 1) * 255).astype(np.uint8)
        return picture
