"""What int8 needs to know of imported CoNR networks; tiny ones stand in their place."""

import pytest

from livehead.assembly import conr as command
from livehead.environment import HOME_VARIABLE
from livehead.errors import ConfigError
from livehead.renderers.conr import ConrRenderer
from livehead.weights.checkpoint_store import CheckpointStore, ImportedCheckpoint


@pytest.fixture
def imported(monkeypatch, tmp_path, tiny_conr):
    """As if the checkpoint had been imported."""
    pytest.importorskip("openvino", reason="the extra fast-cpu is not installed")
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    entry = ImportedCheckpoint("conr", "0123", "", "", {}, {}, "")
    monkeypatch.setattr(CheckpointStore, "list_names", lambda self: ["conr"])
    monkeypatch.setattr(CheckpointStore, "read_record", lambda self, name: entry)
    monkeypatch.setattr(command, "load_conr", lambda: tiny_conr)


def made(precision):
    return command.conr_renderer(128, alpha=True, precision=precision, threads=None)


def test_int8_is_for_weights_on_which_it_was_measured(imported):
    assert made("auto").setting.precision != "int8"
    with pytest.raises(ConfigError, match="import them again"):
        made("int8")


def test_what_is_measured_at_import_is_kept_and_used(imported, monkeypatch):
    monkeypatch.setattr(command, "_MIN_PSNR_DB", 30.0)  # of networks eight planes wide
    said = []
    assert command.calibrate_int8(said.append)
    assert "dB from fp32: it is used" in said[-1]
    renderer = made("int8")
    assert isinstance(renderer, ConrRenderer)
    assert renderer.setting.precision == "int8"


def test_int8_that_draws_something_else_is_not_used(imported, monkeypatch):
    monkeypatch.setattr(command, "_MIN_PSNR_DB", 99.0)
    said = []
    assert not command.calibrate_int8(said.append)
    assert "not used" in said[-1]
    with pytest.raises(ConfigError):
        made("int8")
