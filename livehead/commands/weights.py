"""``livehead weights``: lists checkpoints, imports published ones, and checks whether all are whole."""

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
    for name, weights in bundled_weights().items():
        print(f"{name}: ships with livehead: {weights.summary}. Licence: {weights.licence}.")
    for name, publication in PUBLICATIONS.items():
        if name not in store.list_names():
            print(f"{name}: not imported; {publication.remedy}")
            continue
        try:
            entry = store.read_record(name)
        except WeightsError as error:
            print(f"{name}: {error}")
        else:
            print(f"{name}: imported {entry.imported[:10]} from {', '.join(entry.origin)}. Licence: {entry.licence}.")
