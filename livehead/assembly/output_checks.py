"""What is checked of all outputs of a command before anything is opened: no user's file may be lost.

Nothing here imports a network's library, so that wrong input is answered at once.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from livehead.assembly.model_factories import PLAY_ONCE
from livehead.codecs.film_formats import check_film_name, is_picture_sequence, picture_pattern, takes_alpha
from livehead.compositing.background import NONE
from livehead.errors import ConfigError, SinkError
from livehead.registry import find_sink
from livehead.storage import is_stream
from livehead.unfinished_files import is_same_file, list_files_below

MOTION_KIND = "motion"
"""The word of a driver that plays a file, and what stands before the file where it is played once."""
FILE_KIND = "file"
"""The word before the colon of a capture, microphone or sink that is a file."""


def check_outputs(outputs: Iterable[Path | None], inputs: Iterable[Path | None]) -> None:
    """Check that no output is a file that is read, nor the same file as another output.

    Files are compared by what they are, not by their names (``is_same_file``). An input that is a folder stands for all
    files in it. None is skipped. Raises: ConfigError.
    """
    wanted = [path for given in outputs if given is not None for path in _written_files(given)]
    given = [path for path in inputs if path is not None]
    for number, path in enumerate(wanted):
        if any(is_same_file(path, other) for other in wanted[:number]):
            raise ConfigError(f"{path} is named for two outputs", "give each a name of its own", subject=str(path))
        if any(_is_among(path, other) for other in given):
            raise ConfigError(
                f"{path} is read and cannot be written too", "give the result another name", subject=str(path)
            )


def check_film_output(path: Path, *, single_picture: bool = True) -> None:
    """Check that a film can be written to ``path``: its ending, and its folder.

    ``single_picture`` False: more than one picture comes. Raises: SinkError.
    """
    check_film_name(path, single_picture=single_picture)
    folder = picture_pattern(path).absolute().parent if is_picture_sequence(path) else path.absolute().parent
    if is_picture_sequence(path) and not folder.exists():
        folder = folder.parent  # the folder of a sequence is made
    if not folder.is_dir():
        problem = f"cannot write {path}: its folder is missing"
        raise SinkError(problem, f"mkdir -p {folder}", subject=str(path))


def check_overwriting(paths: Iterable[Path], *, overwrite: bool) -> None:
    """Check that no recording would replace a file, unless ``overwrite``. Raises: SinkError with the remedy."""
    from livehead.sinks.film import find_earlier_film

    for path in paths:
        earlier = None if overwrite or is_stream(path) and not path.is_dir() else find_earlier_film(path)
        if earlier is not None:
            remedy = "give --overwrite to replace it, or another name"
            raise SinkError(f"{earlier} exists already", remedy, subject=str(path))


def check_transparency(background: str, sinks: Sequence[str]) -> None:
    """Check that one of the ``sinks`` shows pictures without a background, if these are asked for.

    Raises: ConfigError.
    """
    if background != NONE:
        return
    for spec in sinks:
        name, _, argument = spec.partition(":")
        if find_sink(name).takes_alpha(argument):
            return
    raise no_transparency_error("none of the sinks can show")


def check_film_transparency(background: str, path: Path) -> None:
    """Check that a film at ``path`` can be without a background, if that is asked for. Raises: ConfigError."""
    if background == NONE and not takes_alpha(path):
        raise no_transparency_error(f"a film that ends in {path.suffix or path.name} cannot have")


def no_transparency_error(what: str) -> ConfigError:
    """Return the error for pictures without a background; ``what`` says with its verb what cannot show them."""
    return ConfigError(
        f"{what} pictures without a background",
        "write to OUT.webm, OUT.mov or frames/%05d.png, or use livehead serve; or give a colour, as --background "
        "'#00ff00', and key it out (docs/obs.md)",
    )


def file_of_spec(spec: str | None, kind: str = FILE_KIND) -> Path | None:
    """Return the file that a spec such as ``file:talk.mp4`` names; None for anything else."""
    name, _, argument = (spec or "").partition(":")
    argument = argument.removeprefix(PLAY_ONCE) if kind == MOTION_KIND else argument
    return Path(argument) if name == kind and argument and "://" not in argument else None


def file_of_background(background: str) -> Path | None:
    """Return the image that a background's word names; None for a colour and the like."""
    return Path(background) if os.path.sep in background or Path(background).is_file() else None


def _written_files(output: Path) -> list[Path]:
    """Return the files that an output stands for: a sequence's earlier pictures beside its own name."""
    from livehead.sinks.picture_sequence import list_pictures

    return [output, *list_pictures(output)] if is_picture_sequence(output) else [output]


def _is_among(output: Path, given: Path) -> bool:
    if not given.is_dir():
        return is_same_file(output, given)
    return output.exists() and any(is_same_file(output, file) for file in list_files_below(given))
