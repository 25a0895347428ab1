"""Network addresses that a person gives on the command line or in the configuration."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import SplitResult, urlsplit


def split_network_url(url: str, schemes: Collection[str]) -> SplitResult | None:
    """The parts of ``url``, or None unless it has one of ``schemes``, a host, a usable port and no blanks."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    return parts if usable and url.isprintable() and " " not in url else None
