"""The rules of docs/architecture.md, a rule a test. Sources are read, never imported."""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator

from tests.fixtures.source_tree import (
    ROOT,
    SourceModule,
    import_closure,
    import_cycles,
    imported_modules,
    imported_roots,
    length_in_lines,
    one_word_share,
    read_modules,
    resolve_module,
)

FLOOR_0 = {
    *("interfaces", "frames", "concurrency", "clock", "config", "errors", "registry", "stats", "quality", "storage"),
    *("threads", "signals", "environment", "motion_stages", "untrusted_files", "http_client", "unfinished_files"),
    "temporary_folders",
}
FLOOR_1 = {"motion", "models", "perception", "figure", "weights", "audio", "codecs", "protocol", "assets"}
WINGS = (
    {"capture"},
    {"drivers", "renderers", "compositing", "avatars", "animator"},
    {"sinks", "webrtc"},
)
FLOOR_3 = {"pipeline", "sink_runner", "motion_source", "motion_consumer", "frame_relay", "performer_watch"}
FLOOR_4 = {"assembly"}
ROOF = {"cli", "cli_options", "commands", "server", "client", "cluster", "__main__"}
ANNEX = {"training", "evaluation", "bench", "reporting"}
PUBLIC_FACE = {""}
"""``livehead/__init__.py``: all may ask it for the version; what it offers to embedders comes from floors 0 to 4."""

GROUND = FLOOR_0 | FLOOR_1 | PUBLIC_FACE
HOUSE = GROUND | set().union(*WINGS) | FLOOR_3 | FLOOR_4

FLOOR_0_LIBRARIES = {"livehead", "numpy"}
FLOOR_0_EXCEPTIONS = {
    "config": {"pydantic"},
    "stats": {"torch", "psutil"},  # the yardstick, the machine's description, memory on Windows: inside functions
    "threads": {"torch", "cv2", "threadpoolctl"},  # the libraries whose threads it counts: inside functions
    "storage": {"platformdirs"},
    "temporary_folders": {"filelock"},
    "http_client": {"httpx"},  # inside functions
}
HEAVY_LIBRARIES = {"torch", "mediapipe", "aiortc", "scipy", "skimage", "matplotlib", "trimesh", "openvino"}
QUICK_MODULES = (
    *("livehead", "livehead.cli", "livehead.cli_options", "livehead.assembly.animation"),
    *(f"livehead.commands.{name}" for name in ("run", "animate", "pose", "reconstruct", "serve", "weights", "verify")),
    "livehead.commands.devices",
)
"""What is imported before a command has read its options: wrong input is told at once."""

PLUGIN_ROOMS = {"", "interfaces", "frames", "errors", "config", "registry", "protocol"}
MAX_FUNCTION_LINES = 50
MAX_ONE_WORD_SHARE = 0.12
BOUNDARIES = [
    "livehead/commands/doctor.py",
    "livehead/concurrency.py",
    "livehead/sink_runner.py",
    "livehead/untrusted_files.py",
]
"""Where whatever fails is caught: a check of the doctor, a worker's call, a sink's send, what was stored."""
BOUNDARY_MARK = "boundary:"


def allowed_rooms(room: str) -> set[str]:
    """The rooms that a module of ``room`` may import from."""
    if room in FLOOR_0:
        return FLOOR_0 | PUBLIC_FACE
    if room in FLOOR_1:
        return GROUND
    if room in FLOOR_3:
        return FLOOR_0 | FLOOR_3
    if room in FLOOR_4 | PUBLIC_FACE:
        return HOUSE
    if room == "bench":
        return HOUSE | ANNEX
    if room in ANNEX:
        return GROUND | ANNEX
    if room in ROOF:
        return HOUSE | ROOF | (ANNEX if room == "commands" else set())
    return GROUND | next(wing for wing in WINGS if room in wing)


def our_modules() -> list[SourceModule]:
    return list(read_modules().values())


def everybody() -> list[SourceModule]:
    """The package, the plugins and the scripts."""
    return [*our_modules(), *read_modules(ROOT / "plugins").values(), *read_modules(ROOT / "scripts").values()]


def calls(module: SourceModule) -> Iterator[tuple[ast.Call, str, dict[str, str]]]:
    """Each call with the text of what is called and of its keyword arguments."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call):
            keywords = {each.arg: ast.unparse(each.value) for each in node.keywords if each.arg}
            yield node, ast.unparse(node.func), keywords


def test_every_module_has_a_room_in_the_house() -> None:
    homeless = [module.shown_path for module in our_modules() if module.room not in HOUSE | ROOF | ANNEX]
    assert not homeless, homeless


def test_imports_only_go_down() -> None:
    wrong = []
    for module in our_modules():
        targets = {resolve_module(each.name, read_modules()) for each in module.imports()} - {None}
        rooms = {read_modules()[name].room for name in targets if name}
        wrong += [
            f"{module.shown_path} -> {room}" for room in sorted(rooms - allowed_rooms(module.room) - {module.room})
        ]
    assert not wrong, "\n".join(["reaches up or across:", *wrong])


def test_no_modules_import_each_other_in_a_ring() -> None:
    assert not import_cycles()


def test_floor_0_needs_only_the_standard_library_and_numpy() -> None:
    wrong = []
    for module in our_modules():
        if module.room not in FLOOR_0:
            continue
        roots = imported_roots(module) - FLOOR_0_LIBRARIES - set(sys.stdlib_module_names)
        wrong += [f"{module.shown_path} -> {root}" for root in roots - FLOOR_0_EXCEPTIONS.get(module.room, set())]
        at_start = imported_roots(module, at_start_only=True)
        wrong += [f"{module.shown_path} -> {root} at once" for root in at_start & {"torch", "cv2", "psutil"}]
    assert not wrong, wrong


def test_commands_are_imported_by_the_command_line_alone_and_only_when_named() -> None:
    commands = {name for name in read_modules() if name.startswith("livehead.commands.")}
    wrong = []
    for module in our_modules():
        reached = imported_modules(module) & commands
        if reached and module.room not in {"commands", "__main__"}:
            wrong.append(f"{module.shown_path} -> {sorted(reached)}")
    assert not wrong, "\n".join(wrong)


def test_wrong_input_is_told_before_anything_heavy_is_imported() -> None:
    wrong = []
    for name in QUICK_MODULES:
        for reached in sorted(import_closure(name)):
            heavy = imported_roots(read_modules()[reached], at_start_only=True) & HEAVY_LIBRARIES
            wrong += [f"{name} imports {reached}, which imports {library}" for library in sorted(heavy)]
    assert not wrong, "\n".join(wrong)


def test_private_names_of_aiortc_are_touched_in_webrtc_alone() -> None:
    wrong = []
    for module in our_modules():
        if module.room == "webrtc" or not imported_roots(module) & {"aiortc", "aioice"}:
            continue
        own = {node.attr for node in ast.walk(module.tree) if isinstance(node, ast.Attribute) and is_of_self(node)}
        own |= {node.name for node in module.functions()}
        wrong += [
            f"{module.shown_path}:{node.lineno} {ast.unparse(node)}"
            for node in ast.walk(module.tree)
            if isinstance(node, ast.Attribute) and is_private(node.attr) and node.attr not in own
        ]
        wrong += [
            f"{module.shown_path} imports {each.name}"
            for each in module.imports()
            if each.name.split(".")[0] in {"aiortc", "aioice"} and is_private(each.name.split(".")[-1])
        ]
    assert not wrong, "\n".join(wrong)


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def is_of_self(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}


def test_class_names_say_what_the_thing_is_in_two_words() -> None:
    assert one_word_share() < MAX_ONE_WORD_SHARE


def test_a_public_class_name_means_one_thing() -> None:
    homes = defaultdict(list)
    for module in our_modules():
        for node in module.classes():
            if not node.name.startswith("_"):
                homes[node.name].append(module.name)
    twice = {name: places for name, places in homes.items() if len(places) > 1}
    assert not twice, twice


def test_functions_are_short() -> None:
    long = [
        f"{module.shown_path}:{node.lineno} {node.name} has {length_in_lines(node)} lines"
        for module in everybody()
        for node in module.functions()
        if length_in_lines(node) > MAX_FUNCTION_LINES
    ]
    assert not long, "\n".join(long)


def test_everything_is_caught_at_the_roof_and_at_marked_boundaries_only() -> None:
    wrong, marked = [], []
    for module in our_modules():
        lines = module.text.splitlines()
        for line in broad_catches(module):
            if BOUNDARY_MARK in lines[line - 1] or BOUNDARY_MARK in lines[line - 2]:
                marked.append(module.shown_path)
            elif module.room not in {"cli", "__main__"}:
                wrong.append(f"{module.shown_path}:{line}")
    assert not wrong, wrong
    assert sorted(marked) == BOUNDARIES


def broad_catches(module: SourceModule) -> Iterator[int]:
    """Lines that catch whatever fails: broad ``except``, ``suppress(Exception)``, exceptions that gather keeps."""
    broad = {"", "Exception", "BaseException"}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ExceptHandler):
            caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            if broad & {ast.unparse(each) if each else "" for each in caught}:
                yield node.lineno
    for call, called, keywords in calls(module):
        suppressed = called.endswith("suppress") and broad & {ast.unparse(argument) for argument in call.args}
        if suppressed or keywords.get("return_exceptions") == "True":
            yield call.lineno


def test_plugins_speak_interfaces_and_the_wire_protocol_only() -> None:
    wrong = []
    for module in read_modules(ROOT / "plugins").values():
        targets = {resolve_module(each.name, read_modules()) for each in module.imports()} - {None}
        rooms = {read_modules()[name].room for name in targets if name}
        wrong += [f"{module.shown_path} -> {room}" for room in sorted(rooms - PLUGIN_ROOMS)]
    assert not wrong, wrong


def test_checkpoints_are_never_unpickled_unsafely() -> None:
    wrong = []
    for module in our_modules():
        for call, called, keywords in calls(module):
            unsafe = called in {"pickle.load", "pickle.loads", "eval", "exec"}
            unsafe |= called.endswith("torch.load") and keywords.get("weights_only") != "True"
            unsafe |= called.endswith("np.load") and keywords.get("allow_pickle", "False") != "False"
            wrong += [f"{module.shown_path}:{call.lineno}"] if unsafe else []
    assert not wrong, wrong


def test_grid_sample_always_states_align_corners() -> None:
    silent = [
        f"{module.shown_path}:{call.lineno}"
        for module in our_modules()
        for call, called, keywords in calls(module)
        if called.endswith("grid_sample") and "align_corners" not in keywords
    ]
    assert not silent, silent
