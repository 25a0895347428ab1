"""Plugins are no part of the package: their folders join the path, as they do when they are run."""

import sys
from pathlib import Path

PLUGINS = Path(__file__).parents[2] / "plugins"
sys.path.insert(0, str(PLUGINS / "obs"))
