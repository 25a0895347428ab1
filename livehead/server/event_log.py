"""What happens in the server, one line an event: for people as text, for programs as JSON.

An event has a name and details of fixed kinds, none of which another side writes: no token, key, SDP, address of a
candidate or picture can be among them. What other libraries log is taken too, with whatever looks like a secret left
out. Whoever is refused without end fills no disk: of an address, so many lines a minute are told, then only counted.
"""

from __future__ import annotations

import json
import logging
import re
import traceback
from datetime import UTC, datetime
from typing import Literal, TypeAlias, get_args

from livehead.clock import now_ns
from livehead.errors import ConfigError, LiveheadError, SessionError, root_cause
from livehead.server.access import RateLimiter

log = logging.getLogger(__name__)

LogFormat: TypeAlias = Literal["text", "json"]
LOG_FORMATS: tuple[LogFormat, ...] = get_args(LogFormat)

EventDetail: TypeAlias = str | int | float | bool

_MAX_REJECTIONS, _REJECTION_PERIOD_S = 20, 60.0  # lines for each address
_MAX_MESSAGE_CHARS = 2000  # characters of a foreign message
_SECRET_PATTERN = re.compile(
    r"bearer\s+\S+|(?:token|key|password|pwd|ufrag|secret)[\"']?\s*[=:]\s*[\"']?[^\s\"',;&]+|a=(?:candidate|ice-)\S.*",
    re.IGNORECASE,
)


def log_event(event: str, *, level: int = logging.INFO, **details: EventDetail) -> None:
    """Note that ``event`` happened."""
    log.log(level, "%s", _format_event(event, details), extra={"event": event, "details": details})


class RejectionLog:
    """Notes what was refused, and to whom."""

    def __init__(self) -> None:
        self._rate = RateLimiter(_MAX_REJECTIONS, _REJECTION_PERIOD_S)
        self._suppressed_count = 0

    def log_rejection(self, address: str, resource: str, reason: LiveheadError | int) -> None:
        """``what`` was asked for by ``address``; ``why``: the error that was answered, or an HTTP status."""
        if not self._rate.try_acquire(address, now_ns()):
            self._suppressed_count += 1
            return
        details: dict[str, EventDetail] = {"what": resource, "address": address}
        if isinstance(reason, int):
            details["status"] = reason
        else:  # only these errors' sentences are all our own words: others may name what was sent
            known = isinstance(reason, (ConfigError, SessionError))
            details["why"] = reason.problem if known else type(reason).__name__
        if self._suppressed_count:
            details["untold"], self._suppressed_count = self._suppressed_count, 0
        log_event("refused", level=logging.WARNING, **details)


class EventFormatter(logging.Formatter):
    """Formats events, and foreign records, as ``form`` says; always one line, whatever they hold."""

    def __init__(self, log_format: LogFormat) -> None:
        super().__init__()
        self._log_format = log_format

    def format(self, record: logging.LogRecord) -> str:
        """The line of one record."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        event = getattr(record, "event", None)
        details: dict[str, EventDetail] = dict(getattr(record, "details", {}))
        if event is None:
            event = "message"
            details = {"logger": record.name, "text": _redact_secrets(record.getMessage())}
            if record.exc_info and record.exc_info[1] is not None:
                error = root_cause(record.exc_info[1])
                details |= {"error": type(error).__name__, "where": _format_location(error)}
        if self._log_format == "json":
            return json.dumps({"time": time, "level": record.levelname.lower(), "event": event, **details})
        return f"{time} {_format_event(event, details)}"


def configure_log_format(log_format: LogFormat) -> None:
    """Let everything that is logged in this process be told in ``form``, where it is told already."""
    for handler in logging.getLogger().handlers:
        handler.setFormatter(EventFormatter(log_format))


def _format_event(event: str, details: dict[str, EventDetail]) -> str:
    return " ".join([event, *(f"{name}={_format_value(value)}" for name, value in details.items())])


def _format_value(value: EventDetail) -> str:
    text = str(value)
    return text if re.fullmatch(r"[\w.:/+-]+", text) else json.dumps(text)


def _redact_secrets(text: str) -> str:
    return _SECRET_PATTERN.sub("[hidden]", text)[:_MAX_MESSAGE_CHARS]


def _format_location(error: BaseException) -> str:
    """Where it was raised; not what it said, which may quote what somebody sent."""
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    return " < ".join(f"{frame.name} ({frame.filename}:{frame.lineno})" for frame in reversed(frames))
