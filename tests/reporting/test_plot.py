"""Plots are PNG files that show all that they were given."""

import pytest
from PIL import Image as Pillow

from livehead.errors import ConfigError
from livehead.evaluation.self_reenactment import METRICS, ModelFigures
from livehead.reporting.plot import plot_evaluation, plot_latency

FIGURES = ModelFigures(
    mean=dict.fromkeys(METRICS, 1.0), clips={name: dict.fromkeys(METRICS, 0.9) for name in ("first", "second")}
)
SHARES = {"wait_exposure": 0.5, "estimate": 0.3, "draw": 0.25, "later_frames": -0.05}


def test_an_evaluation_is_drawn(tmp_path):
    path = tmp_path / "evaluation.png"
    plot_evaluation({"copy": FIGURES, "warp": FIGURES}, path)
    with Pillow.open(path) as picture:
        assert picture.format == "PNG"
        assert picture.width > 1000


def test_a_latency_histogram_is_drawn(tmp_path):
    path = tmp_path / "latency.png"
    plot_latency([30.0, 35.5, 41.0, 60.0], SHARES, path, "warp")
    with Pillow.open(path) as picture:
        assert picture.format == "PNG"


def test_more_motions_change_the_picture(tmp_path):
    plot_latency([30.0, 35.5], SHARES, tmp_path / "few.png", "warp")
    plot_latency([30.0, 35.5, 70.0], SHARES, tmp_path / "more.png", "warp")
    assert (tmp_path / "few.png").read_bytes() != (tmp_path / "more.png").read_bytes()


def test_a_missing_folder_is_told(tmp_path):
    with pytest.raises(ConfigError, match="absent"):
        plot_latency([30.0], SHARES, tmp_path / "absent" / "latency.png", "warp")
