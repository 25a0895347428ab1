"""``livehead bench pose``: the published network at its own width, its decoder, and the body driver."""

from __future__ import annotations

import time
from fractions import Fraction
from typing import TYPE_CHECKING

from livehead.commands.people import own_ranges
from livehead.commands.performer import ASTRONAUT, own_portrait, performer
from livehead.config import RunSettings
from livehead.frames import VideoFrame
from livehead.interfaces import Inputs
from livehead.metrics.bench_pose import bench_decoder, bench_network, time_frames
from livehead.metrics.report import Json
from livehead.motion.performance import Puppet, sample_performance
from livehead.perception.photo import read_photo
from livehead.stats import processor, summary
from livehead.weights.library import Library

if TYPE_CHECKING:
    from torch import nn

    from livehead.models.engine import Setting
    from livehead.models.quantize import Ranges

BODY = "openpose-body25"
SIDE = 368
"""Of the network's input."""

_FILM, _DRIVEN, _WARM_UP = 60, 180, 15  # pictures made ahead, pictures that the driver looks at, those not counted
_SEED = 0


def measure_pose(settings: RunSettings, rounds: int) -> dict[str, Json]:
    """``network``, ``decoder``, ``decoder_by_people``, ``driver``. ``rounds``: the decoder's; the network has fewer."""
    decoder, by_people = bench_decoder(rounds)
    network = _network(max(rounds // 10, 3))
    return {"network": network, "decoder": decoder, "decoder_by_people": by_people, "driver": _driver(settings)}


def _network(rounds: int) -> dict[str, Json]:
    """BODY_25 at 368 x 368: imported weights, or random ones, which take as long."""
    import torch

    from livehead.models.engine import choose_setting, quicker_precisions
    from livehead.models.openpose.picture import fit_picture

    library = Library()
    imported = BODY in library.names()
    network = library.load(BODY, ["network"])["network"] if imported else _random_network()
    torch.set_num_threads(processor()[1])
    settings: dict[str, tuple[Setting, Ranges | None]] = {"fp32": (choose_setting("fp32"), None)}
    if "bf16" in quicker_precisions():
        settings["bf16"] = (choose_setting("bf16"), None)
    if "int8" in quicker_precisions():
        settings["int8"] = (choose_setting("int8"), own_ranges(network))
    picture = torch.from_numpy(fit_picture(read_photo(ASTRONAUT), (SIDE, SIDE)).pixels)[None]
    return {**bench_network(network, settings, picture, rounds), "weights": BODY if imported else "random"}


def _random_network() -> nn.Module:
    """BODY_25 as lively as a trained one: signals keep their size from layer to layer."""
    import torch

    from livehead.models.openpose.build import build_dense

    torch.manual_seed(_SEED)
    network = build_dense().eval().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    return network


def _driver(settings: RunSettings) -> dict[str, Json]:
    """The body driver at the camera's rate, on pictures of the synthetic performer."""
    from livehead.drivers.body import BodyDriver

    portrait = own_portrait(ASTRONAUT)
    puppet, script = Puppet(portrait.motion), sample_performance()
    moments = [script.duration_s * number / _FILM for number in range(_FILM)]
    scenes = performer(portrait, settings.camera.size, [puppet(script.at(moment), 0) for moment in moments])
    fps = settings.camera.fps
    driver = BodyDriver()
    seen = 0

    def look(number: int) -> None:
        nonlocal seen
        moment_ns = round(number * 1e9 / fps)
        frame = VideoFrame(scenes[number % _FILM], number, Fraction(1, round(fps)), moment_ns)
        seen += driver.estimate(Inputs(frame, None, moment_ns)).seen

    try:
        samples = time_frames(look, _DRIVEN, fps, time.sleep)
    finally:
        driver.close()
    return {**summary(samples[_WARM_UP:]), "fps": fps, "seen_share": round(seen / _DRIVEN, 4)}
