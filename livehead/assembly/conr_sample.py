"""A character of our own for CoNR: what its ranges for int8 are measured on, and what it is timed with."""

from __future__ import annotations

from collections.abc import Sequence

from livehead.figure.mannequin import RELAXED_POSE, MannequinPose, draw_mannequin
from livehead.motion.dense_pose import DensePose
from livehead.perception.character_sheet import CharacterSheet, build_character_sheet
from livehead.perception.dense_pose import frame_dense_pose, quantize_pose
from livehead.perception.figure_framing import CONR_SIDE, find_visible_box, square_window

_POSE_COUNT = 6


def sample_sheet(turns: Sequence[float] = (0.0,)) -> CharacterSheet:
    """A sheet of the mannequin at ease, seen once from each of ``turns`` (radians about the vertical)."""
    stances = [
        MannequinPose(turn, RELAXED_POSE.left_arm, RELAXED_POSE.right_arm, RELAXED_POSE.elbows, RELAXED_POSE.legs)
        for turn in turns
    ]
    return build_character_sheet(
        "doll", {f"{i}": draw_mannequin(stance, CONR_SIDE).image for i, stance in enumerate(stances)}
    )


def sample_poses() -> list[DensePose]:
    """Poses of the mannequin raising its arms."""
    stances = [MannequinPose(0.1 * i, -1.1 + 0.3 * i, -1.1 + 0.2 * i, 0.1 * i, 0.05) for i in range(_POSE_COUNT)]
    poses = []
    for stance in stances:
        drawn = draw_mannequin(stance, CONR_SIDE).pose
        box = find_visible_box(quantize_pose(drawn)[..., 3])
        poses.append(frame_dense_pose(drawn, square_window(box or (0, 0, CONR_SIDE, CONR_SIDE)), 0))
    return poses
