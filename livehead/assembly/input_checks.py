"""What can be said about a command's input before a photo is prepared, a network loaded or a device opened.

Nothing here imports a network's library, so that wrong input is answered at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from livehead.assembly.live_avatar import DEFAULT_MODEL
from livehead.assembly.output_checks import check_outputs
from livehead.errors import CaptureError, SinkError
from livehead.registry import find_renderer


def resolve_model_name(model: str) -> str:
    """The name of a renderer that draws faces, for ``auto`` the default one's."""
    return DEFAULT_MODEL if model == "auto" else model


def check_model(model: str, precision: str = "auto") -> None:
    """Look whether a renderer is known, imported and able to compute in ``precision``.

    Raises: ConfigError, WeightsError.
    """
    find_renderer(resolve_model_name(model)).check(precision)


def check_input_file(path: Path, remedy: str = "check the path") -> None:
    """Look whether a file can be read. Raises: CaptureError."""
    if not path.exists():
        raise CaptureError(f"{path} does not exist", remedy, subject=str(path))
    if path.is_dir():
        raise CaptureError(f"{path} is a folder", "give the path of a file", subject=str(path))


def check_output_file(path: Path, suffixes: Sequence[str] = (), inputs: Iterable[Path | None] = ()) -> None:
    """Look whether a result can be written to ``path``: its ending, its folder, and that it is none of ``inputs``.

    Files are compared by what they are (``output_checks.check_outputs``). ``suffixes``: the endings that the result may
    have, any if empty. Raises: SinkError, ConfigError.
    """
    if suffixes and path.suffix.lower() not in suffixes:
        endings = " or ".join(suffixes)
        raise SinkError(f"cannot write to {path}", f"give a name that ends in {endings}", subject=str(path))
    if path.is_dir():
        raise SinkError(f"{path} is a folder", "give the name of a file", subject=str(path))
    folder = path.absolute().parent
    if not folder.is_dir():
        raise SinkError(f"cannot write {path}: there is no folder {folder}", "create it first", subject=str(path))
    check_outputs((path,), inputs)
