"""What README.md, CONTRIBUTING.md and the pages of docs/ name is there: links, paths, modules and their names."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from livehead.cli import COMMANDS
from tests.fixtures.source_tree import PACKAGE, ROOT

GUIDES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")]
PAGES = [
    *GUIDES,
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "plugins").glob("*/README.md")),
]
LIVING_PAGES = [page for page in PAGES if page.name != "CHANGELOG.md"]
"""The pages that describe the present tree; a change log names what is no more."""

FOLDERS = {"livehead", "scripts", "tests", "configs", "plugins", "docs", ".github"}
BASES = (ROOT, PACKAGE, ROOT / "tests", ROOT / "tests" / "server")
"""Where a path in backticks may start: prose leaves ``livehead/`` away, and docs/security.md ``tests/server/``."""
ENDINGS = "py|md|toml|json|js|html|npz|png|txt|safetensors"

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.M)
CODE = re.compile(r"`([^`\n]+)`")
PATH_IN_TEXT = re.compile(rf"(?<![\w/.-])((?:{'|'.join(sorted(FOLDERS))})/[\w./-]*\w)")
PATH_IN_CODE = re.compile(rf"[\w-]+(?:/[\w-]+)*\.(?:{ENDINGS})")
TEST_FILE = re.compile(r"(?:[\w-]+/)*test_\w+\.py")
DOTTED_NAME = re.compile(r"(?:[a-z_]\w*\.)+[A-Za-z_]\w*")
OUR_NAME = re.compile(r"\blivehead(?:\.[a-z_]\w*)+(?:\.[A-Z]\w*)?")
NOT_MODULES = {"captures", "sinks", "drivers", "renderers", "conf", "monitor"}
"""Names that are written as modules are: groups of entry points, a file of modprobe.d and a device of PulseAudio."""
BLOCK = re.compile(r"^```\w*\n(.*?)^```$", re.M | re.S)


def shown(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in HEADING.findall(page.read_text("utf-8")))
    return {heading.strip().replace(" ", "-") for heading in plain}


def links(page: Path) -> Iterator[tuple[str, Path, str]]:
    """Each relative link of ``page``: as written, the file that it leads to, and the anchor in there."""
    for link in LINK.findall(page.read_text("utf-8")):
        if not re.match(r"[a-z]+:", link):
            path, _, anchor = link.partition("#")
            yield link, (page.parent / path).resolve() if path else page, anchor


def module_of(dotted: str) -> tuple[Path, list[str]] | None:
    """The module or package that ``dotted`` begins with, and the names that follow; None where there is none."""
    parts = dotted.removeprefix("livehead.").split(".")
    for length in range(len(parts), 0, -1):
        place = PACKAGE.joinpath(*parts[:length])
        if place.with_suffix(".py").is_file():
            return place.with_suffix(".py"), parts[length:]
        if (place / "__init__.py").is_file():
            return place / "__init__.py", parts[length:]
    return None


def names_in(body: list[ast.stmt]) -> dict[str, list[ast.stmt]]:
    """The names that statements bind, each with the statements inside of it."""
    found: dict[str, list[ast.stmt]] = {}
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found[node.name] = node.body
        elif isinstance(node, ast.Assign):
            found |= {target.id: [] for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found[node.target.id] = []
        elif isinstance(node, ast.ImportFrom):
            found |= {each.asname or each.name: [] for each in node.names}
        elif isinstance(node, ast.If):
            found |= names_in(node.body)
    return found


def has_names(module: Path, names: list[str]) -> bool:
    body = ast.parse(module.read_text("utf-8")).body
    for name in names:
        known = names_in(body)
        if name not in known:
            return False
        body = known[name]
    return True


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    dead = [
        link
        for link, target, anchor in links(page)
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target))
    ]
    assert not dead, dead


@pytest.mark.parametrize("page", LIVING_PAGES, ids=shown)
def test_every_path_that_is_named_exists(page: Path) -> None:
    text = page.read_text("utf-8")
    in_code = {code for code in CODE.findall(text) if PATH_IN_CODE.fullmatch(code)}
    ours = {path for path in in_code if path.split("/")[0] in rooms() or TEST_FILE.fullmatch(path)}
    named = ours | set(PATH_IN_TEXT.findall(text))
    missing = sorted(path for path in named if not any((base / path).exists() for base in BASES))
    assert not missing, missing


@pytest.mark.parametrize("page", LIVING_PAGES, ids=shown)
def test_every_module_and_every_name_in_it_exists(page: Path) -> None:
    text = page.read_text("utf-8")
    in_code = {code for code in CODE.findall(text) if DOTTED_NAME.fullmatch(code)}
    named = {name for name in in_code if not PATH_IN_CODE.fullmatch(name)} | set(OUR_NAME.findall(text))
    wrong = []
    for name in sorted(named):
        first, *rest = name.split(".")
        if first == "livehead" and rest and rest[0] in NOT_MODULES | set(public_names()):
            continue
        found = module_of(name)
        if found is None and first == "livehead":
            wrong.append(name)
        if found is not None and not has_names(*found):
            wrong.append(name)
    assert not wrong, wrong


def rooms() -> set[str]:
    """Folders and files right below the package."""
    return {path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"}


def public_names() -> list[str]:
    import livehead

    return livehead.__all__


def test_the_architecture_page_has_a_line_for_every_room() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    packages = [path for path in PACKAGE.iterdir() if path.is_dir() and path.name.isalpha() and list(path.glob("*.*"))]
    missing = [path.name for path in packages if f"(../livehead/{path.name})" not in text]
    modules = [path.name for path in PACKAGE.glob("*.py") if not path.name.startswith("__")]
    missing += [name for name in modules if name not in text]
    assert not missing, missing


def test_the_architecture_page_names_every_group_of_entry_points() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["entry-points"]
    assert [group for group in groups if f"`{group}`" not in text] == []


def test_the_readme_leads_to_every_page() -> None:
    reached = {target for _, target, _ in links(ROOT / "README.md")}
    pages = [*GUIDES[1:], *(ROOT / "docs").glob("*.md")]
    assert [shown(page) for page in pages if page not in reached] == []


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("where is the jitter buffer patched", "livehead/webrtc/receiver_patches.py"),
        ("how do I add a sink", "plugins/example/README.md"),
        ("what happens to a photo", "livehead/perception/portrait.py"),
        ("what happens to a frame", "livehead/pipeline.py"),
        ("how do I add a command", "livehead/cli.py"),
    ],
)
def test_the_readme_leads_to_an_answer_in_two_clicks(question: str, answer: str) -> None:
    pages = {target for _, target, _ in links(ROOT / "README.md") if target.suffix == ".md"}
    reached = {target for page in pages for _, target, _ in links(page)}
    assert ROOT / answer in reached, question


def test_every_command_of_the_readme_and_the_pages_exists() -> None:
    command = re.compile(r"^(?:\.venv/bin/)?livehead ([a-z]+)", re.M)
    unknown = {
        f"{shown(page)}: {name}"
        for page in LIVING_PAGES
        for block in BLOCK.findall(page.read_text("utf-8"))
        for name in command.findall(block)
        if name not in COMMANDS
    }
    assert not unknown, unknown


def test_the_change_log_begins_with_the_version_of_the_code() -> None:
    from livehead import __version__

    versions = re.findall(r"^## \[?(\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)
    assert versions[0] == __version__


def test_pre_commit_runs_the_ruff_of_the_tests() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    (pinned,) = (each.removeprefix("ruff==") for each in extras["test"] if each.startswith("ruff=="))
    assert f"rev: v{pinned} " in (ROOT / ".pre-commit-config.yaml").read_text("utf-8")


def test_the_workflow_names_tests_that_exist_and_the_readme_s_test_command() -> None:
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8")
    missing = [path for path in PATH_IN_TEXT.findall(text) if not (ROOT / path).exists()]
    assert not missing, missing
    assert "run: python scripts/test.py" in text
    assert "python3 scripts/test.py" in (ROOT / "README.md").read_text("utf-8")
