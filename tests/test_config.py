from pathlib import Path

import pytest

from livehead import config, registry
from livehead.errors import ConfigError


def write(folder: Path, text: str) -> Path:
    path = folder / "run.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_overrides_only_what_it_names(tmp_path: Path) -> None:
    path = write(tmp_path, 'driver = "idle"\n[stream]\nsize = "640x360"\n[gains]\nmouth = 1.5\n')
    settings = config.load_settings(config.RunSettings, path)
    assert settings.driver == "idle"
    assert settings.stream.size == (640, 360)
    assert settings.gains.mouth == 1.5
    assert settings.stream.fps == config.StreamSettings().fps


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('drivr = "face"', "driver"),
        ("[gains]\nmuoth = 1", "mouth"),
        ("[stream]\nsise = '1x1'", "size"),
    ],
)
def test_an_unknown_key_is_told_with_the_nearest_known_one(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(ConfigError, match=f"did you mean '{named}'"):
        config.load_settings(config.RunSettings, write(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[stream]\nsize = 'big'", "WIDTHxHEIGHT"),
        ("[gains]\nmouth = 9", "gains.mouth"),
        ("render_size = 'x'", "render_size"),
        ("driver = ", "not TOML"),
    ],
)
def test_a_wrong_value_is_told_with_its_key(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        config.load_settings(config.RunSettings, write(tmp_path, text))


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        config.load_settings(config.RunSettings, tmp_path / "none.toml")


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        config.RunSettings().driver = "idle"  # type: ignore[misc]


def test_the_run_files_that_ship_are_valid() -> None:
    files = sorted((Path(__file__).parents[1] / "configs" / "run").glob("*.toml"))
    assert files
    for path in files:
        config.load_settings(config.RunSettings, path)


def test_every_registered_name_loads() -> None:
    finders = {
        "captures": registry.find_capture,
        "drivers": registry.find_driver,
        "renderers": registry.find_renderer,
        "sinks": registry.find_sink,
    }
    for group, find in finders.items():
        names = registry.list_names(group)  # type: ignore[arg-type]
        assert names, group
        for name in names:
            factory = find(name)
            assert callable(factory.create)
            assert callable(factory.check)


def test_an_unknown_name_is_told_with_the_nearest_known_one() -> None:
    with pytest.raises(ConfigError, match="did you mean 'window'"):
        registry.find_sink("windw")
