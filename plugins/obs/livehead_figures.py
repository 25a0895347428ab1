"""One line on the state of livehead in OBS, from what OBS shows and from the metrics of ``livehead serve``.

Standard library only: OBS runs it in a Python of its own.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

_WINDOW_S = 2.0
_STALE_S = 0.5  # a picture that stands still for longer is reported
_ANSWER_TIMEOUT_S = 2.0
_MAX_ANSWER_BYTES = 1 << 20
_REDIRECTS = (301, 302, 303, 307, 308)


class PictureArrivals:
    """Counts the new pictures that arrive in OBS; ``clock`` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: object = None
        self._times: deque[float] = deque()

    def record(self, picture: object) -> None:
        """Note what is shown now: a value that differs for each new picture, or None when nothing is shown."""
        now = self._clock()
        if picture is None:
            self.reset()
        elif picture != self._last:
            self._last = picture
            self._times.append(now)
        while len(self._times) > 1 and now - self._times[0] > _WINDOW_S:
            self._times.popleft()

    def reset(self) -> None:
        """Forget all pictures."""
        self._last = None
        self._times.clear()

    @property
    def fps(self) -> float:
        """New pictures a second, over the last two seconds."""
        if len(self._times) < 2:
            return 0.0
        span = self._clock() - self._times[0]
        return (len(self._times) - 1) / span if span > 0 else 0.0

    @property
    def age_s(self) -> float | None:
        """Seconds since the last new picture; None when there was none."""
        return self._clock() - self._times[-1] if self._times else None


@dataclass(frozen=True, slots=True)
class ServerMetrics:
    """The figures of all sessions in the ``/metrics`` of ``livehead serve``, read at ``at_s`` seconds."""

    sessions: int
    viewers: int
    frames: int
    bitrate: int
    at_s: float

    @classmethod
    def parse(cls, text: str, at_s: float) -> ServerMetrics:
        """Parse Prometheus' text format; a missing figure counts as 0."""
        values: dict[str, float] = {}
        for line in text.splitlines():
            name, _, value = line.partition(" ")
            if name.startswith("livehead_") and "{" not in name:
                try:
                    values[name] = float(value)
                except ValueError:
                    continue
        found = (
            values.get(f"livehead_{name}", 0) for name in ("sessions", "viewers", "frames_sent", "bits_per_second")
        )
        sessions, viewers, frames, bitrate = (int(value) for value in found)
        return cls(sessions, viewers, frames, bitrate, at_s)

    def fps(self, before: ServerMetrics | None) -> float:
        """Pictures sent a second since ``before``."""
        if before is None or self.at_s <= before.at_s or self.frames < before.frames:
            return 0.0
        return (self.frames - before.frames) / (self.at_s - before.at_s)


class ServerMonitor:
    """Reads the metrics of the server at ``url`` on a thread of its own, so that a hanging server cannot block OBS.

    ``line`` describes the server's present state.
    """

    def __init__(self, url: str, token: str = "", every_s: float = 2.0) -> None:
        self.line = f"{url}: not asked yet"
        self._url = url.rstrip("/")
        self._token = token
        self._every_s = every_s
        self._before: ServerMetrics | None = None
        self._request: _MetricsRequest | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="livehead-server", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop the thread, also while a server does not answer."""
        self._ended.set()
        request = self._request
        if request is not None:
            request.abort()
        self._thread.join(_ANSWER_TIMEOUT_S + 1)

    def _run(self) -> None:
        while not self._ended.is_set():
            self.line = self._ask()
            self._ended.wait(self._every_s)

    def _ask(self) -> str:
        before, self._before = self._before, None
        try:
            self._request = request = _MetricsRequest(self._url, self._token)
            status, text = request.send()
        except _TokenInClearError:
            return "the token would go out in the clear: write https:// before the server's name"
        except (OSError, ValueError, http.client.HTTPException):
            return "the server does not answer"
        if status in _REDIRECTS:
            return "the server sends us to another address: write that one"
        if status == http.client.UNAUTHORIZED:
            return "the server wants its token"
        if status != http.client.OK:
            return f"the server answers {status}"
        served = ServerMetrics.parse(text, time.monotonic())
        line = describe_server(served, before)
        self._before = served
        return line


class _TokenInClearError(Exception):
    """The token was about to be sent to another machine without TLS."""


class _MetricsRequest:
    """One request for a server's metrics. It follows no redirect and asks no proxy, since both would get the token.

    Raises: ValueError for what is no address; _TokenInClearError.
    """

    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url)
        kind = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}.get(parts.scheme)
        if kind is None or not parts.hostname:
            raise ValueError(f"{url} is no web address")
        if token and parts.scheme == "http" and not _is_this_machine(parts.hostname):
            raise _TokenInClearError
        self._connection = kind(parts.hostname, parts.port, timeout=_ANSWER_TIMEOUT_S)
        self._socket: socket.socket | None = None
        self._aborted = False
        self._path = f"{parts.path.rstrip('/')}/metrics"
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def send(self) -> tuple[int, str]:
        """Return the answer's status and text, whole within the time for it. Raises: OSError, HTTPException."""
        deadline = threading.Timer(_ANSWER_TIMEOUT_S, self.abort)
        deadline.daemon = True
        deadline.start()
        try:
            self._connection.connect()
            self._socket = self._connection.sock  # http.client lets go of it before the answer is read
            self._connection.request("GET", self._path, headers=self._headers)
            answer = self._connection.getresponse()
            text = answer.read(_MAX_ANSWER_BYTES).decode("utf-8", "replace")
            if self._aborted:
                raise TimeoutError  # what was cut off looks like a short answer
            return answer.status, text
        finally:
            deadline.cancel()
            self._connection.close()

    def abort(self) -> None:
        """End ``send`` at once: a timeout of the socket would begin anew with every byte of a slow answer."""
        self._aborted = True
        connected = self._socket
        if connected is not None:
            with suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)


def _is_this_machine(host: str) -> bool:
    try:
        return host.lower() == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def describe_server(served: ServerMetrics, before: ServerMetrics | None) -> str:
    """Describe the server's state in a few words."""
    if not served.sessions:
        return "the server runs, nobody has joined"
    rate = f"{served.bitrate / 1e6:.1f} Mbit/s, " if served.bitrate else ""
    watching = f"{served.viewers} viewer{'' if served.viewers == 1 else 's'}"
    return f"the server sends {served.fps(before):.0f} fps, {rate}{watching}"


def describe_source(there: bool, arrivals: PictureArrivals, size: tuple[int, int], sounds: bool) -> str:
    """Describe the source in OBS in a few words: whether it is ``there`` at all, and what arrives.

    ``sounds``: sound arrives too, which cannot be told apart from pictures.
    """
    if not there:
        return "there is no source of that name: press Make, mend"
    age = arrivals.age_s
    if age is None:
        return "no stream: is livehead running?"
    picture = f"{size[0]}x{size[1]}, " + ("with sound" if sounds else f"{arrivals.fps:.0f} fps")
    return f"{picture}, last {'sign' if sounds else 'picture'} {age:.1f} s ago" if age > _STALE_S else picture
