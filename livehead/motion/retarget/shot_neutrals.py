"""The neutral faces of a recording: one for each person and shot, found a little ahead of where it is drawn."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import takewhile

from livehead.motion.keypoints import Keypoints
from livehead.motion.retarget.calibration import NeutralCalibration, find_best_neutral

NeutralChoice = Callable[[list[Keypoints]], Keypoints | None]
"""Chooses the neutral among the motions of one shot; None where none will do."""


def add_shot_neutrals(
    motions: Iterable[Keypoints],
    calibration: NeutralCalibration,
    look_ahead: int,
    choose: NeutralChoice = find_best_neutral,
) -> Iterator[Keypoints]:
    """Iterate over ``motions``, having told ``calibration`` the neutral of each shot before its first motion.

    A shot is a run of motions whose ``sighting`` has one number. Its neutral is chosen among those of its motions that
    lie within the next ``look_ahead``, which is all that is held in memory. Motions without a sighting are of one shot.
    """
    waiting: deque[Keypoints] = deque()
    known: set[int] = set()
    coming = iter(motions)
    while True:
        while len(waiting) < look_ahead and (motion := next(coming, None)) is not None:
            waiting.append(motion)
        if not waiting:
            return
        number = waiting[0].performer
        if waiting[0].seen and number not in known:
            shot = takewhile(lambda each: not each.seen or each.performer == number, waiting)  # noqa: B023
            neutral = choose([each for each in shot if each.seen])
            if neutral is not None:
                calibration.add_neutral(number, neutral)
            known.add(number)
        yield waiting.popleft()
