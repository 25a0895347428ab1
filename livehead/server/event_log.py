"""The server's log, one line for each event: as text for people, as JSON for programs.

An event has a name and details of fixed kinds, none of which a client writes: no token, key, SDP, address of a
candidate or picture can be among them. Lines that other libraries log are taken too, with whatever looks like a secret
left out. A client that is refused without end fills no disk: only so many lines a minute are written for an address,
for all addresses together, and for each kind of another library's lines; the others are counted.
"""

from __future__ import annotations

import json
import logging
import re
import traceback
from collections import deque
from datetime import UTC, datetime
from typing import Literal, TypeAlias, get_args

from livehead.clock import NS, now_ns
from livehead.errors import ConfigError, LiveheadError, SessionError, root_cause
from livehead.server.access import RateLimiter

log = logging.getLogger(__name__)

LogFormat: TypeAlias = Literal["text", "json"]
LOG_FORMATS: tuple[LogFormat, ...] = get_args(LogFormat)

EventDetail: TypeAlias = str | int | float | bool

_LOG_PERIOD_S = 60.0  # for which these limits of lines are:
_MAX_REJECTIONS = 20  # all addresses together
_MAX_REJECTIONS_OF_ADDRESS = 10
_MAX_LIBRARY_LINES = 15  # of all kinds together
_MAX_LINES_OF_KIND = 3
_MAX_MESSAGE_CHARS = 2000  # of another library's message
_SECRET_PATTERN = re.compile(
    r"bearer\s+\S+|(?:token|key|password|pwd|ufrag|secret)[\"']?\s*[=:]\s*[\"']?[^\s\"',;&]+|a=(?:candidate|ice-)\S.*",
    re.IGNORECASE,
)


def log_event(event: str, *, level: int = logging.INFO, **details: EventDetail) -> None:
    """Log that ``event`` happened."""
    log.log(level, "%s", _format_event(event, details), extra={"event": event, "details": details})


class LineBudget:
    """Allows ``max_lines`` in any ``_LOG_PERIOD_S`` seconds."""

    def __init__(self, max_lines: int) -> None:
        self._moments_ns: deque[int] = deque(maxlen=max_lines)

    @property
    def is_used_up(self) -> bool:
        """Tells whether no line may be written now."""
        moments = self._moments_ns
        return len(moments) == moments.maxlen and now_ns() - moments[0] < _LOG_PERIOD_S * NS

    def spend(self) -> None:
        """Count a line."""
        self._moments_ns.append(now_ns())


class RejectionLog:
    """Logs requests that were refused, with the address that they came from."""

    def __init__(self) -> None:
        self._budget = LineBudget(_MAX_REJECTIONS)
        self._rate = RateLimiter(_MAX_REJECTIONS_OF_ADDRESS, _LOG_PERIOD_S)
        self._suppressed_count = 0

    def log_rejection(self, address: str, resource: str, reason: LiveheadError | int) -> None:
        """Log that ``address`` was refused ``resource``; ``reason`` is the error or HTTP status of the answer."""
        if self._budget.is_used_up or not self._rate.try_acquire(address, now_ns()):
            self._suppressed_count += 1
            return
        self._budget.spend()
        details: dict[str, EventDetail] = {"what": resource, "address": address}
        if isinstance(reason, int):
            details["status"] = reason
        else:  # only these errors' sentences are all our own words: others may name what was sent
            known = isinstance(reason, (ConfigError, SessionError))
            details["why"] = reason.problem if known else type(reason).__name__
        if self._suppressed_count:
            details["untold"], self._suppressed_count = self._suppressed_count, 0
        log_event("refused", level=logging.WARNING, **details)


class LibraryLineFilter(logging.Filter):
    """Lets few lines of each kind through that are no events: those of uvicorn, asyncio and others.

    A kind is a logger's message without what is filled in. The first line that comes through again tells how many were
    left out. Strangers cause some of them, a line a request.
    """

    _MAX_KINDS = 256

    def __init__(self) -> None:
        super().__init__()
        self._budget = LineBudget(_MAX_LIBRARY_LINES)
        self._kinds: dict[tuple[str, str], tuple[LineBudget, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether ``record`` is written."""
        if hasattr(record, "event"):
            return True
        kind = (record.name, str(record.msg).partition("\n")[0][:80])
        if kind not in self._kinds and len(self._kinds) >= self._MAX_KINDS:
            self._kinds.clear()
        budget, suppressed_count = self._kinds.get(kind) or (LineBudget(_MAX_LINES_OF_KIND), 0)
        passes = not (budget.is_used_up or self._budget.is_used_up)
        if passes:
            budget.spend()
            self._budget.spend()
            if suppressed_count:
                record.details = {"untold": suppressed_count}
        self._kinds[kind] = budget, 0 if passes else suppressed_count + 1
        return passes


class EventFormatter(logging.Formatter):
    """Formats events and other libraries' records as text or JSON, always in one line."""

    def __init__(self, log_format: LogFormat) -> None:
        super().__init__()
        self._log_format = log_format

    def format(self, record: logging.LogRecord) -> str:
        """The line for one record."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        event = getattr(record, "event", None)
        details: dict[str, EventDetail] = dict(getattr(record, "details", {}))
        if event is None:
            event = "message"
            details = {"logger": record.name, "text": _redact_secrets(record.getMessage()), **details}
            if record.exc_info and record.exc_info[1] is not None:
                error = root_cause(record.exc_info[1])
                details |= {"error": type(error).__name__, "where": _format_location(error)}
        if self._log_format == "json":
            return json.dumps({"time": time, "level": record.levelname.lower(), "event": event, **details})
        return f"{time} {_format_event(event, details)}"


def configure_log_format(log_format: LogFormat) -> None:
    """Let every handler of the root logger write in ``log_format``, and few lines of each kind."""
    for handler in logging.getLogger().handlers:
        handler.setFormatter(EventFormatter(log_format))
        handler.addFilter(LibraryLineFilter())


def _format_event(event: str, details: dict[str, EventDetail]) -> str:
    return " ".join([event, *(f"{name}={_format_value(value)}" for name, value in details.items())])


def _format_value(value: EventDetail) -> str:
    text = str(value)
    return text if re.fullmatch(r"[\w.:/+-]+", text) else json.dumps(text)


def _redact_secrets(text: str) -> str:
    return _SECRET_PATTERN.sub("[hidden]", text)[:_MAX_MESSAGE_CHARS]


def _format_location(error: BaseException) -> str:
    """Return where the error was raised; not its message, which may quote what a client sent."""
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    return " < ".join(f"{frame.name} ({frame.filename}:{frame.lineno})" for frame in reversed(frames))
