"""A face that is posed by a few controls instead of a performer, and a time line of them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from livehead.motion.easing import smoothstep
from livehead.motion.face.eyes import EyeDeformer, GazeOffset
from livehead.motion.face.face_weights import brow_weights, head_pivot, propagation_weights
from livehead.motion.face.head import HeadMotion, rotation_matrix
from livehead.motion.face.lips import LipDeformer, lip_gaps, mouth_width
from livehead.motion.face.mesh import FACE_MESH
from livehead.motion.keypoints import Array, Keypoints, mesh_keypoints

_JAW_DROP = 0.28  # of the mouth's width, for a jaw that is open
_MAX_LIP_GAP = 0.5  # gap of the lips at the middle of an open mouth, over its width
_SMILE_SHIFT = (0.10, 0.09)  # how far the corners of the mouth go outwards and up in a smile, over its width
_BROW_RAISE = 0.09  # how far raised brows go up, over the distance of the eyes


@dataclass(frozen=True, slots=True)
class FaceControls:
    """The controls that pose a face; all 0 is the photo as it is.

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

    def lerp(self, other: FaceControls, share: float) -> FaceControls:
        """The controls ``share`` (0 to 1) of the way to ``other``."""
        return FaceControls(
            **{
                f.name: (1 - share) * getattr(self, f.name) + share * getattr(other, f.name)
                for f in fields(FaceControls)
            }
        )


class FaceRig:
    """A face mesh that is moved by ``FaceControls``."""

    def __init__(self, source: Keypoints) -> None:
        """Take the face as it is on its photo: ``source`` is ``mesh478`` with depth, B = 1."""
        self._rest = source.points3d()[0]
        self._eyes = (EyeDeformer(self._rest, FACE_MESH.right_eye), EyeDeformer(self._rest, FACE_MESH.left_eye))
        self._lips = LipDeformer(self._rest)
        self._brow_weights = brow_weights(self._rest)
        self._head_pivot = head_pivot(self._rest)
        self._rest_lip_gaps = lip_gaps(self._rest)
        self._mouth_width = mouth_width(self._rest)
        self._eye_distance = float(
            np.linalg.norm(self._rest[FACE_MESH.right_eye.iris[0]] - self._rest[FACE_MESH.left_eye.iris[0]])
        )
        self._corners = np.stack([FACE_MESH.mouth.upper[0], FACE_MESH.mouth.upper[-1]])
        skin = np.arange(468)
        self._corner_weights = propagation_weights(self._rest, self._corners, skin, 0.45 * self._mouth_width)
        self._across, self._down = self._mouth_axes()
        below = (self._rest - self._rest[self._corners].mean(axis=0)) @ self._down / self._mouth_width
        self._jaw_weights = smoothstep(below, 0.0, 0.9)

    def pose_face(self, controls: FaceControls, now_ns: int, face: Array | None = None) -> Keypoints:
        """Return the face as ``controls`` set it; ``face`` [478, 3] takes the place of the one at rest (of speech)."""
        points = (self._rest if face is None else face).copy()
        if controls.brows:
            points -= (controls.brows * _BROW_RAISE * self._eye_distance * self._brow_weights)[:, None] * self._down
        self._move_mouth(points, controls)
        for eye in self._eyes:
            look = GazeOffset(eye.rest_gaze.right + controls.look_right, eye.rest_gaze.down + controls.look_down)
            eye.set_lids_and_gaze(points, 1 - controls.blink, look)
        turn = rotation_matrix(controls.yaw, controls.pitch, controls.roll)
        scale = float(np.exp(controls.growth))
        shift = self._head_pivot - scale * turn @ self._head_pivot + np.array([controls.right, controls.down, 0])
        return mesh_keypoints(HeadMotion(scale, turn, shift.astype(np.float32)).apply(points), 1.0, now_ns)

    def _move_mouth(self, points: Array, controls: FaceControls) -> None:
        if controls.smile:
            out, up = (controls.smile * self._mouth_width * share for share in _SMILE_SHIFT)
            corners = np.stack([-out * self._across - up * self._down, out * self._across - up * self._down])
            points[:468] += self._corner_weights @ corners.astype(np.float32)
        if controls.jaw:
            points += (controls.jaw * _JAW_DROP * self._mouth_width * self._jaw_weights)[:, None] * self._down
            arch = 1 - np.linspace(-0.9, 0.9, len(self._rest_lip_gaps), dtype=np.float32) ** 2
            self._lips.open_lips(
                points,
                self._rest_lip_gaps + np.float32(controls.jaw * _MAX_LIP_GAP * self._mouth_width) * arch,
                lower_share=0.9,
            )

    def _mouth_axes(self) -> tuple[Array, Array]:
        """Unit vectors across the mouth and down the face, in the picture's plane."""
        first, last = self._rest[self._corners]
        across = np.array([last[0] - first[0], last[1] - first[1], 0], np.float32)
        across /= max(float(np.linalg.norm(across)), 1e-9)
        return across, np.array([-across[1], across[0], 0], np.float32)


class ControlTimeline:
    """Controls along a time line, eased between key frames; two key frames at one time make a sudden change."""

    def __init__(self, keyframes: Sequence[tuple[float, FaceControls]]) -> None:
        """Take ``keyframes``: seconds (never falling) and controls; nothing moves before the first and after the last.

        Raises: ValueError without any, or when they are out of order.
        """
        self._seconds = [seconds for seconds, _ in keyframes]
        self._controls = [controls for _, controls in keyframes]
        if not keyframes or self._seconds != sorted(self._seconds):
            raise ValueError("a time line needs key frames in the order of time")

    @property
    def duration_s(self) -> float:
        """The time of the last key frame, in seconds."""
        return self._seconds[-1]

    def controls_at(self, seconds: float) -> FaceControls:
        """The controls at a time; exactly at a sudden change they are the later ones."""
        after = bisect_right(self._seconds, seconds)
        if after == 0:
            return self._controls[0]
        if after == len(self._controls):
            return self._controls[-1]
        start, end = self._seconds[after - 1], self._seconds[after]
        return self._controls[after - 1].lerp(self._controls[after], smoothstep((seconds - start) / (end - start)))


def build_demo_timeline() -> ControlTimeline:
    """Build twelve seconds of what an avatar can do: turns, nods, blinks, speech, a smile. They end as they begin."""
    rest = FaceControls()
    keyframes = [(0.0, rest), (0.8, rest)]
    keyframes += [
        (1.6, FaceControls(yaw=18, look_right=0.05)),
        (2.0, FaceControls(yaw=18)),
        (3.2, FaceControls(yaw=-18, roll=-3)),
        (4.0, rest),
    ]
    keyframes += [(4.5, FaceControls(pitch=8)), (5.0, FaceControls(pitch=-7, brows=0.6)), (5.5, rest)]
    keyframes += _blink_keyframes(5.7)
    for syllable, jaw in enumerate((0.5, 0.15, 0.7, 0.3, 0.9, 0.1, 0.6, 0.0, 0.45, 0.8, 0.2, 0.65)):
        keyframes.append((6.1 + 0.16 * syllable, FaceControls(jaw=jaw, yaw=3 * np.sin(syllable), brows=0.3 * jaw)))
    keyframes += [
        (8.2, rest),
        (8.8, FaceControls(smile=0.9, roll=4)),
        (9.6, FaceControls(smile=0.9, roll=4)),
        (10.2, rest),
    ]
    keyframes += _blink_keyframes(10.3)
    keyframes += [(10.9, FaceControls(look_right=0.12)), (11.3, FaceControls(look_right=-0.12, roll=-5)), (12.0, rest)]
    return ControlTimeline(keyframes)


def _blink_keyframes(start: float) -> list[tuple[float, FaceControls]]:
    return [
        (start, FaceControls()),
        (start + 0.08, FaceControls(blink=1)),
        (start + 0.12, FaceControls(blink=1)),
        (start + 0.28, FaceControls()),
    ]
