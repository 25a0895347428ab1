import pytest

from livehead.bench.conr import bench_conr, make_conr_draw
from livehead.config import RunSettings


def test_eight_bits_are_measured_with_ranges_of_the_networks_own(tiny_conr):
    pytest.importorskip("openvino", reason="the extra fast-cpu is not installed")
    results = bench_conr(RunSettings(precision="int8"), rounds=1, network=tiny_conr)
    assert results["uses"] == "int8"
    assert results["psnr_to_fp32"]["int8"] > 30
    assert {"pose", "drawing"} == set(results["stages"])
    make_conr_draw(RunSettings(), "conr", "int8", tiny_conr)(0)


def test_every_figure_of_a_model_is_there(tiny_conr):
    results = bench_conr(RunSettings(precision="bf16"), rounds=1, network=tiny_conr)
    assert set(results["frames"]) >= {"fp32", "bf16"}
    assert results["frame"] == results["frames"]["bf16"]
    assert set(results["speedup"]) == set(results["frames"])
    assert results["frame_fp32_uncached"]["n"] == 1
    assert results["psnr_to_fp32"]["bf16"] > 30
    assert 0 < results["gflops_cached"] < results["gflops_uncached"]
    assert {"pose", "level0", "level5", "decoder"} <= set(results["stages"])
    assert results["output_std"] > 0
    assert results["weights"] == "untrained"
    assert results["views"] == 1
