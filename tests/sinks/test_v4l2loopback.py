"""What needs no device; the real one is released in ``scripts/test_v4l2.py``."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from livehead.sinks import v4l2loopback

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="v4l2loopback is Linux's")


def test_what_is_no_loopback_device_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "video0"
    file.write_bytes(b"a file of somebody's")
    v4l2loopback.release_device(str(file))
    assert file.read_bytes() == b"a file of somebody's"


def test_a_device_that_went_away_is_no_error_and_is_not_made(tmp_path: Path) -> None:
    v4l2loopback.release_device(str(tmp_path / "video0"))
    assert not (tmp_path / "video0").exists()
