#!/usr/bin/env python3
"""A long call through a real Chromium: memory, A/V offset and latency from its begin to its end.

    python3 scripts/soak.py --minutes 60 [options of livehead bench webrtc]

Standard library only. Needs Linux and a Chromium or Chrome. Without further arguments the figures go to ``soak.json``
and their plot to ``soak.png``, in the current folder.
"""

import argparse
import sys
from pathlib import Path

from bootstrap import ensure_environment, run_python

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    own, rest = parser.parse_known_args()
    here = Path.cwd()
    arguments = rest or ["--json", str(here / "soak.json"), "--plot", str(here / "soak.png")]
    sys.exit(
        run_python(ensure_environment(), "-m", "livehead", "bench", "webrtc", "--soak", str(own.minutes), *arguments)
    )
