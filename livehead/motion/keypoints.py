"""Key points, the motion of every face driver.

Coordinates (written once, here): x right, y down, isotropic, relative to a *square*. A square picture is its own
square; a picture of another shape lies centred in the square over its longer side. [-1, 1] spans the square from edge
to edge, so the centre of pixel ``i`` of ``side`` pixels is ``(2 i + 1) / side - 1`` (``align_corners=False``). Depth
has the same unit, grows away from the camera, and its zero is arbitrary (MediaPipe's is near the centre of the head).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

MESH478 = "mesh478"
"""MediaPipe's face mesh with irises: 468 points of the face, then 5 each of the right and left iris."""


@dataclass(frozen=True, slots=True)
class FaceSighting:
    """What a camera tells of the face beside its points.

    ``performer`` is the number of the person, or of the shot of a film: a neutral face counts for one of them alone.
    ``face_count``: how many faces the picture has. ``lips_hidden`` and ``eyes_hidden``, 0 to 1: how much a mask, a hand
    or dark glasses keep from being seen, so that the points there are only guessed.
    """

    performer: int = 1
    face_count: int = 1
    lips_hidden: float = 0.0
    eyes_hidden: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Keypoints:
    """The key points of B faces at one moment; ``set`` names them.

    ``value`` [B, K, 2] holds x, y in [-1, 1]; ``depth`` is [B, K], ``jacobian`` [B, K, 2, 2].

    ``confidence`` [B] in [0, 1]; 0 = nothing seen, ``value`` is then the last good one. ``torso`` [B, 3, 2]: three
    points that move with the torso (``livehead.motion.face.torso``), None where they are not known. All are float32.
    ``sighting``: what a camera told of the face, None for motion from elsewhere.
    """

    set: str
    value: Array
    depth: Array | None
    jacobian: Array | None
    confidence: Array
    captured_ns: int
    torso: Array | None = None
    sighting: FaceSighting | None = None

    def __post_init__(self) -> None:
        b, k = self.value.shape[:2]
        expected = {
            "value": (b, k, 2),
            "depth": (b, k),
            "jacobian": (b, k, 2, 2),
            "confidence": (b,),
            "torso": (b, 3, 2),
        }
        for name, shape in expected.items():
            array = getattr(self, name)
            if array is not None and (array.shape != shape or array.dtype != np.float32):
                raise ValueError(f"{name} of {self.set} is float32 {shape}, got {array.dtype} {array.shape}")

    @property
    def seen(self) -> bool:
        """True if any of the batch was seen."""
        return bool((self.confidence > 0).any())

    @property
    def performer(self) -> int:
        """The number of the person, or of the shot, to whom the motion belongs; 1 where no camera tells."""
        return 1 if self.sighting is None else self.sighting.performer

    def with_points(self, value: Array, depth: Array | None = None) -> Keypoints:
        """Return the same moment with the points at other places; the torso's stay."""
        return replace(self, value=value, depth=self.depth if depth is None else depth)

    def points3d(self) -> Array:
        """The points' x, y and depth [B, K, 3]; depth is 0 where the set has none."""
        depth = np.zeros(self.value.shape[:2], np.float32) if self.depth is None else self.depth
        return np.concatenate([self.value, depth[..., None]], axis=-1)


def mesh_keypoints(points: Array, confidence: float, captured_ns: int) -> Keypoints:
    """Return one face mesh [478, 3] (x, y, depth) as ``Keypoints`` with B = 1."""
    points = np.ascontiguousarray(points, np.float32)
    return Keypoints(
        set=MESH478,
        value=points[None, :, :2].copy(),
        depth=points[None, :, 2].copy(),
        jacobian=None,
        confidence=np.array([confidence], np.float32),
        captured_ns=captured_ns,
    )


def to_square(pixels: Array, width: int, height: int) -> Array:
    """Map pixels [..., 2] (centres at integers) of a ``width`` x ``height`` picture to coordinates in its square."""
    side = max(width, height)
    offset = np.array([(side - width) / 2, (side - height) / 2], np.float32)
    return ((2 * (pixels + offset) + 1) / side - 1).astype(np.float32)


def to_pixels(value: Array, width: int, height: int) -> Array:
    """Map coordinates in a picture's square to its pixels: the inverse of ``to_square``."""
    side = max(width, height)
    offset = np.array([(side - width) / 2, (side - height) / 2], np.float32)
    return (((value + 1) * side - 1) / 2 - offset).astype(np.float32)
