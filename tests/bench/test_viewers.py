"""What viewers cost, measured on a real server by WHIP and WHEP."""

import os
import sys

import numpy as np
import pytest

from livehead.bench import viewers
from livehead.errors import DeviceError
from tests.fixtures.studio import serving


@pytest.mark.skipif(sys.platform != "linux", reason="reads processor time as Linux tells it")
async def test_a_crowd_is_set_against_one_viewer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewers, "_SETTLE_S", 0.5)
    pictures = [np.full((96, 128, 3), shade, np.uint8) for shade in (40, 90)]
    with serving() as address:
        figures = await viewers.measure_viewers_cpu(f"http://{address}/", os.getpid(), pictures, 3, 1.0)
    assert figures["viewers"] == 3
    assert figures["fps_all"] > 0
    assert figures["ratio"] > 0


def test_a_process_that_is_not_there_is_told() -> None:
    with pytest.raises(DeviceError):
        viewers.process_cpu_s(2**30)
