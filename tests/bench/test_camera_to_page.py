"""From what a page has seen to figures."""

import pytest

from livehead.bench.camera_to_page import evaluate_page
from livehead.errors import DeviceError
from livehead.reporting.plot import plot_frame_ages


def page(delay_ms: float = 40.0) -> dict[str, object]:
    moments = [(number * 33.0, number) for number in range(60)]
    server = {"driver_ms": 3.0, "render_ms": 7.0, "encode_ms": 1.0, "total_ms": 14.0}
    own = {"encode": 2.0, "network": 1.0}
    return {
        "joined": -500.0,
        "self": [{"number": number, "captured": moment} for moment, number in moments],
        "avatar": [
            {"number": number, "shown": moment + delay_ms, "received": moment + delay_ms - 3, "decoding": 1.0}
            for moment, number in moments
        ],
        "figures": [{"server": server, "own": own}] * 3,
    }


def test_a_steady_page_gives_its_delay_rate_and_stages() -> None:
    figures = evaluate_page(page(), 200.0).to_results()
    assert figures["median"] == 40.0
    assert figures["p95"] == 40.0
    assert figures["fps"] == pytest.approx(1000 / 33, abs=0.01)
    assert figures["join_s"] == 0.54
    assert figures["stages"]["play_out"]["median"] == 2.0
    assert figures["stages"]["render"]["median"] == 7.0


def test_a_page_that_saw_no_codes_is_told() -> None:
    seen = page()
    seen["avatar"] = [{**each, "number": -1} for each in seen["avatar"]]
    with pytest.raises(DeviceError, match="no time codes"):
        evaluate_page(seen, 0.0)


def test_ages_are_drawn(tmp_path) -> None:
    plot_frame_ages({"passthrough": [20.0, 25.0, 30.0], "warp": [50.0, 60.0]}, tmp_path / "ages.png")
    assert (tmp_path / "ages.png").stat().st_size > 5000
