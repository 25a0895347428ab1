"""One budget for the threads of torch, OpenCV, BLAS and OpenVINO."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import pytest
import torch
from threadpoolctl import threadpool_info

from livehead import threads
from livehead.models.engine import choose_execution_config


@pytest.fixture(autouse=True)
def _threads_as_before() -> Iterator[None]:
    before, opencv = torch.get_num_threads(), cv2.getNumThreads()
    yield
    torch.set_num_threads(before)
    cv2.setNumThreads(opencv)


def test_a_live_call_leaves_one_core_to_what_stands_beside_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "available_cores", lambda: 8)
    assert threads.live_network_threads() == 7
    monkeypatch.setattr(threads, "available_cores", lambda: 1)
    assert threads.live_network_threads() == 1


def test_torch_gets_all_cores_or_the_given_count_or_one_beside_openvino() -> None:
    threads.set_network_threads()
    assert torch.get_num_threads() == threads.network_threads() == threads.available_cores()
    threads.set_network_threads(3)
    assert torch.get_num_threads() == 3
    threads.set_network_threads(3, by_openvino=True)
    assert torch.get_num_threads() == 1


def test_a_block_gives_the_threads_back_even_after_an_error() -> None:
    threads.set_network_threads(2)
    observed = []

    def fail() -> None:
        with threads.keep_network_threads(1):
            observed.append(torch.get_num_threads())
            raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"):
        fail()
    assert observed == [1]
    assert torch.get_num_threads() == 2
    with threads.keep_network_threads():
        torch.set_num_threads(1)
    assert torch.get_num_threads() == 2


def test_helpers_get_one_thread_each() -> None:
    threads.limit_helper_threads()
    assert cv2.getNumThreads() == 1
    assert {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"} == {1}


def test_a_network_compiled_by_openvino_is_told_its_threads() -> None:
    pytest.importorskip("openvino", reason="the extra fast-cpu is not installed")
    if torch.cuda.is_available():
        pytest.skip("networks run on the GPU here")
    assert choose_execution_config("int8", threads=3).threads == 3
    assert choose_execution_config("int8").threads == threads.available_cores()
