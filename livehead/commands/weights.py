"""``livehead weights``: lists checkpoints, imports published ones, and checks whether all are whole."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence
from pathlib import Path

from livehead.assembly import conr
from livehead.assembly.dagan import CHECKPOINTS, DEPTH_CHECKPOINTS, calibrate_int8
from livehead.cli_options import print_status
from livehead.errors import WeightsError
from livehead.weights.bundled import bundled_weights
from livehead.weights.catalog import PUBLICATIONS
from livehead.weights.checkpoint_store import CheckpointStore
from livehead.weights.safetensors_file import read_weights

_LICENCE_COLUMN, _LICENCE_WIDTH = 2, 36


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="list|import|verify", required=True)
    actions.add_parser("list", help="show what ships, what was imported and what can be imported")
    importing = actions.add_parser("import", help="check published files and keep them as safetensors")
    importing.add_argument(
        "files", type=Path, nargs="+", metavar="FILE", help="checkpoint files as downloaded from their authors"
    )
    importing.add_argument(
        "--as", dest="name", required=True, choices=tuple(PUBLICATIONS), help="which published networks the files hold"
    )
    importing.add_argument(
        "--licence",
        metavar="TEXT",
        help="licence of weights that you trained yourself; without it the authors' own is kept",
    )
    verify = actions.add_parser("verify", help="check the sha256 of all checkpoints, or of those named")
    verify.add_argument("names", nargs="*", metavar="NAME", help="checkpoints to check; all if none is named")


def main(args: argparse.Namespace) -> int:
    """List, import or verify checkpoints. Raises: WeightsError, ConfigError."""
    store = CheckpointStore()
    if args.action == "import":
        _import_checkpoint(store, args.name, args.files, args.licence)
    elif args.action == "verify":
        return _verify_checkpoints(store, args.names or [*bundled_weights(), *store.list_names()])
    else:
        _list_checkpoints(store)
    return 0


def _import_checkpoint(store: CheckpointStore, name: str, files: list[Path], licence: str | None) -> None:
    entry = store.import_files(name, files, licence)
    networks = ", ".join(entry.networks.values())
    print(f"{name}: {networks} kept in {store.tensors_path(name)}")
    print(f"licence: {entry.licence} ({entry.source})")
    for model, checkpoint in CHECKPOINTS.items():
        if name == checkpoint or name in DEPTH_CHECKPOINTS:
            calibrate_int8(model, print_status)
    if name == conr.CONR_CHECKPOINT:
        conr.calibrate_int8(print_status)


def _verify_checkpoints(store: CheckpointStore, wanted: list[str]) -> int:
    """0 when all are whole. Raises: the first error."""
    for name in wanted:
        if name in bundled_weights():
            read_weights(name)
        else:
            store.verify(name)
        print(f"{name}: whole")
    return 0


def _list_checkpoints(store: CheckpointStore) -> None:
    """Print a table of all checkpoints, and below it where the files of those come from that are not there."""
    rows = [(name, "ships", weights.licence, "") for name, weights in bundled_weights().items()]
    sources: dict[str, list[str]] = {}
    for name, publication in PUBLICATIONS.items():
        if name in store.list_names():
            rows.append((name, *_describe_import(store, name)))
            continue
        rows.append((name, "not imported", publication.licence, publication.import_command))
        sources.setdefault(publication.source, []).append(name)
    print(_format_table(("name", "state", "licence", "command"), rows))
    if sources:
        print("\nDownload the files that a command names from their authors:")
    for source, names in sources.items():
        print(f"  {source}  ({', '.join(names)})")


def _describe_import(store: CheckpointStore, name: str) -> tuple[str, str, str]:
    """State, licence and command of a checkpoint that was imported."""
    try:
        entry = store.read_record(name)
    except WeightsError:
        return "damaged", PUBLICATIONS[name].licence, PUBLICATIONS[name].import_command
    return f"imported {entry.imported[:10]}", entry.licence, f"livehead weights verify {name}"


def _format_table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Return aligned columns; a long licence goes on in the next line, and the last column is never broken."""
    lines = []
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    widths[_LICENCE_COLUMN] = min(widths[_LICENCE_COLUMN], _LICENCE_WIDTH)
    for row in (head, *rows):
        licence, *rest = textwrap.wrap(row[_LICENCE_COLUMN], _LICENCE_WIDTH) or [""]
        cells = [*row[:_LICENCE_COLUMN], licence, *row[_LICENCE_COLUMN + 1 :]]
        lines.append("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())
        indent = sum(widths[:_LICENCE_COLUMN]) + 2 * _LICENCE_COLUMN
        lines += [" " * indent + part for part in rest]
    return "\n".join(lines)
