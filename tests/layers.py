"""Who imports whom, read from the source of a tree, and what in it goes against DESIGN.md's rooms."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

# A room -> the rooms that it may import, beside itself. What is not listed here (tests, benchmarks) may import all.
BASE = {"diffusion", "models"}
SAMPLING = BASE | {"utils", "datasets"}
EVALUATION = SAMPLING | {"sampling", "interop"}
ROOMS = {
    "diffusion": set(),
    "models": set(),
    "utils": BASE,
    "datasets": {"utils"},
    "sampling": SAMPLING,
    "training": SAMPLING | {"sampling"},
    "interop": BASE | {"utils", "datasets"},
    "evaluation": EVALUATION,
    "modes": EVALUATION | {"evaluation"},
    "page": EVALUATION,  # it stands on sampling, not on modes: loading and drawing are done in one place
    "train_solver": EVALUATION | {"training"},
    "test_solver": EVALUATION | {"evaluation", "modes"},
    "demo": EVALUATION | {"page"},
}
TORCH_ALONE = {"diffusion", "models"}  # they import torch, the standard library and themselves
# Settings and argparse's Namespace stay above; utils owns them, and interop builds Settings.
WITHOUT_SETTINGS = {"diffusion", "models", "datasets", "sampling", "training", "evaluation"}
WITHOUT_ARGPARSE = WITHOUT_SETTINGS | {"interop"}


class Import(NamedTuple):
    """One import of a module `name`, at `line` of the file of `importer`; both are dotted names."""

    importer: str
    name: str
    line: int


class Tree(NamedTuple):
    """The modules of a source tree by their dotted names (a package by its own), and their imports, inside functions too."""

    modules: dict[str, Path]
    imports: list[Import]


def read_tree(root: Path, rooms: list[str] | None = None) -> Tree:
    """Reads every .py file of `rooms` (names of folders and of scripts; None: those of ROOMS) below `root`."""
    modules: dict[str, Path] = {}
    for room in ROOMS if rooms is None else rooms:
        for path in [root / f"{room}.py", *sorted((root / room).rglob("*.py"))]:
            if path.is_file():
                parts = path.relative_to(root).with_suffix("").parts
                modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    imports = [
        Import(module, name, line)
        for module, path in modules.items()
        for name, line in imports_of(ast.parse(path.read_text(encoding="utf-8")), module, path.name == "__init__.py")
    ]
    found = []
    for module, name, line in imports:
        if name.endswith(".*"):  # any of the package's modules
            found += [Import(module, other, line) for other in modules if other.startswith(name[:-1])]
        else:
            found.append(Import(module, name, line))
    return Tree(modules, [Import(i.importer, longest_module(i.name, modules), i.line) for i in found])


def imports_of(tree: ast.AST, module: str, is_package: bool) -> Iterator[tuple[str, int]]:
    """Every name that a file imports, in functions and by importlib too, with its line: a module, or MODULE.ATTRIBUTE.

    `importlib.import_module(f"modes.{name}")` gives `modes.*`.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = module.split(".") if is_package else module.split(".")[:-1]
                kept = package[: len(package) - node.level + 1]
                base = ".".join([*kept, *([node.module] if node.module else [])])
            yield from ((f"{base}.{alias.name}", node.lineno) for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and _name(node.func) in ("import_module", "__import__"):
            argument = node.args[0]
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                yield argument.value, node.lineno
            elif isinstance(argument, ast.JoinedStr) and isinstance(argument.values[0], ast.Constant):
                yield f"{argument.values[0].value.rpartition('.')[0]}.*", node.lineno


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def longest_module(name: str, modules: dict[str, Path]) -> str:
    """The module in `name`, which may end with an attribute; `name` itself if it is none of `modules`."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        if ".".join(parts[:length]) in modules:
            return ".".join(parts[:length])
    return name


def room_of(module: str) -> str:
    return module.split(".")[0]


def wrong_arrows(tree: Tree) -> list[str]:
    """The imports that go up, or sideways, or take more than torch where torch is all there may be."""
    wrong = []
    for importer, name, line in tree.imports:
        room, other = room_of(importer), room_of(name)
        at = f"{importer}:{line} imports {name}"
        if other in (*ROOMS, "tests", "benchmarks"):
            if other != room and other not in ROOMS[room]:
                wrong.append(f"{at}: {room} may import {', '.join(sorted(ROOMS[room])) or 'no other room'}")
        elif room in TORCH_ALONE and other != "torch" and other not in sys.stdlib_module_names:
            wrong.append(f"{at}: {room} imports torch and itself, nothing else")
    return wrong


def settings_below(tree: Tree) -> list[str]:
    """The imports of utils.settings or argparse in rooms whose functions take plain arguments."""
    return [
        f"{importer}:{line} imports {name}"
        for importer, name, line in tree.imports
        if (name in ("utils.settings", "utils.train_settings") and room_of(importer) in WITHOUT_SETTINGS)
        or (room_of(name) == "argparse" and room_of(importer) in WITHOUT_ARGPARSE)
    ]


def circles(tree: Tree) -> list[str]:
    """Chains of imports that come back to where they began, each once: `a -> b -> a`."""
    graph: dict[str, list[str]] = {module: [] for module in tree.modules}
    for importer, name, _ in tree.imports:
        if name in graph and name != importer:
            graph[importer].append(name)
    found, done = {}, set()

    def walk(module: str, path: list[str]) -> None:
        if module in path:
            circle = path[path.index(module) :]
            start = circle.index(min(circle))
            ordered = [*circle[start:], *circle[:start]]
            found[tuple(ordered)] = " -> ".join([*ordered, ordered[0]])
        elif module not in done:
            for other in graph[module]:
                walk(other, [*path, module])
            done.add(module)

    for module in graph:
        walk(module, [])
    return list(found.values())


def ways_to(tree: Tree, start: str, room: str) -> list[str]:
    """How the module `start` reaches modules of `room`, one shortest chain for each entrance: `a -> b -> room.c`.

    Importing a module runs the packages that it is in, too.
    """
    graph: dict[str, list[str]] = {module: [] for module in tree.modules}
    for importer, name, _ in tree.imports:
        parts = name.split(".")
        graph[importer] += [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
    chains, queue, ways = {start: [start]}, [start], []
    while queue:
        module = queue.pop(0)
        for other in graph[module]:
            if other in tree.modules and other not in chains:
                chains[other] = [*chains[module], other]
                if room_of(other) == room:
                    ways.append(" -> ".join(chains[other]))
                else:
                    queue.append(other)
    return ways
