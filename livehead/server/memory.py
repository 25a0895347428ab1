"""Gives the memory of sessions that have ended back to the system.

A session has threads of its own. glibc lets threads allocate from arenas of their own and keeps what is freed there:
the process stays as large as its busiest moment, some hundred megabytes above what it uses, however long it is idle.
"""

from __future__ import annotations

import ctypes
import gc
import sys


def trim_heap() -> bool:
    """Collect garbage and return free pages to the system; False where the C library cannot (only glibc can).

    It is called while nobody performs, as no other Python code runs for a few tenths of a second. Source:
    malloc_trim(3).
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is None:
        return False
    trim(ctypes.c_size_t(0))
    return True
