"""Recorded motion in a file.

The file is a zip of npy arrays (``numpy.load`` opens it). ``about`` is JSON text: ``{"format": 1, "set": NAME}``. Each
part ``n`` of a second (up to ten in older files) holds ``times.n`` int64 [T] (nanoseconds since the first),
``confidence.n`` float32 [T], ``value.n`` [T, K, 2] and, if the set has them, ``depth.n`` [T, K], both as int16 in steps
of 1/8192 (0.03 pixels at 512), and ``jacobian.n`` float32 [T, K, 2, 2]; where a torso was seen at all, ``torso.n``
float32 [T, 3, 2], NaN where it was not. With several persons or hidden lips or eyes, ``sighting.n`` float32 [T, 3] has
the person's number and how much of lips and eyes is hidden. Batch size is 1.

``about`` comes first and ``times.n`` last in its part, so that a recording whose program was killed can be read up to
its last whole part, without the zip's directory.
"""

from __future__ import annotations

import io
import json
import logging
import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from livehead.clock import NS
from livehead.errors import CaptureError, LostRecordingError, SinkError
from livehead.motion.keypoints import Array, FaceSighting, Keypoints
from livehead.protocol.zip_recovery import read_whole_members
from livehead.unfinished_files import UnfinishedFile
from livehead.untrusted_files import DamagedFileError, check_unpacked_size, guard_parser

log = logging.getLogger(__name__)

_QUANTIZATION_STEP = 1 / 8192
_PART_NS = NS  # at most so much is lost when the program is killed
_MAX_PART_LENGTH = 300  # key points a part, whatever their times: about 1 MB of memory
_FORMAT = 1
_MAX_UNPACKED_BYTES = 8 << 30  # some ten hours


class MotionRecorder:
    """Writes key points as they come; memory does not grow. Each second is on the disk once it is over.

    An earlier file stays until the new one is complete (see ``unfinished_files``); ``overwrite`` False refuses to
    replace it.
    """

    def __init__(self, path: str | os.PathLike[str], *, overwrite: bool = True) -> None:
        """Begin a recording in ``path``. Raises: SinkError when the file cannot be written."""
        self._path = Path(path)
        self._place = UnfinishedFile(self._path, overwrite=overwrite)
        try:
            self._file = self._place.create().open("w+b")
        except FileExistsError as error:
            raise SinkError(
                f"{self._path} exists already", "give --overwrite to replace it, or another name"
            ) from error
        except OSError as error:
            raise SinkError(f"cannot write {self._path}", "choose a folder that exists and has room") from error
        self._zip = zipfile.ZipFile(self._file, "w", zipfile.ZIP_DEFLATED, compresslevel=3)
        self._pending: list[Keypoints] = []
        self._part_count = 0
        self._set: str | None = None
        self._start_ns = 0
        self.failure: LostRecordingError | None = None
        """The error that ended the recording, if one did."""

    def __enter__(self) -> MotionRecorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add(self, keypoints: Keypoints) -> None:
        """Record the next moment. Raises: SinkError when the set changes in the middle or the disk is full."""
        if self.failure is not None:
            raise self.failure
        if self._set is None:
            self._set, self._start_ns = keypoints.set, keypoints.captured_ns
        elif self._set != keypoints.set:
            raise SinkError(f"{self._path} holds {self._set} points and cannot take {keypoints.set}", "record anew")
        self._pending.append(keypoints)
        length_ns = keypoints.captured_ns - self._pending[0].captured_ns
        if length_ns >= _PART_NS or len(self._pending) == _MAX_PART_LENGTH:
            self._write_part()

    def add_while_possible(self, keypoints: Keypoints) -> None:
        """Do as ``add`` until the disk is full, which ``failure`` then tells: what is live goes on without the file."""
        if self.failure is None:
            try:
                self.add(keypoints)
            except LostRecordingError as error:
                log.error("the motion is recorded no more: %s", error)

    def close(self) -> None:
        """Write what waits and finish the file. Raises: LostRecordingError, unless ``add`` has raised it."""
        if self._file.closed:
            return
        try:
            if self.failure is None:
                self._finish_zip()
        finally:
            self._zip.fp = None  # after a failure, the directory of what is readable cannot be written either
            with suppress(OSError):
                self._file.close()

    def _finish_zip(self) -> None:
        if self._pending:
            self._write_part()
        elif not self._part_count:
            self._write_about()
        try:
            self._zip.close()
            self._file.close()
            self._place.finish()
        except OSError as error:
            raise self._fail(error) from error

    def _fail(self, error: OSError) -> LostRecordingError:
        """Remember that nothing more can be written, and return the error that says so."""
        seconds = f"{self._part_count} s" if self._part_count else "nothing"
        remedy = f"make room on the disk; {seconds} of it can be read in {self._place.path}"
        self.failure = LostRecordingError(f"cannot write {self._path} ({error.strerror})", remedy)
        return self.failure

    def _write_about(self) -> None:
        about = json.dumps({"format": _FORMAT, "set": self._set})
        self._zip.writestr("about.npy", _to_npy_bytes(np.array(about)))

    def _write_part(self) -> None:
        part, self._pending = self._pending, []
        times = np.array([each.captured_ns - self._start_ns for each in part], np.int64)
        arrays: dict[str, npt.NDArray[np.generic]] = {
            "confidence": np.array([each.confidence[0] for each in part], np.float32),
            "value": _quantize(np.stack([each.value[0] for each in part])),
        }
        depths = [each.depth[0] for each in part if each.depth is not None]
        if len(depths) == len(part):
            arrays["depth"] = _quantize(np.stack(depths))
        jacobians = [each.jacobian[0] for each in part if each.jacobian is not None]
        if len(jacobians) == len(part):
            arrays["jacobian"] = np.stack(jacobians)
        if any(each.torso is not None for each in part):
            unknown = np.full((1, 3, 2), np.nan, np.float32)
            arrays["torso"] = np.concatenate([unknown if each.torso is None else each.torso for each in part])
        sightings = [each.sighting or FaceSighting() for each in part]
        if any(replace(each, face_count=1) != FaceSighting() for each in sightings):
            numbers = [(each.performer, each.lips_hidden, each.eyes_hidden) for each in sightings]
            arrays["sighting"] = np.array(numbers, np.float32)
        try:
            if not self._part_count:
                self._write_about()
            for name, array in (*arrays.items(), ("times", times)):
                self._zip.writestr(f"{name}.{self._part_count}.npy", _to_npy_bytes(array))
            self._file.flush()
        except OSError as error:
            raise self._fail(error) from error
        self._part_count += 1


def load_motion(path: str | os.PathLike[str]) -> list[Keypoints]:
    """All key points of a recording, ``captured_ns`` counted from its first.

    Of one that was cut off, as its program was killed, all but the last second. Raises: CaptureError on anything else.
    """
    try:
        with guard_parser(), _open_arrays(Path(path)) as file:
            about = json.loads(str(file["about"]))
            if about["format"] != _FORMAT:
                raise CaptureError(f"{path} is of a later format", "update livehead")
            parts = sum(name.startswith("times.") for name in file)
            motion = [each for part in range(parts) for each in _read_part(file, part, about["set"])]
            _check_times(motion)
    except DamagedFileError as error:
        problem = f"{path} holds no recorded motion ({error})"
        if isinstance(error.__cause__, FileNotFoundError):
            problem = f"there is no recorded motion {path}"
        raise CaptureError(problem, "record one with --record-motion FILE") from error
    if not motion:
        raise CaptureError(f"the recorded motion {path} is empty", "record it again")
    return motion


@contextmanager
def _open_arrays(path: Path) -> Iterator[Mapping[str, npt.NDArray[np.generic]]]:
    """Open a recording's arrays by name; those of one without an end as far as they are whole."""
    try:
        opened = np.load(path, allow_pickle=False)
    except zipfile.BadZipFile:
        members = read_whole_members(path.read_bytes(), max_bytes=_MAX_UNPACKED_BYTES)
        arrays = {
            name.removesuffix(".npy"): np.load(io.BytesIO(content), allow_pickle=False) for name, content in members
        }
        if "about" not in arrays:
            raise
        log.warning("%s has no end, as its recording was cut off; what came before is used", path)
        yield arrays
        return
    with opened as file:
        check_unpacked_size(file.zip, _MAX_UNPACKED_BYTES)
        yield file


def _check_times(motion: list[Keypoints]) -> None:
    """Check that no moment is before the one that precedes it. Raises: ValueError."""
    if any(later.captured_ns < earlier.captured_ns for earlier, later in pairwise(motion)):
        raise ValueError("its times are not in order")


def _read_part(file: Mapping[str, Any], part: int, set_name: str) -> list[Keypoints]:
    value = _dequantize(file[f"value.{part}"])
    depth = _dequantize(file[f"depth.{part}"]) if f"depth.{part}" in file else None
    jacobian, torso = file.get(f"jacobian.{part}"), file.get(f"torso.{part}")
    times, confidence = file[f"times.{part}"], file[f"confidence.{part}"]
    if jacobian is not None and not np.isfinite(jacobian).all():
        raise ValueError("its jacobians are not finite")
    sighting = file.get(f"sighting.{part}")
    if sighting is not None and (sighting.shape != (len(times), 3) or not np.isfinite(sighting).all()):
        raise ValueError("its sightings are broken")
    return [
        Keypoints(
            set=set_name,
            value=value[i : i + 1],
            depth=None if depth is None else depth[i : i + 1],
            jacobian=None if jacobian is None else jacobian[i : i + 1],
            confidence=confidence[i : i + 1],
            captured_ns=int(times[i]),
            torso=None if torso is None or np.isnan(torso[i]).any() else torso[i : i + 1],
            sighting=None if sighting is None else _to_sighting(sighting[i]),
        )
        for i in range(len(times))
    ]


def _to_sighting(numbers: npt.NDArray[np.generic]) -> FaceSighting:
    performer, lips, eyes = (float(number) for number in np.clip(np.asarray(numbers, np.float32), 0, 2**24))
    return FaceSighting(int(performer), lips_hidden=min(lips, 1.0), eyes_hidden=min(eyes, 1.0))


def _quantize(values: Array) -> npt.NDArray[np.int16]:
    return np.asarray(np.rint(values / _QUANTIZATION_STEP).clip(-32768, 32767), np.int16)


def _dequantize(values: npt.NDArray[np.int16]) -> Array:
    if values.dtype != np.int16:
        raise ValueError(f"its points are {values.dtype}, not int16")
    return values.astype(np.float32) * np.float32(_QUANTIZATION_STEP)


def _to_npy_bytes(array: npt.NDArray[np.generic]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()
