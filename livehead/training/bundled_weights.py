"""The list of bundled weights, ``weights.json``, to which an export adds its line."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from livehead.storage import write_atomically

ASSETS = Path(__file__).parents[1] / "assets"
"""The package's own folder of weights."""


def register_weights(path: Path, assets: Path, name: str, summary: str) -> None:
    """Write the entry of the weights ``name`` in the file ``path`` into ``weights.json`` of the folder ``assets``."""
    listing = assets / "weights.json"
    entries = json.loads(listing.read_text(encoding="utf-8")) if listing.is_file() else {}
    entries[name] = {
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "licence": f"research and evaluation only, see {name}.card.md",
        "card": f"{name}.card.md",
        "summary": summary,
    }
    write_atomically(listing, json.dumps(entries, indent=1, sort_keys=True) + "\n")
