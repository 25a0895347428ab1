"""Memory that is free goes back to the system."""

import gc
import sys
import weakref
from pathlib import Path

import pytest

from livehead.server.memory import freeze_objects, trim_heap

BLOCK, BLOCKS, KEPT = 60_000, 1500, 50  # bytes, how many, and which of them stay: between them, 2.9 MB are free each


def resident_mb() -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024


class Circle:
    """What only refers to itself."""

    def __init__(self) -> None:
        self.itself = self


def test_what_only_refers_to_itself_is_freed() -> None:
    gc.disable()
    try:
        gone = weakref.ref(Circle())
        assert gone() is not None
        trim_heap()
        assert gone() is None
    finally:
        gc.enable()


def test_what_there_is_before_a_call_is_passed_by_until_it_is_over() -> None:
    try:
        before = len(gc.get_objects())
        freeze_objects()
        assert len(gc.get_objects()) < before / 10  # a full collection goes through these
        old = weakref.ref(Circle())
        gc.collect()
        assert old() is None
    finally:
        trim_heap()
    assert len(gc.get_objects()) > before / 2


@pytest.mark.skipif(sys.platform != "linux", reason="reads what is resident as Linux tells it")
def test_free_pages_between_used_ones_go_back_to_the_system() -> None:
    if not trim_heap():
        pytest.skip("this C library has no malloc_trim")
    blocks = [bytearray(b"x" * BLOCK) for _ in range(BLOCKS)]
    kept = blocks[::KEPT]
    blocks.clear()
    before = resident_mb()
    assert trim_heap()
    assert before - resident_mb() > 0.7 * BLOCK * (BLOCKS - len(kept)) / 2**20
