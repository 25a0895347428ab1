"""``livehead bench pose``: the published network at its own width, its decoder, and the body driver."""

from __future__ import annotations

import logging
import time
from fractions import Fraction
from typing import TYPE_CHECKING

from livehead.assembly.pose_models import calibrate_int8
from livehead.assembly.synthetic_performer import ASTRONAUT_PHOTO, bundled_portrait, render_driving
from livehead.bench.pose_timing import bench_decoder, bench_network
from livehead.bench.timing import time_paced_frames
from livehead.config import RunSettings
from livehead.frames import VideoFrame
from livehead.interfaces import DriverInputs
from livehead.motion.face.face_rig import FaceRig, build_demo_timeline
from livehead.perception.photo import read_photo
from livehead.reporting.report import Json
from livehead.stats import summarize_ms
from livehead.threads import set_network_threads
from livehead.weights.checkpoint_store import CheckpointStore

if TYPE_CHECKING:
    from torch import nn

    from livehead.models.engine import ExecutionConfig
    from livehead.models.quantize import ActivationRanges

log = logging.getLogger(__name__)

BODY_NETWORK = "openpose-body25"
INPUT_SIDE = 368
"""Width and height of the network's input in pixels."""

_CLIP_FRAMES = 60  # pictures that are drawn ahead
_DRIVER_FRAMES, _WARM_UP_FRAMES = 180, 15  # pictures that the driver looks at, and how many of them are not counted
_SEED = 0


def measure_pose(settings: RunSettings, rounds: int) -> dict[str, Json]:
    """Figures of ``network``, ``decoder``, ``decoder_by_people`` and ``driver``, the keys of ``bench pose``'s JSON.

    The decoder is timed ``rounds`` times, the network a tenth of that.
    """
    log.info("timing the decoder")
    decoder, by_people = bench_decoder(rounds)
    log.info("timing the network")
    network = _bench_body_network(max(rounds // 10, 3))
    return {
        "network": network,
        "decoder": decoder,
        "decoder_by_people": by_people,
        "driver": _bench_body_driver(settings),  # at the pace of a camera
    }


def _bench_body_network(rounds: int) -> dict[str, Json]:
    """Time BODY_25 at 368 x 368 with imported weights, or with random ones, which take as long."""
    import torch

    from livehead.models.engine import choose_execution_config, faster_precisions
    from livehead.models.openpose.network_input import fit_image

    store = CheckpointStore()
    imported = BODY_NETWORK in store.list_names()
    network = store.load(BODY_NETWORK, ["network"])["network"] if imported else _random_network()
    set_network_threads()
    settings: dict[str, tuple[ExecutionConfig, ActivationRanges | None]] = {
        "fp32": (choose_execution_config("fp32"), None)
    }
    if "bf16" in faster_precisions():
        settings["bf16"] = (choose_execution_config("bf16"), None)
    if "int8" in faster_precisions():
        settings["int8"] = (choose_execution_config("int8"), calibrate_int8(network))
    picture = torch.from_numpy(fit_image(read_photo(ASTRONAUT_PHOTO), (INPUT_SIDE, INPUT_SIDE)).pixels)[None]
    return {**bench_network(network, settings, picture, rounds), "weights": BODY_NETWORK if imported else "random"}


def _random_network() -> nn.Module:
    """BODY_25 with random weights under which signals keep their size from layer to layer, as in a trained one."""
    import torch

    from livehead.models.openpose.build import build_dense_network

    torch.manual_seed(_SEED)
    network = build_dense_network().eval().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    return network


def _bench_body_driver(settings: RunSettings) -> dict[str, Json]:
    """Time the body driver at the camera's rate on pictures of the synthetic performer."""
    from livehead.drivers.body import BodyDriver

    portrait = bundled_portrait(ASTRONAUT_PHOTO)
    rig, timeline = FaceRig(portrait.motion), build_demo_timeline()
    moments = [timeline.duration_s * number / _CLIP_FRAMES for number in range(_CLIP_FRAMES)]
    scenes = render_driving(
        portrait, settings.camera.size, [rig.pose_face(timeline.controls_at(moment), 0) for moment in moments]
    )
    fps = settings.camera.fps
    driver = BodyDriver()
    seen = 0

    def estimate_frame(number: int) -> None:
        nonlocal seen
        moment_ns = round(number * 1e9 / fps)
        frame = VideoFrame(scenes[number % _CLIP_FRAMES], number, Fraction(1, round(fps)), moment_ns)
        seen += driver.estimate(DriverInputs(frame, None, moment_ns)).seen

    try:
        samples = time_paced_frames(estimate_frame, _DRIVER_FRAMES, fps, time.sleep)
    finally:
        driver.close()
    return {**summarize_ms(samples[_WARM_UP_FRAMES:]), "fps": fps, "seen_share": round(seen / _DRIVER_FRAMES, 4)}
