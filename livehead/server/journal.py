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
from livehead.errors import ConfigError, LiveheadError
from livehead.server.access import Rate

log = logging.getLogger(__name__)

LogFormat: TypeAlias = Literal["text", "json"]
FORMATS: tuple[LogFormat, ...] = get_args(LogFormat)

Detail: TypeAlias = str | int | float | bool

_REFUSALS, _REFUSALS_S = 20, 60.0  # lines for each address
_LONGEST = 2000  # characters of a foreign message
_SECRET = re.compile(
    r"bearer\s+\S+|(?:token|key|password|pwd|ufrag|secret)[\"']?\s*[=:]\s*[\"']?[^\s\"',;&]+|a=(?:candidate|ice-)\S.*",
    re.IGNORECASE,
)


def tell(event: str, *, level: int = logging.INFO, **details: Detail) -> None:
    """Note that ``event`` happened."""
    log.log(level, "%s", _line(event, details), extra={"event": event, "details": details})


class Refusals:
    """Notes what was refused, and to whom."""

    def __init__(self) -> None:
        self._rate = Rate(_REFUSALS, _REFUSALS_S)
        self._untold = 0

    def tell(self, address: str, what: str, why: LiveheadError | int) -> None:
        """``what`` was asked for by ``address``; ``why``: the error that was answered, or an HTTP status."""
        if not self._rate.allows(address, now_ns()):
            self._untold += 1
            return
        details: dict[str, Detail] = {"what": what, "address": address}
        if isinstance(why, int):
            details["status"] = why
        else:  # the sentences of a ConfigError are ours, others may name what was sent
            details["why"] = why.problem if isinstance(why, ConfigError) else type(why).__name__
        if self._untold:
            details["untold"], self._untold = self._untold, 0
        tell("refused", level=logging.WARNING, **details)


class Lines(logging.Formatter):
    """Formats events, and foreign records, as ``form`` says; always one line, whatever they hold."""

    def __init__(self, form: LogFormat) -> None:
        super().__init__()
        self._form = form

    def format(self, record: logging.LogRecord) -> str:
        """The line of one record."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        event = getattr(record, "event", None)
        details: dict[str, Detail] = dict(getattr(record, "details", {}))
        if event is None:
            event = "message"
            details = {"logger": record.name, "text": _safe(record.getMessage())}
            if record.exc_info and record.exc_info[1] is not None:
                error = _first(record.exc_info[1])
                details |= {"error": type(error).__name__, "where": _where(error)}
        if self._form == "json":
            return json.dumps({"time": time, "level": record.levelname.lower(), "event": event, **details})
        return f"{time} {_line(event, details)}"


def use(form: LogFormat) -> None:
    """Let everything that is logged in this process be told in ``form``, where it is told already."""
    for handler in logging.getLogger().handlers:
        handler.setFormatter(Lines(form))


def _line(event: str, details: dict[str, Detail]) -> str:
    return " ".join([event, *(f"{name}={_word(value)}" for name, value in details.items())])


def _word(value: Detail) -> str:
    text = str(value)
    return text if re.fullmatch(r"[\w.:/+-]+", text) else json.dumps(text)


def _safe(text: str) -> str:
    return _SECRET.sub("[hidden]", text)[:_LONGEST]


def _first(error: BaseException) -> BaseException:
    """``error``, or the first of a group: a group is raised where tasks are awaited, which tells nothing."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _where(error: BaseException) -> str:
    """Where it was raised; not what it said, which may quote what somebody sent."""
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    return " < ".join(f"{frame.name} ({frame.filename}:{frame.lineno})" for frame in reversed(frames))
