from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def own_home(home: Path) -> Path:
    """Every test here has a LIVEHEAD_HOME of its own, so that none meets the avatars of another."""
    return home
