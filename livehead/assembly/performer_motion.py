"""The motion of a recorded performer, frame by frame as it is asked for: tracked in a video, or read from a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Protocol

import numpy as np

from livehead.assembly.driving_input import read_driving_motion
from livehead.assembly.live_avatar import make_driver
from livehead.assembly.time_range import TimeRange
from livehead.capture.file import read_video_frames
from livehead.clock import NS
from livehead.config import RunSettings
from livehead.errors import NoFaceError
from livehead.interfaces import Driver, DriverInputs
from livehead.motion.keypoints import MESH478, Array, Keypoints
from livehead.motion.retarget.best_frame import find_best_frame
from livehead.motion.retarget.calibration import find_best_neutral
from livehead.perception.media_length import measure_video_s, read_frame_rate
from livehead.perception.portrait import Portrait

LOOK_AHEAD_S, MAX_LOOK_AHEAD = 4.0, 100
"""How far ahead, in seconds and at most in frames, a shot is tracked before its neutral face is chosen.

A frame is tracked in 5 to 10 ms, so that the first picture waits for at most a second.
"""
_FACELESS_S = 60.0  # of a video without a face that are tracked before the first picture is drawn
_DEFAULT_STEP_NS = NS // 25  # how long the picture of a video with a single one is shown
_CREDIBLE_STEPS_NS = (NS // 240, NS)  # a film with wrong times would else be continued by thousands of pictures
_MIN_REST_NS = NS // 2  # sound that goes on for less after the last picture is cut off
_FACE_MESH_POINTS = 468  # points of the face mesh without the irises


class PerformerMotion(Protocol):
    """The source of a performer's motion. ``driver`` estimates it, None where that has been done before.

    ``frame_size`` is the width and height of the pictures in which the performer was seen, where they are known.
    ``look_ahead`` is how many frames of a shot ``choose_neutral`` needs, ``total`` how many there are in all, if known.
    """

    driver: Driver[Keypoints] | None
    motion_set: str
    frame_size: tuple[int, int] | None
    look_ahead: int
    total: int | None

    def read_motions(self) -> Iterator[Keypoints]:
        """Iterate over the motions, with times that count from the start of the part that is used."""
        ...

    def choose_neutral(self, shot: list[Keypoints]) -> Keypoints | None:
        """Choose what relative motion starts from, among the motions of one shot."""
        ...

    def close(self) -> None:
        """Free the trackers."""
        ...


class VideoPerformer:
    """The performer in a video. Pictures are dropped once they are tracked; memory does not grow with the length."""

    def __init__(self, path: Path, time_range: TimeRange, portrait: Portrait, settings: RunSettings) -> None:
        """Make the driver for ``settings.model``. Raises: CaptureError, ConfigError, WeightsError."""
        self.path = path
        self._time_range = time_range
        self._estimator = make_driver("auto", [portrait], settings.model, settings.precision)
        self.driver: Driver[Keypoints] | None = self._estimator
        self.motion_set = self._estimator.motion_set
        self._tracker = make_driver("face", [portrait]) if self.motion_set != MESH478 else None
        self._portrait_mesh: Array = portrait.motion.value[0, :_FACE_MESH_POINTS]
        self._meshes: dict[int, Array] = {}
        self.frame_size: tuple[int, int] | None = None
        fps, length_s = read_frame_rate(path), measure_video_s(path)
        self.total = None if length_s is None else max(round(time_range.clip_s(length_s) * fps), 1)
        self.look_ahead = max(min(round(LOOK_AHEAD_S * fps), MAX_LOOK_AHEAD), 1)

    def read_motions(self) -> Iterator[Keypoints]:
        """Track the pictures one after the other. Raises: CaptureError."""
        for frame in read_video_frames(self.path, self._time_range.start_s, self._time_range.end_s):
            self.frame_size = frame.size
            inputs = DriverInputs(frame, None, frame.captured_ns)
            motion = self._estimator.estimate(inputs)
            if self._tracker is not None:
                self._remember_mesh(self._tracker.estimate(inputs))
            yield motion

    def choose_neutral(self, shot: list[Keypoints]) -> Keypoints | None:
        """Choose a neutral face, or of learned points the frame whose face is most like the photo's."""
        if self._tracker is None:
            return find_best_neutral(shot)
        known = [motion for motion in shot if motion.captured_ns in self._meshes]
        if not known:
            return find_best_neutral(shot)
        return known[find_best_frame(self._portrait_mesh, [self._meshes[each.captured_ns] for each in known])]

    def _remember_mesh(self, mesh: Keypoints) -> None:
        if mesh.seen:
            self._meshes[mesh.captured_ns] = mesh.value[0, :_FACE_MESH_POINTS]
        while len(self._meshes) > self.look_ahead:
            del self._meshes[next(iter(self._meshes))]

    def close(self) -> None:
        """Free the trackers."""
        self._estimator.close()
        if self._tracker is not None:
            self._tracker.close()


class RecordedPerformer:
    """The performer of a motion file, which is small enough to be looked through as a whole."""

    driver: Driver[Keypoints] | None = None
    frame_size: tuple[int, int] | None = None
    look_ahead = 1

    def __init__(self, path: Path, time_range: TimeRange, model: str) -> None:
        """Read the file. Raises: CaptureError, ConfigError for points that ``model`` does not take."""
        self.path = path
        self._motions = read_driving_motion(path, time_range, model)
        self.motion_set = self._motions[0].set
        self.total: int | None = len(self._motions)
        self._neutral = find_best_neutral(self._motions)

    def read_motions(self) -> Iterator[Keypoints]:
        """Iterate over what was recorded."""
        return iter(self._motions)

    def choose_neutral(self, shot: list[Keypoints]) -> Keypoints | None:
        """Choose the most neutral face of the whole recording."""
        return self._neutral

    def close(self) -> None:
        """Free nothing."""


def await_first_face(motions: Iterator[Keypoints], path: Path) -> Iterator[Keypoints]:
    """The same motions, once a face was seen in them, or after a minute without one.

    Raises: NoFaceError when ``motions`` end before there was a face.
    """
    faceless: list[Keypoints] = []
    for motion in motions:
        faceless.append(motion)
        if motion.seen:
            return chain(faceless, motions)
        if motion.captured_ns * 1e-9 > _FACELESS_S:
            return chain(faceless, _require_face(motions, path))
    raise no_face_error(path)


def _require_face(motions: Iterator[Keypoints], path: Path) -> Iterator[Keypoints]:
    seen = False
    for motion in motions:
        seen = seen or motion.seen
        yield motion
    if not seen:
        raise no_face_error(path)


def no_face_error(path: Path, kind: str = "video") -> NoFaceError:
    """The error for a video, a motion file or a picture in which nobody is seen."""
    return NoFaceError(f"no face in {path}", f"give a {kind} that shows the performer's face", subject=str(path))


def continue_unseen(
    motions: Iterator[Keypoints], until_ns: int, on_continue: Callable[[float], None]
) -> Iterator[Keypoints]:
    """The same motions, and then up to ``until_ns`` some in which nobody is seen, at the pace of those before.

    ``on_continue`` gets the seconds that these last, unless they are too few to matter.
    """
    last: Keypoints | None = None
    step_ns = _DEFAULT_STEP_NS
    for motion in motions:
        between_ns = _DEFAULT_STEP_NS if last is None else motion.captured_ns - last.captured_ns
        step_ns = between_ns if _CREDIBLE_STEPS_NS[0] <= between_ns <= _CREDIBLE_STEPS_NS[1] else step_ns
        last = motion
        yield motion
    if last is None or until_ns - (last.captured_ns + step_ns) < _MIN_REST_NS:
        return
    on_continue((until_ns - last.captured_ns - step_ns) * 1e-9)
    unseen = replace(last, confidence=np.zeros(1, np.float32))
    for moment_ns in range(last.captured_ns + step_ns, until_ns, step_ns):
        yield replace(unseen, captured_ns=moment_ns)
