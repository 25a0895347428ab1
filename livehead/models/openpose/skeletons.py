"""The parts that each published network finds, and the limbs whose affinity fields show which belong together.

Cao et al., "OpenPose: Realtime Multi-Person 2D Pose Estimation using Part Affinity Fields" (TPAMI 2019), sections 3.2
and 5; Simon et al., "Hand Keypoint Detection in Single Images using Multiview Bootstrapping" (CVPR 2017). Right and
left are the person's.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Limb:
    """A limb from part ``a`` to part ``b``; planes ``x`` and ``y`` of the affinity fields hold its direction.

    ``can_add_person``: whether the limb-by-limb assembly may start a person with it; limbs from shoulder to ear may
    not.
    """

    a: int
    b: int
    x: int
    y: int
    can_add_person: bool = True


@dataclass(frozen=True)
class Skeleton:
    """The parts of a body by index, and its limbs in the order of the published assembly.

    A network's maps are [parts + 1 + 2 limbs, h, w]: a heat map a part, one of the background, then affinity fields.
    ``peak_threshold``: least value of a peak. ``alignment_threshold``: least product of field and limb for a sample to
    count. ``foot_parts``: parts that do not count towards a person.
    """

    name: str
    parts: tuple[str, ...]
    limbs: tuple[Limb, ...]
    peak_threshold: float = 0.05
    alignment_threshold: float = 0.05
    foot_parts: tuple[int, ...] = ()

    @property
    def heat_planes(self) -> int:
        """The number of heat maps: one a part, and the background."""
        return len(self.parts) + 1

    @property
    def field_planes(self) -> int:
        """The number of planes of affinity fields: two a limb."""
        return 2 * len(self.limbs)

    @cached_property
    def limb_table(self) -> Indices:
        """The limbs as an array [L, 4] of a, b, x and y."""
        return np.array([(limb.a, limb.b, limb.x, limb.y) for limb in self.limbs], np.int64)

    def part_index(self, name: str) -> int:
        """Index of the part called ``name``. Raises: ValueError."""
        return self.parts.index(name)


def _parse_limbs(table: str, ears: tuple[int, ...] = ()) -> tuple[Limb, ...]:
    """Parse ``a b x y`` entries; ``ears``: indices of limbs that only complete persons."""
    limbs = []
    for index, entry in enumerate(table.strip().split(",")):
        a, b, x, y = (int(number) for number in entry.split())
        limbs.append(Limb(a, b, x, y, can_add_person=index not in ears))
    return tuple(limbs)


_ARMS = ("RShoulder", "RElbow", "RWrist", "LShoulder", "LElbow", "LWrist")
_LEGS = ("RHip", "RKnee", "RAnkle", "LHip", "LKnee", "LAnkle")
_HEAD = ("REye", "LEye", "REar", "LEar")
_FEET = ("LBigToe", "LSmallToe", "LHeel", "RBigToe", "RSmallToe", "RHeel")

BODY_25 = Skeleton(
    "body25",
    ("Nose", "Neck", *_ARMS, "MidHip", *_LEGS, *_HEAD, *_FEET),
    _parse_limbs(
        "1 8 0 1, 1 2 14 15, 1 5 22 23, 2 3 16 17, 3 4 18 19, 5 6 24 25, 6 7 26 27, 8 9 6 7, 9 10 2 3, 10 11 4 5,"
        "8 12 8 9, 12 13 10 11, 13 14 12 13, 1 0 30 31, 0 15 32 33, 15 17 36 37, 0 16 34 35, 16 18 38 39,"
        "2 17 20 21, 5 18 28 29, 14 19 40 41, 19 20 42 43, 14 21 44 45, 11 22 46 47, 22 23 48 49, 11 24 50 51",
        ears=(18, 19),
    ),
    foot_parts=tuple(range(19, 25)),
)
"""The skeleton of 25 parts, with mid hip and feet."""

COCO_18 = Skeleton(
    "coco18",
    ("Nose", "Neck", *_ARMS, *_LEGS, *_HEAD),
    _parse_limbs(
        "1 2 12 13, 1 5 20 21, 2 3 14 15, 3 4 16 17, 5 6 22 23, 6 7 24 25, 1 8 0 1, 8 9 2 3, 9 10 4 5, 1 11 6 7,"
        "11 12 8 9, 12 13 10 11, 1 0 28 29, 0 14 30 31, 14 16 34 35, 0 15 32 33, 15 17 36 37, 2 16 18 19, 5 17 26 27",
        ears=(17, 18),
    ),
)
"""The skeleton of 18 parts: those that COCO annotates, and the neck."""

MPI_15 = Skeleton(
    "mpi15",
    ("Head", "Neck", *_ARMS, *_LEGS, "Chest"),
    _parse_limbs(
        "0 1 0 1, 1 2 2 3, 2 3 4 5, 3 4 6 7, 1 5 8 9, 5 6 10 11, 6 7 12 13, 1 14 14 15, 14 8 16 17, 8 9 18 19,"
        "9 10 20 21, 14 11 22 23, 11 12 24 25, 12 13 26 27"
    ),
    peak_threshold=0.6,
    alignment_threshold=0.01,
)
"""The skeleton of 15 parts, as MPII annotates them."""

SKELETONS = {skeleton.name: skeleton for skeleton in (BODY_25, COCO_18, MPI_15)}
"""All skeletons by name."""

HAND_PARTS, FACE_PARTS = 21, 70
"""Numbers of points. A hand has the wrist, then thumb to little finger, four points each from base to tip. A face has
17 points of the jaw from the person's right, 5 and 5 of the brows, 9 of the nose, 6 and 6 of the eyes, 20 of the mouth,
and the right and left pupil."""
