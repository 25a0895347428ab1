"""The script inside OBS is loaded by OBS alone; what can be told without it is that it fits OBS's own module."""

import ast
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "plugins" / "obs" / "livehead_status.py"
BINDINGS = [
    *Path("/usr/lib").glob("*/obs-scripting/obspython.py"),
    *Path("/usr/lib/obs-scripting").glob("obspython.py"),
]


def names_used() -> set[str]:
    tree = ast.parse(SCRIPT.read_text(encoding="utf-8"))
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "obs"
    }


@pytest.mark.skipif(not BINDINGS, reason="OBS's obspython.py is not on this machine (apt install obs-studio)")
def test_every_function_of_obs_that_the_script_calls_exists() -> None:
    tree = ast.parse(BINDINGS[0].read_text(encoding="utf-8", errors="replace"))
    known = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    known |= {t.id for n in tree.body if isinstance(n, ast.Assign) for t in n.targets if isinstance(t, ast.Name)}
    of_scripting = {"timer_add", "timer_remove", "script_log", "obs_frontend_get_current_scene"}  # come when OBS runs
    of_scripting.add("obs_properties_add_button")
    assert names_used() - known - of_scripting == set()
    assert len(names_used()) > 30


def test_the_script_needs_nothing_but_what_lies_beside_it() -> None:
    """OBS runs it in a Python of its own, where livehead is not installed."""
    for path in (SCRIPT, SCRIPT.with_name("livehead_figures.py"), SCRIPT.with_name("livehead_source.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        roots = {alias.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for alias in n.names}
        roots |= {(n.module or "").split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
        beside = {"livehead_figures", "livehead_source", "obspython"}
        assert roots <= set(sys.stdlib_module_names) | beside, path.name
