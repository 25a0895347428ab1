"""The recipes that ship are found from any folder, and one of the current folder goes before them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from livehead.cli import main
from livehead.errors import ConfigError
from livehead.training.recipe import find_recipe


@pytest.mark.parametrize("model", ["compact", "depth", "dagan", "voice"])
def test_a_recipe_is_found_from_anywhere(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_recipe(model).name == f"{model}.toml"
    own = tmp_path / "configs" / "train" / f"{model}.toml"
    own.parent.mkdir(parents=True)
    own.write_text("seed = 1")
    assert find_recipe(model).resolve() == own


def test_a_model_without_a_recipe_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="--config"):
        find_recipe("nobody-s")


def test_training_looks_for_its_data_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", "compact", "--data", str(tmp_path)]) == 2
    assert "is not a training cache" in capsys.readouterr().err


def test_an_installation_without_a_checkout_brings_its_recipes(tmp_path: Path) -> None:
    """The wheel's data files lie under ``share``, and the metadata of the installation says where."""
    package = tmp_path / "site"
    info = package / "livehead-9.dist-info"
    recipe = package / "share" / "livehead" / "train" / "compact.toml"
    (package / "livehead").mkdir(parents=True)
    recipe.parent.mkdir(parents=True)
    recipe.write_text("seed = 1")
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: livehead\nVersion: 9\n")
    (info / "RECORD").write_text("share/livehead/train/compact.toml,,\n")
    source = Path(sys.modules["livehead"].__file__ or "").parent
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import livehead; livehead.__file__ = sys.argv[2];"
        "from livehead.training.recipe import find_recipe; print(find_recipe('compact'))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, str(package), str(package / "livehead" / "__init__.py")],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(source.parent)},
    )
    assert Path(run.stdout.strip()) == recipe
