#!/usr/bin/env python3
"""Measure motion-to-photon here: install what is needed once, run ``livehead bench pipeline``. Standard library only.

Without arguments the figures go to ``latency.json``, their histogram to ``latency.png``, in the current folder.
"""

import sys
from pathlib import Path

from bootstrap import ensure_environment, run_python

if __name__ == "__main__":
    here = Path.cwd()
    arguments = sys.argv[1:] or ["--json", str(here / "latency.json"), "--plot", str(here / "latency.png")]
    # the environment of the tests: it has pyvirtualcam, behind which the pictures are judged
    sys.exit(run_python(ensure_environment(test=True), "-m", "livehead", "bench", "pipeline", *arguments))
