"""A long call of ``livehead serve`` with a real Chromium: ``bench webrtc --soak MINUTES`` and ``scripts/soak.py``."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import cast

from livehead.assembly.live_avatar import FALLBACK_MODEL
from livehead.bench.soak_windows import SoakWindow, assess_soak, run_soak
from livehead.bench.vowel_bursts import synthesize_vowel_bursts, write_wav
from livehead.bench.webrtc import TEST_SOUND_S, run_server, write_time_code_video
from livehead.cli_options import print_status
from livehead.config import RunSettings
from livehead.reporting.plot import plot_soak
from livehead.reporting.report import Json, format_table


def measure_soak(settings: RunSettings, minutes: float, plot: Path | None) -> dict[str, Json]:
    """Figures of a call of ``minutes``; ``warp`` draws unless the settings name a model. Raises: DeviceError."""
    model = FALLBACK_MODEL if settings.model == "auto" else settings.model
    windows: list[SoakWindow] = []

    def on_window(window: SoakWindow) -> None:
        windows.append(window)
        print_status(
            f"{window.at_s / 60:6.2f} min: picture {window.picture_ms} ms, sound {window.offset_ms} ms after it, "
            f"{window.fps} fps, {window.resident_mb} MB, {window.threads} threads"
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


def format_results(results: dict[str, Json]) -> str:
    """As a table."""
    columns = ("memory_mb", "offset_ms", "picture_ms")
    rows = {name: cast("dict[str, float]", results[name]) for name in ("change", "limits", "holds")}
    return format_table(rows, columns, f"{results['minutes']} minutes")
