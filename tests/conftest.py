"""What several rooms' tests share: parity fixtures, and published layouts filled by their formula."""

import json
import os
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from livehead.models.blocks import AntiAliasInterpolation
from livehead.models.conr.build import ConrSizes, build_conr
from livehead.models.conr.shader import ShaderSizes
from livehead.models.dagan.build import (
    DaganSizes,
    HourglassSizes,
    build_face_depth,
    build_generator,
    build_keypoint_detector,
)
from livehead.models.engine import ExecutionConfig
from livehead.perception.rgbd import RgbdDetector

pytest_plugins = ("tests.fixtures.home", "tests.fixtures.faces", "tests.fixtures.clips", "tests.fixtures.servers")
pytest.register_assert_rewrite("tests.fixtures.studio")

TESTS = Path(__file__).parent
SHARED = Path(os.environ.get("LIVEHEAD_SHARED", TESTS.parents[1] / "shared"))
KEYS = TESTS / "data" / "keys"
LIVE = ("assembly", "audio", "bench", "capture", "client", "commands", "plugins", "server", "sinks", "webrtc")
"""Rooms whose tests have to do with time: with several processes (pytest-xdist) they share one, and do not disturb each
other; of the other rooms, each file stays whole."""


def pytest_collection_modifyitems(items):
    for item in items:
        room = item.path.relative_to(TESTS).parts[0]
        item.add_marker(pytest.mark.xdist_group("live" if room in LIVE else str(item.path)))


@pytest.fixture(scope="session")
def parity():
    """``parity(name)``: the arrays of a fixture as tensors, and its ``config``; skips where the fixture is not."""

    def read(name):
        path = next((p for p in (TESTS / "data", SHARED / "parity") if (p / f"{name}.npz").is_file()), None)
        if path is None:
            pytest.skip(f"the parity fixture {name} is not beside the checkout (LIVEHEAD_SHARED)")
        with np.load(path / f"{name}.npz") as stored:
            texts = {key for key in stored.files if stored[key].dtype.kind == "U" and key != "field"}  # a formula
            numbers = {key for key in stored.files if stored[key].dtype.kind != "U"}
            arrays = {key: torch.from_numpy(np.array(stored[key])) for key in numbers}
            return arrays | {key: json.loads(str(stored[key])) for key in texts}

    return read


@pytest.fixture(scope="session", name="uniform")
def uniform_fixture():
    """``uniform(key, count)``: the formula itself, for inputs that are not stored."""
    return uniform


def uniform(key, count):
    """The formula's u in [-1, 1) for the first ``count`` elements of the tensor called ``key``."""
    h = np.arange(count, dtype=np.uint32) * np.uint32(2654435761) + np.uint32(zlib.crc32(key.encode()))
    h ^= h >> np.uint32(15)
    h *= np.uint32(2246822519)
    h ^= h >> np.uint32(13)
    h *= np.uint32(3266489917)
    h ^= h >> np.uint32(16)
    return h / 2**32 * 2 - 1


def tensor_by_formula(key, shape, gain=1.0, onedim=1.0):
    u = uniform(key, int(np.prod(shape)))
    part = key.rsplit(".", 1)[-1]
    if part == "num_batches_tracked":
        return torch.zeros((), dtype=torch.int64)
    if key.endswith("down.weight"):
        return AntiAliasInterpolation(shape[0], {5: 0.5, 13: 0.25, 29: 0.125}[shape[-1]]).weight
    scales = {"running_mean": 0.1 * u, "running_var": 1 + 0.2 * u, "gamma": np.full_like(u, 0.5), "bias": 0.05 * u}
    if part in scales:
        values = scales[part]
    elif len(shape) <= 1:
        values = onedim + 0.1 * u
    else:
        values = gain * u * np.sqrt(6 / np.prod(shape[1:]))
    return torch.from_numpy(values.astype(np.float32).reshape(shape))


def spectral_pair(tensors, layer):
    """u and v of one spectrally normed layer."""
    matrix = tensors[f"{layer}.weight_orig"].flatten(1).double()
    v = torch.from_numpy(uniform(f"{layer}.weight_v", matrix.shape[1]))
    v = v / v.norm()
    u = matrix @ v
    return (u / u.norm()).float(), v.float()


@pytest.fixture(scope="session")
def tiny_dagan():
    """A generator of tiny width and the eyes that belong to it, at random, in fp32."""
    hourglass = HourglassSizes(4, 8, 2)
    sizes = DaganSizes(points=15, expansion=4, largest=16, residuals=1, motion=hourglass, keypoints=hourglass)
    torch.manual_seed(0)
    depth, generator = build_face_depth(18), build_generator(sizes)
    keypoints = build_keypoint_detector(sizes)
    torch.nn.init.normal_(keypoints.kp.weight, std=0.5)  # points that move with the picture
    torch.nn.init.ones_(generator.attention.gamma)
    for module in generator.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)  # as lively as trained ones
    setting = ExecutionConfig(torch.device("cpu"), torch.float32, "processor, fp32")
    return generator.eval(), RgbdDetector(depth.eval(), keypoints.eval(), setting)


@pytest.fixture(scope="session")
def tiny_conr():
    """All of CoNR at tiny width, at random, in fp32."""
    levels = (16, 16, 16, 16, 16)
    shader = ShaderSizes(
        target=(64, 32, 16, 8, 8), features=(256, 128, 64, 32, 8), messages=(*levels, 16), locals=(*levels, 0), width=8
    )
    torch.manual_seed(0)
    network = build_conr(ConrSizes(width=8, up_widths=(32, 16, 16, 8, 8), shader=shader))
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            torch.nn.init.kaiming_uniform_(module.weight)  # as lively as trained ones
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def listing():
    """``listing(name)``: shapes by key of a published state dict."""

    def read(name):
        lines = (line.split() for line in (KEYS / f"{name}.txt").read_text().splitlines())
        return {
            key: () if shape == "scalar" else tuple(int(side) for side in shape.split("x")) for key, shape, _ in lines
        }

    return read


@pytest.fixture(scope="session")
def published(listing):
    """``published(listing name, gain, onedim, wanted)``: that state dict by the formula, or those keys of it."""

    def fill(name, gain=1.0, onedim=1.0, wanted=lambda key: True):
        shapes = {key: shape for key, shape in listing(name).items() if wanted(key)}
        spectral = {key for key in shapes if key.endswith(("weight_u", "weight_v"))}
        tensors = {
            key: tensor_by_formula(key, shape, gain, onedim) for key, shape in shapes.items() if key not in spectral
        }
        for layer in {key.rsplit(".", 1)[0] for key in spectral}:
            tensors[f"{layer}.weight_u"], tensors[f"{layer}.weight_v"] = spectral_pair(tensors, layer)
        return tensors

    return fill
