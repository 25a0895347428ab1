"""The house's rule: imports only go down. Read with the standard library's ast, nothing is imported."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "livehead"

FLOOR_0 = {
    *("errors", "frames", "interfaces", "concurrency", "clock", "config", "registry", "stats", "governor", "__init__"),
}
FLOOR_1 = {"audio", "motion", "models", "perception", "figure", "weights", "assets"}
WINGS = {"capture": "capture", "sinks": "sinks", "drivers": "avatar", "renderers": "avatar", "animator": "avatar"}
FLOOR_3 = {"pipeline", "outlet"}
ROOF = {"cli", "server", "__main__", "commands", "profiles"}
ANNEX = {"training", "metrics"}

FLOOR_0_ALLOWED = {"numpy", "pydantic", "livehead", "torch", "psutil"}
"""torch only for the yardstick and the machine's description, psutil for memory on Windows: both inside functions."""


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[str]:
    """Dotted names that a module imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            module = node.module or ""
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def rooms_imported(path: Path) -> set[str]:
    names = (name.split(".") for name in imported(path))
    known = FLOOR_0 | FLOOR_1 | set(WINGS) | FLOOR_3 | ROOF | ANNEX
    return {parts[1] for parts in names if parts[0] == "livehead" and len(parts) > 1 and parts[1] in known}


def allowed(name: str) -> set[str]:
    if name in FLOOR_0:
        return FLOOR_0
    if name in FLOOR_1:
        return FLOOR_0 | FLOOR_1
    if name in WINGS:
        return FLOOR_0 | FLOOR_1 | {other for other, wing in WINGS.items() if wing == WINGS[name]}
    if name in FLOOR_3:
        return FLOOR_0 | FLOOR_3
    if name in ANNEX:
        return FLOOR_0 | FLOOR_1 | ANNEX
    return FLOOR_0 | FLOOR_1 | set(WINGS) | FLOOR_3 | ROOF | ANNEX


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_only_go_down(path: Path) -> None:
    above = rooms_imported(path) - allowed(room(path))
    assert not above, f"{path.relative_to(ROOT)} reaches up or across to {sorted(above)}"


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_every_module_has_a_room_in_the_house(path: Path) -> None:
    assert room(path) in FLOOR_0 | FLOOR_1 | set(WINGS) | FLOOR_3 | ROOF | ANNEX


def test_floor_0_needs_only_the_standard_library_numpy_and_pydantic() -> None:
    import sys

    for path in modules():
        if room(path) in FLOOR_0:
            roots = {name.split(".")[0] for name in imported(path)}
            assert roots <= FLOOR_0_ALLOWED | set(sys.stdlib_module_names), path


def test_only_commands_import_the_annex_and_the_command_line_imports_commands_lazily() -> None:
    for path in modules():
        if room(path) in ANNEX | {"commands"}:
            continue
        assert not rooms_imported(path) & (ANNEX | {"commands"}), path


def handlers(tree: ast.AST) -> Iterator[ast.ExceptHandler]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler))


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_bare_or_broad_except_outside_the_roof(path: Path) -> None:
    if room(path) in ROOF:
        return
    for handler in handlers(ast.parse(path.read_text(encoding="utf-8"))):
        caught = ast.unparse(handler.type) if handler.type else ""
        assert caught not in ("", "Exception", "BaseException"), f"{path}:{handler.lineno}"


def test_plugins_speak_interfaces_only() -> None:
    public = {"interfaces", "frames", "errors", "config"}
    for path in (ROOT / "plugins").rglob("*.py"):
        if "tests" in path.parts:
            continue
        assert rooms_imported(path) <= public, path


def test_checkpoints_are_never_unpickled_unsafely() -> None:
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            keywords = {k.arg: ast.unparse(k.value) for k in node.keywords}
            if called.endswith("torch.load"):
                assert keywords.get("weights_only") == "True", f"{path}:{node.lineno}"
            assert called not in ("pickle.load", "pickle.loads", "eval", "exec"), f"{path}:{node.lineno}"
            if called.endswith("np.load"):
                assert keywords.get("allow_pickle", "False") == "False", f"{path}:{node.lineno}"
            if called.endswith("grid_sample"):
                assert "align_corners" in keywords, f"{path}:{node.lineno}"
