"""Figures as JSON and as text."""

import json
import math

import pytest

from livehead.errors import ConfigError
from livehead.reporting.report import JsonReport, format_table, write_json


def test_a_report_has_the_shape_that_all_scripts_rely_on(tmp_path):
    path = tmp_path / "report.json"
    write_json(JsonReport("evaluate", {"frames": 40}).finish({"warp": {"mean": {"psnr": 23.0}}}), path)
    report = json.loads(path.read_text())
    assert list(report) == ["command", "version", "machine", "yardstick_ms", "settings", "results"]
    assert {"cpu", "cores", "threads", "gpu", "torch", "precision"} <= set(report["machine"])
    assert report["yardstick_ms"]["conv_fp32"] > 0
    assert report["yardstick_ms"]["conv_bf16"] > 0
    assert report["settings"] == {"frames": 40}
    assert report["results"]["warp"]["mean"]["psnr"] == 23.0


def test_figures_that_do_not_exist_become_null(tmp_path):
    path = tmp_path / "report.json"
    write_json({"results": {"flicker": math.nan, "psnr": [math.inf, 1.5], "missed": 0}}, path)
    assert json.loads(path.read_text())["results"] == {"flicker": None, "psnr": [None, 1.5], "missed": 0}


def test_a_missing_folder_is_told(tmp_path):
    with pytest.raises(ConfigError, match="absent"):
        write_json({}, tmp_path / "absent" / "report.json")


def test_a_table_is_aligned_and_shows_gaps():
    text = format_table(
        {"copy": {"psnr": 22.26, "missed": 0.0}, "warp": {"psnr": math.nan}}, ["psnr", "missed"], "model"
    )
    assert text.splitlines() == [
        "model   psnr  missed",
        "-----  -----  ------",
        "copy   22.26       0",
        "warp       -       -",
    ]
