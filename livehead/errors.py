"""Every error that livehead raises on purpose.

    LiveheadError
    ├── ConfigError
    ├── DeviceError
    │   ├── CaptureError
    │   └── SinkError
    │       ├── RejectedError
    │       └── LostRecordingError
    ├── WeightsError
    │   ├── WeightsMissingError
    │   ├── WeightsMismatchError
    │   └── WeightsChecksumError
    ├── SourceError
    │   └── NoFaceError
    ├── ProtocolError
    └── SessionError

Each says in one line what is wrong and what to do about it; the command line prints that line and ends with status 2
(1 for a recording that was lost).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class LiveheadError(Exception):
    """The base of all errors: ``problem`` says what is wrong, ``remedy`` what the person can do about it."""

    def __init__(self, problem: str, remedy: str = "", *, subject: str = "") -> None:
        super().__init__(problem, remedy)
        self.problem = problem
        self.remedy = remedy
        self.subject = subject  # the path, device or name that the error is about

    def __str__(self) -> str:
        text = f"{self.problem}: {self.remedy}" if self.remedy else self.problem
        return " ".join(text.split())


class ConfigError(LiveheadError):
    """A setting is unknown, of the wrong type or out of its range."""


class DeviceError(LiveheadError):
    """A camera, microphone, driver or file cannot be used."""


class CaptureError(DeviceError):
    """A capture cannot be opened, or what it reads is broken for good."""


class SinkError(DeviceError):
    """A sink cannot be opened, or it takes no more frames."""


class RejectedError(SinkError):
    """A receiver refuses for good: the request has to change before it is made again."""


class LostRecordingError(SinkError):
    """A file that was being written is incomplete: the disk is full, or it could not be encoded."""


class WeightsError(LiveheadError):
    """A checkpoint cannot be used for the reason that the message gives."""


class WeightsMissingError(WeightsError):
    """There is no checkpoint of that name on this machine."""


class WeightsMismatchError(WeightsError):
    """A checkpoint's keys or shapes are not those of the network."""


class WeightsChecksumError(WeightsError):
    """A checkpoint's sha256 differs from the recorded one."""


class SourceError(LiveheadError):
    """The photo (or sheet, or person) cannot become an avatar."""


class NoFaceError(SourceError):
    """No face was found in the photo."""


class ProtocolError(LiveheadError):
    """A message from a peer or a page is malformed, unknown or too big."""


class SessionError(LiveheadError):
    """A server's session cannot be had: it does not exist, has ended or is full, or the caller has no right to it.

    ``status`` is the HTTP status (RFC 9110, section 15) that says so to a client: 401, 403, 404, 410, 429 or 503.
    """

    def __init__(self, problem: str, remedy: str = "", *, status: int, subject: str = "") -> None:
        super().__init__(problem, remedy, subject=subject)
        self.status = status


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the remedy for an unknown name.

    It is ``did you mean 'x'?`` for the nearest of ``known``, else the whole list.
    """
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"


def root_cause(failure: BaseException) -> BaseException:
    """Return the one exception of a (nested) exception group to show to a person: a LiveheadError if there is any."""
    if isinstance(failure, BaseExceptionGroup):
        failure = failure.subgroup(LiveheadError) or failure
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return failure
