"""Start-up time, seen from outside."""

import sys

import pytest

from livehead.bench.startup import measure_seconds_until
from livehead.errors import DeviceError


def script(text):
    return [sys.executable, "-u", "-c", text]


def test_it_is_the_time_until_the_line_and_not_until_the_end():
    waits = "import sys, time; print('opening'); time.sleep(0.3); print('first frame', file=sys.stderr); time.sleep(60)"
    assert 0.3 < measure_seconds_until(script(waits), "first frame") < 10


def test_a_command_that_fails_is_told_with_its_last_words():
    with pytest.raises(DeviceError, match="no camera"):
        measure_seconds_until(script("raise SystemExit('no camera')"), "first frame")


def test_a_command_that_hangs_is_ended():
    with pytest.raises(DeviceError, match="said nothing"):
        measure_seconds_until(script("import time; time.sleep(60)"), "first frame", timeout_s=0.5)
