"""What all sessions of a server have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from livehead.codecs.h264 import EncoderChoice
from livehead.config import ServeSettings
from livehead.interfaces import Capture, Sink
from livehead.webrtc.ice import NO_ICE_SERVERS, IceServers


@dataclass(frozen=True, slots=True)
class EndpointWrappers:
    """Holds what stands at the two ends of a session's pipeline; a latency measurement puts its own before them."""

    capture: Callable[[Capture], Capture] = lambda capture: capture
    sink: Callable[[Sink], Sink] = lambda sink: sink
    relay_size: tuple[int, int] | None = None
    """Size (width, height) of the camera's own picture where that is sent in place of an avatar's."""


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """How many ``sessions`` a server runs at a time, and how many ``viewers`` each may have.

    A session that nobody has been connected to for ``idle_s`` seconds ends.
    """

    sessions: int = ServeSettings().sessions
    viewers: int = ServeSettings().viewers
    idle_s: float = ServeSettings().idle_s


@dataclass(frozen=True, slots=True)
class SessionDefaults:
    """The settings that every session of a server starts with.

    ``size`` is the side in pixels of the rendered square at full quality, ``fps`` the frame rate. Recordings are kept
    below ``folder``; by default below the system's folder for temporary files.
    """

    fps: float
    size: int
    limits: SessionLimits = SessionLimits()
    endpoint_wrappers: EndpointWrappers = EndpointWrappers()
    encoder: EncoderChoice = "auto"
    ice: IceServers = NO_ICE_SERVERS
    folder: Path | None = None
