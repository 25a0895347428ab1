"""What Linux tells of processes."""

import os
import time
from pathlib import Path

import pytest

from livehead.bench.process_usage import read_process_usage
from livehead.errors import DeviceError

needs_proc = pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="reads what Linux tells of processes")


@needs_proc
def test_memory_and_threads_of_a_process_are_read() -> None:
    usage = read_process_usage(os.getpid())
    assert 10 < usage.resident_mb < 10_000
    assert usage.threads >= 1


@needs_proc
def test_processor_time_grows_with_work() -> None:
    before = read_process_usage().cpu_s
    until = time.process_time() + 0.05
    while time.process_time() < until:
        pass
    assert 0.03 <= read_process_usage().cpu_s - before < 5


def test_a_process_that_is_not_there_is_told() -> None:
    with pytest.raises(DeviceError, match="does not tell"):
        read_process_usage(2**22 + 1)
