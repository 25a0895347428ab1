"""``livehead bench voice``: what it costs to be driven by a voice."""

from __future__ import annotations

import torch

from livehead.commands.av_offset import as_results, measure_voice
from livehead.commands.compose import listener
from livehead.commands.options import say
from livehead.commands.performer import ASTRONAUT, own_portrait
from livehead.config import RunSettings
from livehead.errors import DeviceError
from livehead.metrics.bench_voice import real_time_factor
from livehead.metrics.report import Json

SECONDS = 30.0


def bench_voice(settings: RunSettings) -> dict[str, Json]:
    """All figures, by the names that the report has them under; the live ones where PulseAudio is installed."""
    figures = driver_figures(settings)
    try:
        return figures | as_results(measure_voice(settings.model_copy(update={"driver": "voice"})))
    except DeviceError as error:
        say(f"nothing was measured live: {error}")
        return figures


def driver_figures(settings: RunSettings) -> dict[str, Json]:
    """``real_time_factor`` and ``estimate`` of the driver alone, on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return real_time_factor(listener(own_portrait(ASTRONAUT)), SECONDS, settings.stream.fps)
    finally:
        torch.set_num_threads(threads)
