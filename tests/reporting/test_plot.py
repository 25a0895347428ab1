"""Plots are PNG files that show the figures they were given: bars and lines are measured in the pixels."""

import numpy as np
import pytest
from PIL import Image as Pillow

from livehead.errors import ConfigError
from livehead.evaluation.self_reenactment import METRICS, ModelFigures
from livehead.reporting.plot import plot_decoder_times, plot_evaluation, plot_latency

GREY, BLUE, RED = (154, 165, 177), (68, 119, 170), (238, 102, 119)
"""The colours of waiting, and the first two of the palette."""
SHARES = {"wait_exposure": 0.5, "estimate": 0.3, "draw": 0.25, "later_frames": -0.05}


def figures(value):
    clips = {name: dict.fromkeys(METRICS, value) for name in ("first", "second")}
    return ModelFigures(mean=dict.fromkeys(METRICS, value), clips=clips)


def pixels(path):
    with Pillow.open(path) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB"))


def mask(image, colour):
    """Where ``image`` has ``colour``, or nearly so at the edge of a line."""
    return np.abs(image.astype(int) - colour).sum(axis=-1) < 40


def test_an_evaluation_is_drawn_as_bars_of_its_means(tmp_path):
    path = tmp_path / "evaluation.png"
    plot_evaluation({"copy": figures(0.5), "warp": figures(1.0)}, path)
    image = pixels(path)
    assert image.shape[1] > 1000
    first_panel = image[: image.shape[0] // 2, : image.shape[1] // 4]
    low, high = (mask(first_panel, colour).sum(axis=0).max() for colour in (BLUE, RED))
    assert low == pytest.approx(high / 2, rel=0.1)
    assert mask(image, BLUE)[:, -image.shape[1] // 4 :].any(), "the last metric has its bars, too"


def test_a_latency_histogram_has_a_bar_for_each_group_of_motions(tmp_path):
    path = tmp_path / "latency.png"
    plot_latency([30.5, 30.6, 41.0, 60.0], SHARES, path, "warp")
    image = pixels(path)
    bar_of_shares = np.flatnonzero(mask(image, GREY).sum(axis=1) > 50)[0]
    heights = mask(image[:bar_of_shares], BLUE).sum(axis=0)
    starts = np.flatnonzero(np.diff((heights > 20).astype(int)) == 1)
    assert len(starts) == 3
    assert heights[starts[0] + 3] == pytest.approx(2 * heights[starts[1] + 3], rel=0.1)


def test_the_bar_of_shares_is_to_scale_and_leaves_out_what_saves_time(tmp_path):
    path = tmp_path / "latency.png"
    plot_latency([40.0, 40.0, 40.0], SHARES, path, "warp")
    image = pixels(path)
    row = mask(image, GREY).sum(axis=1).argmax()
    waits, estimates, draws = (mask(image[row], colour).sum() for colour in (GREY, BLUE, RED))
    assert estimates == pytest.approx(waits * 0.3 / 0.5, rel=0.05)
    assert draws == pytest.approx(waits * 0.25 / 0.5, rel=0.05)


def test_more_motions_change_the_picture(tmp_path):
    plot_latency([30.0, 35.5], SHARES, tmp_path / "few.png", "warp")
    plot_latency([30.0, 35.5, 70.0], SHARES, tmp_path / "more.png", "warp")
    assert (tmp_path / "few.png").read_bytes() != (tmp_path / "more.png").read_bytes()


def test_the_decoder_s_time_rises_with_the_people(tmp_path):
    path = tmp_path / "pose.png"
    by_people = {count: {"median": float(count), "p95": 1.2 * count} for count in (1, 10, 20)}
    plot_decoder_times(by_people, {"median": 5.0}, path)
    image = pixels(path)
    line = mask(image, BLUE)[:, image.shape[1] // 5 :]
    columns = np.flatnonzero(line.any(axis=0))
    left, right = (np.flatnonzero(line[:, column]).mean() for column in (columns[5], columns[-5]))
    assert right < left - image.shape[0] / 4
    assert mask(image, RED).any(), "the plain way's line"


def test_a_missing_folder_is_told(tmp_path):
    with pytest.raises(ConfigError, match="absent"):
        plot_latency([30.0], SHARES, tmp_path / "absent" / "latency.png", "warp")
