"""Everything of a live run that can be checked before a photo is prepared, a network loaded or a device opened."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from livehead.assembly.conr import require_face_model, require_photo
from livehead.assembly.input_checks import resolve_model_name
from livehead.assembly.live_avatar import resolve_driver_name
from livehead.assembly.media_endpoints import check_capture, check_microphone, check_sink, check_sound_output
from livehead.assembly.output_checks import (
    MOTION_KIND,
    check_outputs,
    check_overwriting,
    check_transparency,
    file_of_background,
    file_of_spec,
)
from livehead.compositing.background import check_background
from livehead.config import RunSettings
from livehead.errors import ConfigError
from livehead.perception.avatar_photo import check_avatar_photo
from livehead.registry import DriverFactory, find_driver, find_renderer


def check_live_settings(settings: RunSettings) -> DriverFactory:
    """Look at every spec of ``settings`` without opening anything; gives the driver's capabilities.

    Raises: ConfigError, CaptureError, SinkError, WeightsError.
    """
    name, _, argument = resolve_driver_name(settings.driver, settings.model, settings.precision).partition(":")
    driver = find_driver(name)
    driver.check(argument)
    require_face_model(settings.model)
    renderer = find_renderer(resolve_model_name(settings.model))
    renderer.check(settings.precision)
    if driver.motion_set and renderer.motion_sets and driver.motion_set not in renderer.motion_sets:
        taken = ", ".join(sorted(renderer.motion_sets))
        raise ConfigError(
            f"the driver gives {driver.motion_set} and the renderer takes {taken}",
            "choose a driver and a model that share a set of points",
        )
    for sink in settings.sinks:
        check_sink(sink)
    check_background(settings.picture.background, allow_transparent=True)
    check_transparency(settings.picture.background, settings.sinks)
    if settings.sound_out and not settings.microphone and not driver.needs_audio:
        raise ConfigError("there is no sound to pass on", "name a microphone with --microphone")
    if driver.needs_camera:
        check_capture(settings.capture)
    if settings.microphone:
        check_microphone(settings.microphone)
    if settings.sound_out:
        check_sound_output(settings.sound_out)
    return driver


def check_run_files(
    settings: RunSettings,
    photos: Sequence[Path],
    *,
    record_motion: Path | None,
    others: Sequence[Path | None] = (),
    inputs: Sequence[Path | None] = (),
) -> None:
    """Look whether a run would write to a file that it reads, to one file twice, or over an earlier recording.

    ``others`` are further outputs, which may replace earlier ones; ``inputs`` further files that are read.
    Raises: ConfigError, SinkError.
    """
    recordings = [path for path in (*map(file_of_spec, settings.sinks), record_motion) if path is not None]
    read = [
        *photos,
        *inputs,
        file_of_spec(settings.capture),
        file_of_spec(settings.microphone),
        file_of_spec(settings.driver, MOTION_KIND),
        file_of_background(settings.picture.background),
    ]
    check_outputs([*recordings, *others], read)
    check_overwriting(recordings, overwrite=settings.stream.overwrite)


def suggest_offline(settings: RunSettings) -> str:
    """Say how a film is made of a film without losing frames, where that is all that a run does; else nothing."""
    recordings = [file_of_spec(sink) for sink in settings.sinks]
    driving, out = file_of_spec(settings.capture), recordings[0] if recordings else None
    if driving is None or out is None or None in recordings or not _needs_camera(settings):
        return ""
    return (
        "this is live: it takes as long as the video, and frames that come too late are left out; "
        f"livehead animate --driving {driving} --out {out} draws every frame"
    )


def check_photos(paths: Sequence[Path]) -> None:
    """Look whether the photos are there. Raises: ConfigError when there is none, SourceError."""
    if not paths:
        raise ConfigError("there is no avatar", "name a photo with --avatar")
    for path in paths:
        require_photo(path)
        check_avatar_photo(path)


def _needs_camera(settings: RunSettings) -> bool:
    """Tell whether the run's driver looks at the capture. Raises: ConfigError for an unknown driver."""
    name = resolve_driver_name(settings.driver, settings.model, settings.precision).partition(":")[0]
    return find_driver(name).needs_camera
