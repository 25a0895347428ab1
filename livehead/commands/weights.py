"""``livehead weights``: which checkpoints there are, bringing in published ones, and whether all are whole."""

from __future__ import annotations

import argparse
from pathlib import Path

from livehead.assembly import conr
from livehead.assembly.dagan import CHECKPOINTS, DEPTH_CHECKPOINTS, calibrate_int8
from livehead.cli_options import print_status
from livehead.errors import WeightsError
from livehead.weights.bundled import bundled_weights
from livehead.weights.catalog import PUBLICATIONS
from livehead.weights.checkpoint_store import CheckpointStore
from livehead.weights.safetensors_file import read_weights


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="list|import|verify", required=True)
    actions.add_parser("list", help="what ships, what was imported, what can be")
    bring = actions.add_parser("import", help="check published files and keep them as safetensors")
    bring.add_argument("files", type=Path, nargs="+", metavar="FILE", help="as downloaded from their authors")
    bring.add_argument("--as", dest="name", required=True, choices=tuple(PUBLICATIONS), help="what they are")
    bring.add_argument(
        "--licence", metavar="TEXT", help="of weights that you trained yourself; the authors' own if absent"
    )
    verify = actions.add_parser("verify", help="check the sha256 of all, or of those named")
    verify.add_argument("names", nargs="*", metavar="NAME")


def main(args: argparse.Namespace) -> int:
    """Raises: WeightsError, ConfigError."""
    library = CheckpointStore()
    if args.action == "import":
        _import_checkpoint(library, args.name, args.files, args.licence)
    elif args.action == "verify":
        return _verify_checkpoints(library, args.names or [*bundled_weights(), *library.list_names()])
    else:
        _list_checkpoints(library)
    return 0


def _import_checkpoint(library: CheckpointStore, name: str, files: list[Path], licence: str | None) -> None:
    entry = library.import_files(name, files, licence)
    networks = ", ".join(entry.networks.values())
    print(f"{name}: {networks} kept in {library.tensors_path(name)}")
    print(f"licence: {entry.licence} ({entry.source})")
    for model, checkpoint in CHECKPOINTS.items():
        if name == checkpoint or name in DEPTH_CHECKPOINTS:
            calibrate_int8(model, print_status)
    if name == conr.CONR_CHECKPOINT:
        conr.calibrate_int8(print_status)


def _verify_checkpoints(library: CheckpointStore, wanted: list[str]) -> int:
    """0 when all are whole. Raises: the first error."""
    for name in wanted:
        if name in bundled_weights():
            read_weights(name)
        else:
            library.verify(name)
        print(f"{name}: whole")
    return 0


def _list_checkpoints(library: CheckpointStore) -> None:
    for name, weights in bundled_weights().items():
        print(f"{name}: ships with livehead: {weights.summary}. Licence: {weights.licence}.")
    for name, publication in PUBLICATIONS.items():
        if name not in library.list_names():
            print(f"{name}: not imported; {publication.remedy}")
            continue
        try:
            entry = library.read_record(name)
        except WeightsError as error:
            print(f"{name}: {error}")
        else:
            print(f"{name}: imported {entry.imported[:10]} from {', '.join(entry.origin)}. Licence: {entry.licence}.")
