"""What viewers cost, measured on a real server by WHIP and WHEP."""

import os
import sys

import numpy as np
import pytest

from livehead.bench.viewers import measure_viewers_cpu
from tests.fixtures.studio import serving


@pytest.mark.skipif(sys.platform != "linux", reason="reads processor time as Linux tells it")
async def test_a_crowd_is_set_against_one_viewer() -> None:
    pictures = [np.full((96, 128, 3), shade, np.uint8) for shade in (40, 90)]
    with serving() as address:
        figures = await measure_viewers_cpu(f"http://{address}/", os.getpid(), pictures, 3, 1.0, settle_s=0.5)
    assert figures["viewers"] == 3
    assert figures["fps_all"] > 0
    assert figures["ratio"] > 0
