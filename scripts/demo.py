#!/usr/bin/env python3
"""See a photo come alive: install what is needed once, then run ``livehead demo``. Standard library only."""

import sys

from bootstrap import ensure_environment, run_python

if __name__ == "__main__":
    sys.exit(run_python(ensure_environment(), "-m", "livehead", "demo", *sys.argv[1:]))
