"""Several sessions that draw at once, each with its own network and all with one, side by side."""

from typing import Any, cast

import pytest

from livehead.bench.sessions import format_sessions, measure_sessions
from livehead.config import RunSettings
from livehead.errors import ConfigError


def test_both_ways_are_measured_in_processes_of_their_own() -> None:
    results = measure_sessions(RunSettings(render_size=64), "warp", 3, counts=(2,), turns=1)
    assert set(results) == {"own", "shared"}
    for mode in results:
        figures: dict[str, Any] = cast("dict[str, Any]", results[mode])["2"]
        assert figures["fps"] > 0
        assert figures["frame_ms"]["n"] == 6
        assert figures["peak_mb"] > 50
    assert format_sessions(results).count("2 sessions") == 2


def test_a_model_that_takes_no_face_mesh_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="conr"):
        measure_sessions(RunSettings(), "conr", 1)
