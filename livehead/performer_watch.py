"""What a live run tells of its performer: how many faces there are, and what to do while nobody is seen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from livehead.clock import NS, now_ns
from livehead.frames import VideoFrame
from livehead.interfaces import Motion
from livehead.stats import StatsCollector

NO_FACE_COUNTER = "estimate.no_face"
"""The counter of camera frames in which the performer was not seen."""

_UNSEEN_NS = 3 * NS  # for so long nobody has to be seen before something is said
_STALE_NS = NS  # a camera that has given nothing for longer is another matter
_BLACK, _DIM = 14.0, 55.0  # mean brightness, of 255
_SAMPLE_STEP = 16  # pixels from one sample of brightness to the next


class PerformerWatch:
    """Watches who is seen. ``observe`` and the texts may be called from different threads."""

    def __init__(self, stats: StatsCollector) -> None:
        self._stats = stats
        self._last_seen_ns: int | None = None
        self._observed_ns = 0
        self._brightness = 255.0
        self.face_count = 0
        """How many faces the newest frame has, the performer's included; others are ignored."""

    def observe(self, frame: VideoFrame, motion: Motion) -> None:
        """Take in what the driver made of ``frame``."""
        now = self._observed_ns = now_ns()
        if self._last_seen_ns is None:
            self._last_seen_ns = now
        # Motions of all drivers tell whether anybody was seen, and those of faces how many there were.
        sighting = getattr(motion, "sighting", None)
        seen = bool(getattr(motion, "seen", True))
        self.face_count = int(sighting.face_count) if sighting is not None else int(seen)
        if seen:
            self._last_seen_ns = now
        else:
            self._stats.count(NO_FACE_COUNTER)
            self._brightness = float(frame.image[::_SAMPLE_STEP, ::_SAMPLE_STEP, :3].mean())

    def advice(self) -> str:
        """What to do, in a sentence, when nobody has been seen for 3 s; empty otherwise."""
        now = now_ns()
        if self._last_seen_ns is None or now - self._last_seen_ns < _UNSEEN_NS or now - self._observed_ns > _STALE_NS:
            return ""
        if self._brightness < _BLACK:
            return "nobody is seen, and the picture is black: uncover the camera's lens, or turn on a light"
        if self._brightness < _DIM:
            return "nobody is seen, and the picture is dark: turn on more light, and come nearer to the camera"
        return "nobody is seen: come nearer to the camera, face it, turn on more light, and see that its lens is clean"

    def describe_others(self) -> str:
        """Who is followed where there are several faces; empty otherwise."""
        if self.face_count < 2:
            return ""
        return f"{self.face_count} faces: following the one seen first; recalibrating takes the largest"


async def report_performer(watch: PerformerWatch, notify: Callable[[str], None], interval_s: float = 0.5) -> None:
    """Tell what to do while nobody is seen, that somebody is seen again, and who is followed among several."""
    last_advice = last_others = ""
    while True:
        await asyncio.sleep(interval_s)
        advice, others = watch.advice(), watch.describe_others()
        if advice != last_advice:
            notify(advice or "somebody is seen again")
        elif others and others != last_others:
            notify(others)
        last_advice, last_others = advice, others or last_others
