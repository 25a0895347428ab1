"""The settings of the OBS sources that show livehead, shared by the command and the script inside OBS.

Standard library only: OBS runs it in a Python of its own.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any

MEDIA, BROWSER, KEY_FILTER = "ffmpeg_source", "browser_source", "chroma_key_filter_v2"
"""The kinds of sources and filters, as OBS names them."""

NAME = "Livehead"
HOST, PORT = "127.0.0.1", 5000

_SILENCE_US = 1_000_000  # without a packet for so long the sender is gone, and OBS begins to look for it again
_LOOK_AGAIN_S = 1  # the least that OBS takes
# Nothing of the stream is looked at before it plays: the format is known, what is looked at is thrown away, and the
# first key frame with it. FFmpeg's default is seconds.
_AT_ONCE = "fflags=nobuffer probesize=32 analyzeduration=1"


@dataclass(frozen=True, slots=True)
class StreamAddress:
    """The address on which OBS receives the stream; ``host`` 0.0.0.0 accepts senders on other machines.

    Raises: ValueError with a sentence for the person.
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
    def parse(cls, text: str) -> StreamAddress:
        """Parse ``HOST:PORT``, with an IPv6 host in brackets. Raises: ValueError."""
        host, colon, port = text.rpartition(":")
        if not colon or not port.isdecimal():
            raise ValueError(f"{text!r} is no address and port: write {HOST}:{PORT}")
        return cls(host.removeprefix("[").removesuffix("]"), int(port))

    @property
    def host_and_port(self) -> str:
        """Host and port as a URL has them, an IPv6 host in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """The URL for FFmpeg inside OBS; ``localaddr`` keeps it from listening on all of the machine's addresses."""
        return f"udp://{self.host_and_port}?localaddr={self.host}&timeout={_SILENCE_US}"


def media_settings(address: StreamAddress) -> dict[str, Any]:
    """Settings of a Media Source that shows the stream of ``livehead run --sink udp:...`` with the least delay.

    ``close_when_inactive``: a hidden source would go on collecting the stream and play it, seconds late, when it is
    shown again.
    """
    return {
        "is_local_file": False,
        "input": address.url,
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
    """Settings of a Browser Source for the viewers' page of ``livehead serve``; ``size``: width, height in pixels."""
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
    """Settings of a Chroma Key filter that removes the colour ``#rrggbb``. Raises: ValueError."""
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
