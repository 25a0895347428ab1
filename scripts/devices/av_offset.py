"""Measure how far sound and picture are apart in the real pipeline; ``scripts/measure_av_offset.py`` starts it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from livehead.bench.av_sync import MODELS, VoiceLatencyFigures, as_results, measure_voice
from livehead.cli_options import add_picture_arguments, print_status, settings_from_args
from livehead.errors import LiveheadError
from livehead.reporting.report import TIMING_COLUMNS, JsonReport, format_table, write_json

OFFSET_COLUMNS = ("file", "live", "mic to photon by pixels")


def measure_av_offset(args: argparse.Namespace) -> None:
    """Measure, print the tables and write the JSON that was asked for."""
    settings = settings_from_args(args)
    models = MODELS if settings.model == "auto" else tuple(settings.model.split(","))
    report = JsonReport("av_offset", settings.model_dump(mode="json"))
    figures = measure_voice(settings, models, args.seconds)
    latencies = {model: found.microphone_to_photon for model, found in figures.items()}
    print(format_table(latencies, TIMING_COLUMNS, "mic to photon, ms"))
    offsets = {model: to_offset_row(found) for model, found in figures.items()}
    print(format_table(offsets, OFFSET_COLUMNS, "sound after picture, ms"))
    if args.json:
        write_json(report.finish(as_results(figures)), args.json)


def to_offset_row(figures: VoiceLatencyFigures) -> dict[str, float]:
    """The offsets in ms under the names of their columns."""
    offsets = (figures.file_offset.ms, figures.live_offset.ms, figures.latency_by_pixels_ms)
    return dict(zip(OFFSET_COLUMNS, offsets, strict=True))


def main() -> int:
    parser = argparse.ArgumentParser(prog="measure_av_offset", description=__doc__)
    parser.add_argument("--driver", default="voice", metavar="NAME", help="voice, or another driver that hears")
    parser.add_argument("--seconds", type=float, default=20.0, metavar="N", help="length of the test signal")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    add_picture_arguments(parser)
    try:
        measure_av_offset(parser.parse_args())
    except LiveheadError as error:
        print_status(f"measure_av_offset: {error}")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
