"""Gives the memory of sessions that have ended back to the system, and keeps the garbage collector out of calls.

A session has threads of its own. glibc lets threads allocate from arenas of their own and keeps what is freed there:
the process stays as large as its busiest moment, some hundred megabytes above what it uses, however long it is idle.

Python's collector goes through all objects when so many connections have come and gone. Those of the libraries are most
of them, and never end: while it went through them, a call stood still for 0.2 s (0.6 s on a busy machine).
"""

from __future__ import annotations

import ctypes
import gc
import sys


def freeze_objects() -> None:
    """Let the garbage collector pass by all objects that there are now, until ``trim_heap`` looks at them again.

    It is called before the first of several sessions, whose own objects are collected as ever.
    """
    gc.freeze()


def trim_heap() -> bool:
    """Collect garbage and return free pages to the system; False where the C library cannot (only glibc can).

    It is called while nobody performs, as no other Python code runs for a few tenths of a second. Source:
    malloc_trim(3).
    """
    gc.unfreeze()
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is None:
        return False
    trim(ctypes.c_size_t(0))
    return True
