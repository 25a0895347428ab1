"""The live pipeline as ``livehead bench pipeline`` runs it: the synthetic performer and an avatar of the same photo."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import sys

from livehead.assembly.live_avatar import build_live_avatar, make_driver
from livehead.assembly.synthetic_performer import ASTRONAUT_PHOTO, JUMP_SHOTS, bundled_portrait, step_shots
from livehead.avatars.cache import AvatarCache
from livehead.bench.harness.virtual_camera_probe import BACKEND_NAME, VirtualCameraProbe, VirtualCameraProbeSink
from livehead.bench.latency import JumpSchedule
from livehead.bench.pipeline import PipelineFigures, PipelineRun, bench_pipeline
from livehead.bench.startup import measure_seconds_until
from livehead.capture.synthetic import SyntheticCapture
from livehead.config import RunSettings
from livehead.interfaces import Sink
from livehead.pipeline import Pipeline
from livehead.quality import QualityController, QualityLevel
from livehead.sinks.virtual_camera import VirtualCameraSink

log = logging.getLogger(__name__)


def measure_pipeline(settings: RunSettings, jumps: int, start_s: float | None = None) -> PipelineFigures:
    """Measure motion to photon with the synthetic performer; the avatar is made of the same photo.

    The pictures go through pyvirtualcam to the probe's backend; where it is not installed, they are converted alike.
    ``start_s`` is taken over into the results. Raises: DeviceError, ConfigError, WeightsError.
    """
    log.info("filming the synthetic performer")
    portrait = bundled_portrait(ASTRONAUT_PHOTO)
    shots = step_shots(portrait, settings.camera.size)
    fps = settings.stream.fps

    async def run_pipeline(schedule: JumpSchedule, probe: VirtualCameraProbe) -> PipelineRun:
        driver = make_driver("auto", [portrait], settings.model, settings.precision)
        live_avatar = build_live_avatar(settings, [portrait], driver, AvatarCache())
        capture = SyntheticCapture(shots, fps=settings.camera.fps, schedule=schedule)
        sink: Sink = VirtualCameraProbeSink(probe)
        if importlib.util.find_spec("pyvirtualcam"):
            probe.register()
            sink = VirtualCameraSink(size=settings.stream.size, fps=fps, backend=BACKEND_NAME)
        controller = QualityController(
            QualityLevel(settings.render_size, 1, fps), settings.budget.frame_ms or 1000 / fps
        )
        live_avatar.warm_up(controller.levels)
        pipeline = Pipeline.from_animator(capture, live_avatar.animator, [sink], fps=fps, quality_controller=controller)
        await pipeline.run()
        return PipelineRun(capture.start_ns, capture.skipped, pipeline.stats)

    return asyncio.run(
        bench_pipeline(run_pipeline, shots=JUMP_SHOTS, fps=settings.camera.fps, jumps=jumps, start_s=start_s)
    )


def measure_start_up(settings: RunSettings) -> float:
    """Seconds from starting ``livehead run`` in a process of its own until it reports its first frame.

    Raises: DeviceError when no frame comes.
    """
    log.info("measuring the start of livehead run")
    command = [sys.executable, "-m", "livehead", "run", "--avatar", str(ASTRONAUT_PHOTO)]
    command += ["--capture", f"file:{ASTRONAUT_PHOTO}", "--sink", "null"]
    command += ["--model", settings.model, "--render-size", str(settings.render_size)]
    return round(measure_seconds_until(command, "first frame"), 3)
