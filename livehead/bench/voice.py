"""``livehead bench voice``: what it costs to be driven by a voice."""

from __future__ import annotations

import logging

from livehead.assembly.model_factories import create_voice_driver
from livehead.assembly.synthetic_performer import ASTRONAUT_PHOTO, bundled_portrait
from livehead.bench.av_sync import as_results, measure_voice
from livehead.bench.voice_timing import measure_real_time_factor
from livehead.config import RunSettings
from livehead.errors import DeviceError
from livehead.reporting.report import Json
from livehead.threads import keep_network_threads

SOUND_SECONDS = 30.0

log = logging.getLogger(__name__)


def bench_voice(settings: RunSettings) -> dict[str, Json]:
    """All figures of ``bench voice``'s JSON; those of the live pipeline only where PulseAudio is installed."""
    figures = measure_driver(settings)
    try:
        return figures | as_results(measure_voice(settings.model_copy(update={"driver": "voice"})))
    except DeviceError as error:
        log.warning("nothing was measured live: %s", error)
        return figures


def measure_driver(settings: RunSettings) -> dict[str, Json]:
    """Measure ``real_time_factor`` and ``estimate`` of the driver alone, on one thread."""
    log.info("timing the driver on %.0f s of sound", SOUND_SECONDS)
    with keep_network_threads(1):
        return measure_real_time_factor(
            create_voice_driver(bundled_portrait(ASTRONAUT_PHOTO)), SOUND_SECONDS, settings.stream.fps
        )
