"""The checkpoints that a person imported: kept in the user's data as safetensors, each with a JSON file that tells its
sha256, licence and origin, and never read without the sha256 being checked."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from livehead.environment import HOME_VARIABLE
from livehead.errors import WeightsChecksumError, WeightsError, WeightsMismatchError
from livehead.storage import OWNER_ONLY, remove_abandoned, replace_file, storage_folder, write_atomically
from livehead.untrusted_files import DamagedFileError, guard_parser, parse_json_object, read_untrusted
from livehead.weights.catalog import (
    UNSUPPORTED_NETWORKS,
    find_checkpoint_spec,
    find_part,
    find_specs_with,
    identify_network,
)
from livehead.weights.checkpoint import FoundStateDict, file_sha256, read_checkpoint
from livehead.weights.checkpoint_spec import CheckpointSpec
from livehead.weights.convert import load_official, official_names
from livehead.weights.safetensors_file import write_safetensors

if TYPE_CHECKING:
    from torch import Tensor, nn

    from livehead.models.quantize import ActivationRanges

log = logging.getLogger(__name__)


OWNER_TRAINED = "trained by its owner"
"""The source of a checkpoint that is not its authors' published one."""


@dataclass(frozen=True, slots=True)
class ImportedCheckpoint:
    """One imported checkpoint, as its JSON tells. ``networks``: official name by part; ``origin``: sha256 by file."""

    name: str
    sha256: str
    licence: str
    source: str
    networks: Mapping[str, str]
    origin: Mapping[str, str]
    imported: str


class CheckpointStore:
    """The checkpoints in ``folder``; by default ``$LIVEHEAD_HOME/weights``, else in the user's data."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or storage_folder("data", "weights")

    def list_names(self) -> list[str]:
        """List the names of all imported checkpoints, sorted."""
        return sorted(path.stem for path in self.folder.glob("*.json") if not path.name.startswith("."))

    def tensors_path(self, name: str) -> Path:
        """Return where the tensors of ``name`` lie."""
        return self.folder / f"{name}.safetensors"

    def read_record(self, name: str) -> ImportedCheckpoint:
        """What is known of ``name``. Raises: WeightsMissingError (how to get it), WeightsMismatchError, ConfigError."""
        path = self.folder / f"{name}.json"
        publication = find_checkpoint_spec(name)
        try:
            return read_untrusted(path, _parse_record)
        except FileNotFoundError as error:
            raise publication.missing_error("this") from error
        except (OSError, DamagedFileError) as error:
            raise WeightsMismatchError(
                f"{path} cannot be read ({error})", "import the weights again", subject=name
            ) from error

    def verify(self, name: str) -> ImportedCheckpoint:
        """``entry`` after its file was found to be what it was. Raises: WeightsError."""
        entry = self.read_record(name)
        path = self.tensors_path(name)
        if not path.is_file():
            raise WeightsChecksumError(f"{path} is gone", "import the weights again", subject=name)
        digest = file_sha256(path)
        if digest != entry.sha256:
            raise WeightsChecksumError(
                f"{path} is damaged: its sha256 begins with {digest[:12]}, not {entry.sha256[:12]}",
                "import the weights again",
                subject=name,
            )
        return entry

    def load(self, name: str, parts: Sequence[str]) -> dict[str, nn.Module]:
        """Networks by part, in evaluation mode. The file is checked first.

        Raises: WeightsMissingError with how to get it, WeightsChecksumError, WeightsMismatchError.
        """
        from safetensors import safe_open

        entry = self.verify(name)
        try:
            with guard_parser(), safe_open(self.tensors_path(name), framework="pt") as file:
                keys: list[str] = list(file.keys())
                return {
                    part: load_official(
                        entry.networks[part],
                        {k.removeprefix(f"{part}/"): file.get_tensor(k) for k in keys if k.startswith(f"{part}/")},
                    )
                    for part in parts
                }
        except DamagedFileError as error:
            raise WeightsMismatchError(
                f"{self.tensors_path(name)} lacks what {name} needs ({error})", "import the weights again", subject=name
            ) from error

    def save_ranges(self, model: str, checkpoints: Sequence[str], ranges: Mapping[str, ActivationRanges]) -> None:
        """Remember, by network, what ``model`` needs for int8; it was measured on the checkpoints named in ``of``.

        Raises: WeightsError.
        """
        document = {"weights": self._read_digests(checkpoints), "ranges": ranges}
        path = self._ranges_path(model)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, json.dumps(document, indent=1), mode=OWNER_ONLY)
        except OSError as error:
            remedy = f"free some space, or set {HOME_VARIABLE} to another folder"
            raise WeightsError(f"cannot write into {self.folder} ({error.strerror})", remedy, subject=model) from error

    def load_ranges(self, model: str, checkpoints: Sequence[str]) -> dict[str, ActivationRanges]:
        """Return what ``save_ranges`` was given for these very checkpoints; nothing where there is none."""
        try:
            digests, ranges = read_untrusted(self._ranges_path(model), _parse_ranges)
        except FileNotFoundError:
            return {}
        except (OSError, DamagedFileError) as error:
            log.warning("%s cannot be used (%s): import the weights again", self._ranges_path(model), error)
            return {}
        return ranges if digests == self._read_digests(checkpoints) else {}

    def _ranges_path(self, model: str) -> Path:
        return self.folder / "ranges" / f"{model}.json"

    def _read_digests(self, names: Sequence[str]) -> list[str]:
        return [self.read_record(name).sha256 for name in names]

    def import_files(self, name: str, files: Sequence[Path], licence: str | None = None) -> ImportedCheckpoint:
        """Read, check and keep the published ``files`` as ``name``, or others of that layout under their own
        ``licence``. Raises: WeightsError, ConfigError."""
        publication = find_checkpoint_spec(name)
        chosen = _match_parts(publication, files)
        tensors = {f"{part}/{key}": value for part, (_, each) in chosen.items() for key, value in each.items()}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            remove_abandoned(self.folder)
            with (
                replace_file(self.folder / f"{name}.json", mode=OWNER_ONLY) as about,  # only beside its tensors
                replace_file(self.tensors_path(name), mode=OWNER_ONLY) as partial,
            ):
                write_safetensors(tensors, partial, store_float16=publication.store_float16)
                entry = ImportedCheckpoint(
                    name=name,
                    sha256=file_sha256(partial),
                    licence=licence or publication.licence,
                    source=OWNER_TRAINED if licence else publication.source,
                    networks={part: network for part, (network, _) in chosen.items()},
                    origin={path.name: file_sha256(path) for path in files},
                    imported=datetime.now(UTC).isoformat(timespec="seconds"),
                )
                about.write_text(json.dumps(asdict(entry), indent=1), encoding="utf-8")
        except OSError as error:
            remedy = f"free some space, or set {HOME_VARIABLE} to another folder"
            raise WeightsError(f"cannot write into {self.folder} ({error.strerror})", remedy, subject=name) from error
        return entry


def _parse_record(content: bytes) -> ImportedCheckpoint:
    """Return the record that ``import_files`` wrote. Raises: any exception for what is none."""
    record = ImportedCheckpoint(**parse_json_object(content))
    texts = (record.name, record.sha256, record.licence, record.source, record.imported)
    pairs = (*dict(record.networks).items(), *dict(record.origin).items())
    if not all(isinstance(text, str) for text in (*texts, *(text for pair in pairs for text in pair))):
        raise TypeError("it holds values of another type")
    return record


def _parse_ranges(content: bytes) -> tuple[object, dict[str, ActivationRanges]]:
    """Return the digests and the ranges that ``save_ranges`` wrote. Raises: any exception for what is none."""
    document = parse_json_object(content)
    ranges = {
        network: {name: (float(low), float(high)) for name, (low, high) in spans.items()}
        for network, spans in document["ranges"].items()
    }
    return document["weights"], ranges


_MatchedNetworks = dict[str, tuple[str, dict[str, "Tensor"]]]


def _match_parts(publication: CheckpointSpec, files: Sequence[Path]) -> _MatchedNetworks:
    """Match parts by name: the network's official name and its tensors, every key and shape checked."""
    chosen: _MatchedNetworks = {}
    for path in files:
        for found in read_checkpoint(path):
            network = _recognise_network(path, found)
            if network is None:
                continue
            part = find_part(publication, network)
            if part is None:
                _raise_foreign_network(publication, path, network)
            elif part.name in chosen:
                raise WeightsMismatchError(f"{path} brings a second {part.name}", "name every file once")
            else:
                chosen[part.name] = (network, _check_tensors(path, network, found.tensors))
    lacking = [part.name for part in publication.parts if part.required and part.name not in chosen]
    if lacking:
        raise WeightsMismatchError(
            f"{', '.join(path.name for path in files)}: no {' and no '.join(lacking)} inside", publication.remedy
        )
    if publication.same_size:
        _check_same_size(publication, [network for network, _ in chosen.values()])
    return chosen


def _recognise_network(path: Path, found: FoundStateDict) -> str | None:
    """The network's official name; None for what belongs to no network (an optimiser). Raises: WeightsMismatchError."""
    network = identify_network(found.tensors)
    where = f"{path} ({found.entry})" if found.entry else str(path)
    if network is None:
        if "optim" in found.entry or "adam" in path.stem:
            return None
        raise WeightsMismatchError(f"{where} is none of the published networks", "name the published file")
    if network in UNSUPPORTED_NETWORKS:
        raise WeightsMismatchError(
            f"{where} {UNSUPPORTED_NETWORKS[network]}", "name the files of the published model itself"
        )
    if network not in official_names():
        raise WeightsMismatchError(
            f"{where} looks like {network}, which was never published", "name the published file"
        )
    return network


def _raise_foreign_network(publication: CheckpointSpec, path: Path, network: str) -> None:
    others = [name for name in find_specs_with(network) if name != publication.name]
    remedy = f"import it --as {others[0]}" if others else "name the published file"
    raise WeightsMismatchError(f"{path} holds {network}, which is no part of {publication.name}", remedy)


def _check_tensors(path: Path, network: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors to keep, unwrapped. Raises: WeightsMismatchError for any that is missing, foreign or no number."""
    plain = {key.removeprefix("module."): value for key, value in tensors.items()}
    try:
        load_official(network, {key: value.to("meta") for key, value in plain.items()})  # shapes alone, no second copy
    except WeightsMismatchError as error:
        raise WeightsMismatchError(f"{path}: {error.problem}", error.remedy, subject=str(path)) from error
    for key, value in plain.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise WeightsMismatchError(f"{path}: {key} holds values that are no numbers", "download it again")
    return plain


def _check_same_size(publication: CheckpointSpec, networks: Iterable[str]) -> None:
    counts = {network.rsplit("-", 1)[1] for network in networks}  # key points, or layers
    if len(counts) > 1:
        raise WeightsMismatchError(
            f"the networks are of different sizes ({' and '.join(sorted(counts))})",
            "name files that belong together",
            subject=publication.name,
        )
