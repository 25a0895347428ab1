"""The sink for a film, whatever its name asks for: MP4, WebM, MOV, numbered pictures or a single one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from livehead.codecs.film_formats import is_picture_output, is_picture_sequence
from livehead.sinks.file import DEFAULT_CRF, FileSink
from livehead.sinks.picture_sequence import PictureSequenceSink, list_pictures

_SIGNED_SUFFIXES = (".mp4", ".mov")


def open_film(
    path: Path,
    *,
    fps: float = 30.0,
    live: bool = False,
    audio_rate: int | None = None,
    audio_channels: int = 1,
    crf: int = DEFAULT_CRF,
    overwrite: bool = True,
    on_finished: Callable[[Path], None] = lambda path: None,
) -> FileSink | PictureSequenceSink:
    """Return the sink that writes a film to ``path``, to be entered.

    ``live``: pictures come from a camera, so that what was recorded can be found under its own name after a crash;
    otherwise the film appears at ``path`` once it is complete. ``on_finished`` gets films that can be signed.
    Other arguments are those of ``FileSink``. Raises: SinkError for a name that tells no film.
    """
    if is_picture_output(path):
        return PictureSequenceSink(path, fps=fps if live else None, overwrite=overwrite, whole=not live)
    signed = path.suffix.lower() in _SIGNED_SUFFIXES
    return FileSink(
        path,
        fps=fps,
        audio_rate=audio_rate,
        audio_channels=audio_channels,
        crf=crf,
        overwrite=overwrite,
        whole=not live,
        on_finished=on_finished if signed else lambda finished: None,
    )


def find_earlier_film(path: Path) -> Path | None:
    """Return a file that a film at ``path`` would replace; None where there is none."""
    if is_picture_sequence(path):
        return next(iter(list_pictures(path)), None)
    return path if path.is_file() else None
