"""A face that is posed by hand: a few controls for a mesh, and a time line of them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from livehead.motion.easing import smoothstep
from livehead.motion.face.eyes import EyeShape, Gaze
from livehead.motion.face.face_weights import brow_share, carried, head_middle, ramp
from livehead.motion.face.head import HeadMotion, rotation
from livehead.motion.face.lips import LipShape, gaps, mouth_width
from livehead.motion.face.mesh import MESH
from livehead.motion.keypoints import Array, Keypoints, mesh_keypoints

_JAW_DROP = 0.28  # of the mouth's width, for a jaw that is open
_WIDE_OPEN = 0.5  # gap of the lips at the middle of an open mouth, over its width
_SMILE = (0.10, 0.09)  # how far the corners of the mouth go outwards and up in a smile, over its width
_RAISE = 0.09  # how far raised brows go up, over the distance of the eyes


@dataclass(frozen=True, slots=True)
class Pose:
    """What a face does; all 0 is the photo as it is.

    ``yaw``, ``pitch``, ``roll`` in degrees (signs: ``HeadMotion.angles``); ``right``, ``down`` in the unit of points;
    ``growth``: logarithm of the head's size; ``blink`` 0 to 1 (shut); ``look_right``, ``look_down`` in eye widths;
    ``jaw`` 0 to 1; ``smile`` and ``brows`` -1 to 1.
    """

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    right: float = 0.0
    down: float = 0.0
    growth: float = 0.0
    blink: float = 0.0
    look_right: float = 0.0
    look_down: float = 0.0
    jaw: float = 0.0
    smile: float = 0.0
    brows: float = 0.0

    def towards(self, other: Pose, share: float) -> Pose:
        """The pose ``share`` of the way to ``other``."""
        return Pose(
            **{f.name: (1 - share) * getattr(self, f.name) + share * getattr(other, f.name) for f in fields(Pose)}
        )


class Puppet:
    """A face mesh on strings."""

    def __init__(self, source: Keypoints) -> None:
        """``source``: ``mesh478`` with depth, B = 1, the face as it is on its photo."""
        self._rest = source.points3d()[0]
        self._eyes = (EyeShape(self._rest, MESH.right_eye), EyeShape(self._rest, MESH.left_eye))
        self._lips = LipShape(self._rest)
        self._brows = brow_share(self._rest)
        self._middle = head_middle(self._rest)
        self._gaps = gaps(self._rest)
        self._width = mouth_width(self._rest)
        self._apart = float(np.linalg.norm(self._rest[MESH.right_eye.iris[0]] - self._rest[MESH.left_eye.iris[0]]))
        self._corners = np.stack([MESH.mouth.upper[0], MESH.mouth.upper[-1]])
        skin = np.arange(468)
        self._corner_carry = carried(self._rest, self._corners, skin, 0.45 * self._width)
        self._across, self._down = self._frame()
        below = (self._rest - self._rest[self._corners].mean(axis=0)) @ self._down / self._width
        self._jaw = ramp(below, 0.0, 0.9)

    def __call__(self, pose: Pose, now_ns: int, face: Array | None = None) -> Keypoints:
        """The face in ``pose``; ``face`` [478, 3] is the one at rest with another expression, that of speech, say."""
        points = (self._rest if face is None else face).copy()
        if pose.brows:
            points -= (pose.brows * _RAISE * self._apart * self._brows)[:, None] * self._down
        self._move_mouth(points, pose)
        for eye in self._eyes:
            look = Gaze(eye.rest_gaze.right + pose.look_right, eye.rest_gaze.down + pose.look_down)
            eye.move(points, 1 - pose.blink, look)
        turn = rotation(pose.yaw, pose.pitch, pose.roll)
        scale = float(np.exp(pose.growth))
        shift = self._middle - scale * turn @ self._middle + np.array([pose.right, pose.down, 0])
        return mesh_keypoints(HeadMotion(scale, turn, shift.astype(np.float32)).apply(points), 1.0, now_ns)

    def _move_mouth(self, points: Array, pose: Pose) -> None:
        if pose.smile:
            out, up = (pose.smile * self._width * share for share in _SMILE)
            corners = np.stack([-out * self._across - up * self._down, out * self._across - up * self._down])
            points[:468] += self._corner_carry @ corners.astype(np.float32)
        if pose.jaw:
            points += (pose.jaw * _JAW_DROP * self._width * self._jaw)[:, None] * self._down
            arch = 1 - np.linspace(-0.9, 0.9, len(self._gaps), dtype=np.float32) ** 2
            self._lips.part(
                points, self._gaps + np.float32(pose.jaw * _WIDE_OPEN * self._width) * arch, lower_share=0.9
            )

    def _frame(self) -> tuple[Array, Array]:
        """Unit vectors across the mouth and down the face, in the picture's plane."""
        first, last = self._rest[self._corners]
        across = np.array([last[0] - first[0], last[1] - first[1], 0], np.float32)
        across /= max(float(np.linalg.norm(across)), 1e-9)
        return across, np.array([-across[1], across[0], 0], np.float32)


class Performance:
    """Poses along a time line, eased between; two at the same time make a sudden change."""

    def __init__(self, keys: Sequence[tuple[float, Pose]]) -> None:
        """``keys``: seconds (never falling) and poses; before the first and after the last nothing moves."""
        self._seconds = [seconds for seconds, _ in keys]
        self._poses = [pose for _, pose in keys]
        if not keys or self._seconds != sorted(self._seconds):
            raise ValueError("a performance needs keys in the order of time")

    @property
    def duration_s(self) -> float:
        """Seconds up to the last key."""
        return self._seconds[-1]

    def at(self, seconds: float) -> Pose:
        """The pose at a time; exactly at a sudden change it is the later one."""
        after = bisect_right(self._seconds, seconds)
        if after == 0:
            return self._poses[0]
        if after == len(self._poses):
            return self._poses[-1]
        start, end = self._seconds[after - 1], self._seconds[after]
        return self._poses[after - 1].towards(self._poses[after], smoothstep((seconds - start) / (end - start)))


def sample_performance() -> Performance:
    """Twelve seconds that show what an avatar can do: turns, nods, blinks, speech, a smile. Ends as it begins."""
    rest = Pose()
    keys = [(0.0, rest), (0.8, rest)]
    keys += [(1.6, Pose(yaw=18, look_right=0.05)), (2.0, Pose(yaw=18)), (3.2, Pose(yaw=-18, roll=-3)), (4.0, rest)]
    keys += [(4.5, Pose(pitch=8)), (5.0, Pose(pitch=-7, brows=0.6)), (5.5, rest)]
    keys += _blink(5.7)
    for syllable, jaw in enumerate((0.5, 0.15, 0.7, 0.3, 0.9, 0.1, 0.6, 0.0, 0.45, 0.8, 0.2, 0.65)):
        keys.append((6.1 + 0.16 * syllable, Pose(jaw=jaw, yaw=3 * np.sin(syllable), brows=0.3 * jaw)))
    keys += [(8.2, rest), (8.8, Pose(smile=0.9, roll=4)), (9.6, Pose(smile=0.9, roll=4)), (10.2, rest)]
    keys += _blink(10.3)
    keys += [(10.9, Pose(look_right=0.12)), (11.3, Pose(look_right=-0.12, roll=-5)), (12.0, rest)]
    return Performance(keys)


def _blink(start: float) -> list[tuple[float, Pose]]:
    return [(start, Pose()), (start + 0.08, Pose(blink=1)), (start + 0.12, Pose(blink=1)), (start + 0.28, Pose())]
