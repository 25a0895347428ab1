"""A live run that only makes a film of a film is told what does that without losing frames."""

from __future__ import annotations

import pytest

from livehead.assembly.run_checks import suggest_offline
from livehead.config import RunSettings, parse_settings


@pytest.mark.parametrize(
    ("capture", "sinks", "driver", "suggests"),
    [
        ("file:talk.mp4", ("file:out.mp4",), "auto", True),
        ("file:talk.mp4", ("file:out.mp4", "window"), "auto", False),
        ("file:talk.mp4", ("window",), "auto", False),
        ("camera", ("file:out.mp4",), "auto", False),
        ("file:talk.mp4", ("file:out.mp4",), "idle", False),
    ],
)
def test_animate_is_named_where_it_would_do_better(
    capture: str, sinks: tuple[str, ...], driver: str, suggests: bool
) -> None:
    settings = parse_settings(RunSettings, {"capture": capture, "sinks": sinks, "driver": driver})
    said = suggest_offline(settings)
    assert ("livehead animate --driving talk.mp4 --out out.mp4" in said) is suggests
    assert bool(said) is suggests
