#!/usr/bin/env python3
"""Measure camera to page here, through a real Chromium: install what is needed once, run ``livehead bench webrtc``.

Standard library only. Needs a Chromium or Chrome. Without arguments the figures go to ``webrtc.json`` and the latency's
histogram to ``webrtc.png``, in the current folder.
"""

import sys
from pathlib import Path

from bootstrap import ensure_environment, run_python

if __name__ == "__main__":
    here = Path.cwd()
    arguments = sys.argv[1:] or ["--json", str(here / "webrtc.json"), "--plot", str(here / "webrtc.png")]
    sys.exit(run_python(ensure_environment(), "-m", "livehead", "bench", "webrtc", *arguments))
