"""What could be better about a photo: one plain sentence each. A hint never stops anyone; errors do that elsewhere."""

from __future__ import annotations

import numpy as np

from livehead.frames import Image
from livehead.motion.keypoints import Array, Keypoints

RIGHT_EYE, LEFT_EYE = (33, 133), (362, 263)
FOREHEAD, CHIN = 10, 152


def head_angles(points: Array) -> tuple[float, float, float]:
    """Yaw, pitch and roll in degrees of a mesh [478, 3] (any unit, x right, y down, depth away from the camera).

    Read off the mesh alone. Yaw grows as the nose turns to the picture's left, pitch as it rises, roll as the head
    leans clockwise. A face that looks straight into the camera has a pitch of about -10.
    """
    across = points[LEFT_EYE[1]] - points[RIGHT_EYE[0]]
    down = points[CHIN] - points[FOREHEAD]
    normal = np.cross(across, down)
    normal = normal / max(float(np.linalg.norm(normal)), 1e-9)
    yaw = np.degrees(np.arctan2(normal[0], normal[2]))
    pitch = np.degrees(np.arcsin(np.clip(normal[1], -1, 1)))
    roll = np.degrees(np.arctan2(across[1], across[0]))
    return float(yaw), float(pitch), float(roll)


def photo_hints(image: Image, motion: Keypoints, own_side: int) -> tuple[str, ...]:
    """Hints on a crop ``image`` uint8 [S, S, 3] RGB with its mesh; ``own_side``: the crop's side in photo pixels."""
    points = motion.points3d()[0]
    yaw, _, roll = head_angles(points)
    face = float(np.linalg.norm(points[CHIN, :2] - points[FOREHEAD, :2])) / 2 * own_side
    hints = []
    if face < 128:
        hints.append(f"The face is only {face:.0f} pixels high; a larger photo gives a sharper avatar.")
    if abs(yaw) > 20:
        hints.append("The head is turned to the side; a photo that looks into the camera animates better.")
    if abs(roll) > 12:
        hints.append("The head is tilted; a photo with level eyes animates better.")
    return tuple(hints)
