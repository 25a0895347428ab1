"""The times of decoded frames, also where a file's own ones are wrong.

AVI keeps no times for pictures that its encoder reordered, so that those which FFmpeg makes up go forth and back.
"""

from __future__ import annotations

from typing import Any


class FrameTimeReader:
    """Reads the time of one frame after the other, and takes that of decoding where presentation times go back more.

    This is what FFmpeg's own programs do (``guess_correct_pts`` in ``libavcodec/decode.c``).
    """

    def __init__(self) -> None:
        self._faults = {"pts": 0, "dts": 0}
        self._last: dict[str, int] = {}

    def read_seconds(self, frame: Any) -> float | None:
        """Return the time of ``frame`` (PyAV's) in seconds; None where it has none."""
        times = {"pts": frame.pts, "dts": frame.dts}
        for kind, time in times.items():
            if time is not None:
                self._faults[kind] += time <= self._last.get(kind, time - 1)
                self._last[kind] = time
        trusts_pts = self._faults["pts"] <= self._faults["dts"] or times["dts"] is None
        time = times["pts"] if trusts_pts and times["pts"] is not None else times["dts"]
        return None if time is None else float(time * frame.time_base)
