"""Motion-to-photon latency: how long after a person moves does the picture that leaves livehead show it?

The performer before the synthetic camera jumps between two poses at moments that have nothing to do with the frame
clock. What reaches the far end of the virtual camera is judged by its pixels alone: each picture is projected on the
difference of the two poses' mean pictures, and the motion counts as seen with the first picture on the new side of the
middle. So waiting for the next camera frame, smoothing, drawing and pixel conversion are all inside the figure, and no
time stamp that travels with a frame is.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from livehead.clock import NS
from livehead.errors import DeviceError

Thumbnails = npt.NDArray[np.uint8]
"""The luma of small copies of pictures: uint8 [N, h, w]."""

_MIN_REST_NS = 150_000_000  # the pose before a jump is at rest at least this long
_MIN_SEPARATION = 3.0  # the two poses lie at least this many standard deviations of a resting picture from the middle


@dataclass(frozen=True, slots=True)
class JumpSchedule:
    """When the performer jumps to the other pose: at each of ``jump_times_ns`` after the camera's start.

    Between two jumps the shots of the present pose are played over and over: the first ``shots_per_pose`` of all shots
    belong to the first pose, the next ones to the second.
    """

    jump_times_ns: tuple[int, ...]
    end_ns: int
    shots_per_pose: int
    fps: float

    def __call__(self, since_start_ns: int) -> int | None:
        """The number of the shot that the camera sees at that moment, None when the performance is over.

        So a schedule is what ``SyntheticCapture`` takes.
        """
        if since_start_ns >= self.end_ns:
            return None
        pose = self.pose_at(since_start_ns)
        return pose * self.shots_per_pose + int(since_start_ns * self.fps / NS) % self.shots_per_pose

    def pose_at(self, since_start_ns: int) -> int:
        """The performer's pose at that moment: 0 or 1."""
        return int(np.searchsorted(self.jump_times_ns, since_start_ns, side="right")) % 2


def plan_jumps(count: int, fps: float, shots: int, seed: int = 0) -> JumpSchedule:
    """Plan ``count`` jumps, 0.6 to 0.9 s apart, after two seconds of rest; each at a random phase of the frame clock.

    The phases are spread evenly over the frame period (stratified, then shuffled), so that few jumps already give a
    true picture of the wait for the next frame.
    """
    rng = random.Random(seed)
    phases = [(i + rng.random()) / count for i in range(count)]
    rng.shuffle(phases)
    period_ns = NS / fps
    frame = round(2 * fps)
    at_ns = []
    for phase in phases:
        at_ns.append(round((frame + phase) * period_ns))
        frame += round(rng.uniform(0.6, 0.9) * fps)
    return JumpSchedule(tuple(at_ns), at_ns[-1] + round(0.8 * NS), shots, fps)


@dataclass(frozen=True, slots=True, eq=False)
class ReceivedFrames:
    """The pictures that came out at the far end: ``received_ns`` [N] on the monotonic clock, and their thumbnails."""

    received_ns: npt.NDArray[np.int64]
    thumbnails: Thumbnails


@dataclass(frozen=True, slots=True, eq=False)
class DetectedJumps:
    """The latency of each jump that was seen, the index of the first picture that shows it, and the number missed."""

    latency_ms: list[float]
    frame_indices: list[int]
    missed: int


def detect_jumps(received: ReceivedFrames, jumps: JumpSchedule, start_ns: int) -> DetectedJumps:
    """Find each jump in the pictures; ``start_ns`` is the camera's moment 0 on the monotonic clock.

    Raises: DeviceError when the pictures of the two poses cannot be told apart.
    """
    side = project_on_poses(received, jumps, start_ns)
    latency_ms, pictures, missed = [], [], 0
    edges = [*jumps.jump_times_ns, jumps.end_ns]
    for number, (event, following) in enumerate(zip(edges, edges[1:], strict=False)):
        first, last = np.searchsorted(received.received_ns, (start_ns + event, start_ns + following))
        new = 1.0 if number % 2 == 0 else -1.0
        on_new_side = np.flatnonzero(side[first:last] * new > 0)
        if first == 0 or side[first - 1] * new > 0 or not len(on_new_side):
            missed += 1  # nothing to tell: the pose before was not at rest, or the new one never came
            continue
        picture = int(first + on_new_side[0])
        pictures.append(picture)
        latency_ms.append((int(received.received_ns[picture]) - start_ns - event) / 1e6)
    return DetectedJumps(latency_ms, pictures, missed)


def project_on_poses(received: ReceivedFrames, jumps: JumpSchedule, start_ns: int) -> npt.NDArray[np.float64]:
    """Return where each picture [N] lies between the poses: -1 is the first pose at rest, 1 the second, 0 the middle.

    The plan is used only to learn what the two poses at rest look like, from pictures shortly before a jump.
    """
    since = received.received_ns - start_ns
    following = np.searchsorted(jumps.jump_times_ns, since)
    to_next = np.append(jumps.jump_times_ns, jumps.end_ns)[np.minimum(following, len(jumps.jump_times_ns))] - since
    at_rest = (to_next > 0) & (to_next < _MIN_REST_NS) & (since > 0)
    learned = at_rest & (following % 4 < 2)  # two rests of four teach what the poses look like, the others test it
    tested = at_rest & ~learned
    second = following % 2 == 1
    if not all((part & pose).any() for part in (learned, tested) for pose in (second, ~second)):
        raise DeviceError("too few pictures arrived to measure the latency", "is the machine overloaded?")
    pictures = received.thumbnails.reshape(len(received.thumbnails), -1).astype(np.float64)
    mean_first, mean_second = (pictures[learned & pose].mean(axis=0) for pose in (~second, second))
    difference = mean_second - mean_first
    length = max(float(difference @ difference), 1e-12)
    side = np.asarray((pictures - (mean_first + mean_second) / 2) @ difference * (2 / length), np.float64)
    for pose, sign in ((~second, -1), (second, 1)):
        rest = side[tested & pose] * sign
        if rest.mean() - _MIN_SEPARATION * rest.std() < 0:
            raise DeviceError("the pictures do not show the performer's jumps clearly", "is the face found at all?")
    return side


def exposure_waits_ms(jumps: JumpSchedule) -> list[float]:
    """How long each jump waits for the next exposure of a camera whose first one is at moment 0."""
    period_ns = NS / jumps.fps
    return [(-event % period_ns) / 1e6 for event in jumps.jump_times_ns]


def latency_shares(
    motion_to_photon_ms: float, exposure_ms: float, capture_to_sink_ms: float, stages_ms: Mapping[str, float]
) -> dict[str, float]:
    """The part of the whole latency that each step takes, from medians.

    ``exposure_ms`` is the wait for the camera's next exposure, ``capture_to_sink_ms`` one frame's time from exposure to
    sink, of which ``stages_ms`` are the parts; what lies between these is ``handover`` in the result. ``later_frames``
    is the rest: waiting for a later frame, as the first ones do not show the motion yet (smoothing) or were dropped.
    """
    parts = {"wait_exposure": exposure_ms, **stages_ms}
    parts["handover"] = capture_to_sink_ms - sum(stages_ms.values())
    parts["later_frames"] = motion_to_photon_ms - exposure_ms - capture_to_sink_ms
    return {name: part / motion_to_photon_ms for name, part in parts.items()}
