"""The package's imports, read from its sources: who imports whom, when loaded and late."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import quantgate

ROOT = Path(quantgate.__file__).parent


def sources() -> list[Path]:
    """Every source file of the package."""
    return sorted(ROOT.rglob("*.py"))


@cache
def _files() -> dict[str, Path]:
    found = {}
    for path in sources():
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def modules() -> list[str]:
    """The modules by their names within the package; the package itself is the empty name."""
    return sorted(_files())


def folder_of(module: str) -> str:
    """The top-level folder of a module; empty for `quantgate` and `quantgate.suite`."""
    top = module.partition(".")[0]
    return top if (ROOT / top).is_dir() else ""


def folders() -> list[str]:
    """The top-level folders: the layers."""
    return sorted({folder_of(module) for module in modules()} - {""})


def needs(folder: str) -> set[str]:
    """The folders that a folder's modules import from, late imports included."""
    found = {
        folder_of(other) for module in modules() if folder_of(module) == folder for other in imported(module)
    }
    return found - {folder, ""}


@cache
def imported(module: str, *, own: bool = True, late: bool = True) -> frozenset[str]:
    """What a module imports, type checking apart.

    Args:
        module: A module of the package.
        own: The package's modules, by their names within it; else what is not the package's.
        late: Whether imports inside functions count.
    """
    tree = ast.parse(_files()[module].read_text("utf-8"))
    nodes = list(_statements(tree, late=late))
    assert not any(isinstance(node, ast.ImportFrom) and node.level for node in nodes), "imports are absolute"
    pairs = [
        *(
            (node.module or "", alias.name)
            for node in nodes
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        ),
        *((alias.name, "") for node in nodes if isinstance(node, ast.Import) for alias in node.names),
    ]
    inside = {_within(place, name) for place, name in pairs if place.partition(".")[0] == "quantgate"}
    outside = {place for place, _ in pairs if place.partition(".")[0] != "quantgate"}
    return frozenset(inside - {module}) if own else frozenset(outside)


def _within(place: str, name: str) -> str:
    """The module that `from place import name` loads, as named within the package."""
    inner = place.partition(".")[2]
    return f"{inner}.{name}".lstrip(".") if f"{inner}.{name}".lstrip(".") in _files() else inner


def _statements(node: ast.AST, *, late: bool) -> Iterator[ast.AST]:
    """What runs when a module is imported, or with `late` at any time; nothing under TYPE_CHECKING."""
    for child in ast.iter_child_nodes(node):
        if (
            isinstance(child, ast.If)
            and isinstance(child.test, ast.Name)
            and child.test.id == "TYPE_CHECKING"
        ):
            continue
        if not late and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        yield child
        yield from _statements(child, late=late)


def loaded_with(module: str) -> set[str]:
    """The modules of the package that importing one of them loads, itself and its parents included."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += [*imported(name, late=False), name.rpartition(".")[0]]
    return seen
