"""The project as others get it: a wheel, and a plugin beside it."""

import importlib.metadata
import os
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from livehead import __version__
from livehead.cli import main

ROOT = Path(__file__).parents[1]


def run(*command: object, **environment: str) -> str:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, env={**os.environ, **environment}, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_wheel_builds_installs_and_brings_what_it_needs(tmp_path: Path) -> None:
    source = tmp_path / "source"
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.split(b"\0")
    for name in (part.decode() for part in tracked if part):
        path = ROOT / name
        if path.is_file() and name.split("/")[0] in {"livehead", "pyproject.toml", "README.md", "LICENSE", "NOTICE"}:
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes(path.read_bytes())
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, source)
    (wheel,) = tmp_path.glob("livehead-*.whl")
    inside = set(zipfile.ZipFile(wheel).namelist())
    assets = {f"livehead/assets/{path.name}" for path in (source / "livehead" / "assets").iterdir()}
    assert assets <= inside
    assert "livehead/py.typed" in inside
    target = tmp_path / "site"
    run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", target, wheel)
    said = run(sys.executable, "-m", "livehead", "--version", PYTHONPATH=str(target))
    assert said.strip() == f"livehead {__version__}"


def read_pins(*names: str) -> dict[str, Requirement]:
    lines = [line for name in names for line in (ROOT / "scripts" / name).read_text().splitlines()]
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(pin.name): pin for pin in pins}


def find_unpinned(wanted: Iterable[str], pins: dict[str, Requirement]) -> set[str]:
    """The packages of ``wanted`` that this platform needs and that no pin gives in a version they accept."""
    needed = [r for r in map(Requirement, wanted) if r.marker is None or r.marker.evaluate({"extra": ""})]
    versions = {name: str(pin.specifier).removeprefix("==") for name, pin in pins.items()}
    found = [(r, versions.get(canonicalize_name(r.name))) for r in needed]
    return {str(r) for r, version in found if version is None or not r.specifier.contains(version, prereleases=True)}


def test_the_pinned_packages_are_all_that_the_project_and_they_themselves_need() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    run_pins, all_pins = read_pins("requirements.txt"), read_pins("requirements.txt", "requirements-test.txt")
    # the set-up installs MediaPipe beside the pins, without the packages that its face mesh never imports
    assert {Requirement(text).name for text in find_unpinned(project["dependencies"], run_pins)} == {"mediapipe"}
    assert find_unpinned(project["optional-dependencies"]["test"], all_pins) == set()
    for pins in (run_pins, all_pins):
        for name in pins:
            assert find_unpinned(importlib.metadata.requires(name) or (), pins) == set(), name


def test_a_plugin_s_sink_stands_beside_our_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = ROOT / "plugins" / "example"
    project = tomllib.loads((plugin / "pyproject.toml").read_text())["project"]
    about = tmp_path / "livehead_example-0.1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    lines = [f"{name} = {target}" for name, target in project["entry-points"]["livehead.sinks"].items()]
    (about / "entry_points.txt").write_text("\n".join(["[livehead.sinks]", *lines, ""]))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.syspath_prepend(str(plugin))
    monkeypatch.setenv("LIVEHEAD_HOME", str(tmp_path / "home"))
    shots = tmp_path / "shots"
    photo = ROOT / "livehead" / "assets" / "astronaut.png"
    command = ["run", "--avatar", str(photo), "--driver", "idle", "--sink", f"snapshots:{shots}", "--seconds", "1.6"]
    assert main([*command, "--size", "320x240", "--render-size", "128"]) == 0
    assert len(list(shots.glob("*.png"))) >= 1
