#!/usr/bin/env python3
"""Install what the tests need once, then run every check. Arguments go to pytest. Standard library only."""

import sys

from bootstrap import ensure_environment, run_python

if __name__ == "__main__":
    sys.exit(run_python(ensure_environment(test=True), "scripts/check", *sys.argv[1:]))
