"""A character of our own for CoNR: what its ranges for int8 are measured on, and what it is timed with."""

from __future__ import annotations

from collections.abc import Sequence

from livehead.figure.mannequin import AT_EASE, Stance, draw_mannequin
from livehead.motion.dense_pose import UltraDensePose
from livehead.perception.cutout import SIDE, visible_box, window_about
from livehead.perception.dense_pose import framed_pose, preview
from livehead.perception.sheet import CharacterSheet, make_sheet

_POSE_COUNT = 6


def sample_sheet(turns: Sequence[float] = (0.0,)) -> CharacterSheet:
    """The doll at ease, seen once from each of ``turns`` (radians about the vertical)."""
    stances = [Stance(turn, AT_EASE.left, AT_EASE.right, AT_EASE.elbows, AT_EASE.legs) for turn in turns]
    return make_sheet("doll", {f"{i}": draw_mannequin(stance, SIDE).picture for i, stance in enumerate(stances)})


def sample_poses() -> list[UltraDensePose]:
    """The doll raising its arms."""
    stances = [Stance(0.1 * i, -1.1 + 0.3 * i, -1.1 + 0.2 * i, 0.1 * i, 0.05) for i in range(_POSE_COUNT)]
    poses = []
    for stance in stances:
        drawn = draw_mannequin(stance, SIDE).pose
        box = visible_box(preview(drawn)[..., 3])
        poses.append(framed_pose(drawn, window_about(box or (0, 0, SIDE, SIDE)), 0))
    return poses
