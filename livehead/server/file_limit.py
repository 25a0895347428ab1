"""The number of files and sockets that this process may open."""

from __future__ import annotations

import sys

_WANTED = 65_536  # more is of no use, and some systems say "unlimited" and mean less
_LIMIT_OF_WINDOWS = 8192


def raise_file_limit() -> int:
    """Let this process open as many files as the system allows, and say how many that are.

    What a shell sets (1024, or 256 on macOS) is less than a busy server's calls and connections can need.
    """
    if sys.platform == "win32":
        return _LIMIT_OF_WINDOWS
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = _WANTED if soft == resource.RLIM_INFINITY else soft
    wanted = _WANTED if hard == resource.RLIM_INFINITY else min(hard, _WANTED)
    if wanted > soft:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):  # macOS allows less than it says
            return soft
        return wanted
    return soft
