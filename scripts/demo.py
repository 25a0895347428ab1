#!/usr/bin/env python3
"""See a photo come alive: install what is needed once, then run ``livehead demo``. Standard library only."""

import sys

from bootstrap import environment, run

if __name__ == "__main__":
    sys.exit(run(environment(), "-m", "livehead", "demo", *sys.argv[1:]))
