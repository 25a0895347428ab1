"""A long call of ``livehead serve`` with a real Chromium: ``bench webrtc --soak MINUTES`` and ``scripts/soak.py``."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

from livehead.assembly.live_avatar import FALLBACK_MODEL
from livehead.bench.soak_windows import SoakWindow, assess_soak, run_soak
from livehead.bench.vowel_bursts import synthesize_vowel_bursts, write_wav
from livehead.bench.webrtc import TEST_SOUND_S, run_server, write_time_code_video
from livehead.config import RunSettings
from livehead.reporting.plot import plot_soak
from livehead.reporting.report import Json

log = logging.getLogger(__name__)


def measure_soak(settings: RunSettings, minutes: float, plot: Path | None) -> dict[str, Json]:
    """Measure a call of ``minutes``; the model is ``warp`` unless the settings name one. Raises: DeviceError."""
    model = FALLBACK_MODEL if settings.model == "auto" else settings.model
    windows: list[SoakWindow] = []

    def on_window(window: SoakWindow) -> None:
        windows.append(window)
        log.info(
            "%6.2f min: picture %s ms, sound %s ms after it, %s fps, %s MB, %s threads",
            *(window.at_s / 60, window.picture_ms, window.offset_ms, window.fps, window.resident_mb, window.threads),
        )

    with tempfile.TemporaryDirectory(prefix="livehead-soak-") as folder:
        camera, sound = Path(folder, "camera.mjpeg"), Path(folder, "sound.wav")
        write_time_code_video(camera)
        write_wav(sound, synthesize_vowel_bursts(TEST_SOUND_S))
        arguments = ("--model", model, "--render-size", str(settings.render_size), "--time-code")
        with run_server(*arguments) as server:
            run_soak(server.url, server.pid, camera, sound, minutes * 60, on_window)
    results = assess_soak(windows)
    if plot:
        plot_soak(windows, plot, f"{model}, {results['minutes']} minutes")
    return results
