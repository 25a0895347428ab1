"""What the sources that show livehead in OBS are set to, in one place for the command and for the script inside OBS.

Standard library only: OBS runs it in a Python of its own.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any

MEDIA, BROWSER, KEY_FILTER = "ffmpeg_source", "browser_source", "chroma_key_filter_v2"
"""Kinds, as OBS names them."""

NAME = "Livehead"
HOST, PORT = "127.0.0.1", 5000

_SILENCE_US = 1_000_000  # without a packet for so long the sender is gone, and OBS begins to look for it again
_LOOK_AGAIN_S = 1  # the least that OBS takes
# Nothing of the stream is looked at before it plays: the format is known, what is looked at is thrown away, and the
# first key frame with it. FFmpeg's own wish is seconds.
_AT_ONCE = "fflags=nobuffer probesize=32 analyzeduration=1"


@dataclass(frozen=True, slots=True)
class Listening:
    """Where OBS awaits the stream. ``host``: its own address; 0.0.0.0 for a sender on any machine, else this one's.

    Raises: ValueError, with a sentence for the person.
    """

    host: str = HOST
    port: int = PORT

    def __post_init__(self) -> None:
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            raise ValueError(f"{self.host!r} is no address: OBS listens on an IP address of its machine") from None
        if not 0 < self.port < 65536:
            raise ValueError(f"{self.port} is no port: write 1 to 65535")

    @classmethod
    def parse(cls, text: str) -> Listening:
        """``HOST:PORT``, an IPv6 host in brackets. Raises: ValueError."""
        host, colon, port = text.rpartition(":")
        if not colon or not port.isdecimal():
            raise ValueError(f"{text!r} is no address and port: write {HOST}:{PORT}")
        return cls(host.removeprefix("[").removesuffix("]"), int(port))

    @property
    def address(self) -> str:
        """As a URL has it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """For FFmpeg inside OBS. Bound to ``host`` alone: it would listen on all addresses of the machine otherwise."""
        return f"udp://{self.address}?localaddr={self.host}&timeout={_SILENCE_US}"


def media_settings(listening: Listening) -> dict[str, Any]:
    """Of a Media Source that shows the stream of ``livehead run --sink udp:...``, as early as OBS can.

    ``close_when_inactive``: a hidden source would go on collecting what is sent and play it, seconds late, when it is
    shown again.
    """
    return {
        "is_local_file": False,
        "input": listening.url,
        "input_format": "mpegts",
        "buffering_mb": 0,
        "ffmpeg_options": _AT_ONCE,
        "reconnect_delay_sec": _LOOK_AGAIN_S,
        "restart_on_activate": True,
        "close_when_inactive": True,
        "clear_on_media_end": True,
        "hw_decode": False,
    }


def browser_settings(url: str, size: tuple[int, int]) -> dict[str, Any]:
    """Of a Browser Source that shows the viewers' page of ``livehead serve``; ``size`` of the page in pixels."""
    return {
        "url": url,
        "is_local_file": False,
        "width": size[0],
        "height": size[1],
        "fps_custom": False,
        "reroute_audio": True,
        "shutdown": True,
        "restart_when_active": True,
        "css": "",
    }


def key_settings(colour: str) -> dict[str, Any]:
    """Of a Chroma Key filter that takes out ``#rrggbb``. Raises: ValueError."""
    digits = colour.removeprefix("#")
    if len(digits) != 6 or not all(digit in "0123456789abcdefABCDEF" for digit in digits):
        raise ValueError(f"{colour!r} is no colour: write it as #00ff00")
    red, green, blue = (int(digits[at : at + 2], 16) for at in (0, 2, 4))
    return {
        "key_color_type": "custom",
        "key_color": 0xFF << 24 | blue << 16 | green << 8 | red,  # OBS has them the other way round
        "similarity": 400,
        "smoothness": 80,
        "spill": 100,
    }
