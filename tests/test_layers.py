"""Imports point from the doors inward, readers cost no torch, and files stay short."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import quantgate

ROOT = Path(quantgate.__file__).parent
LONGEST = 350

FACTS = ("verdict", "causes", "config", "evidence", "result")
READERS = ("diagnose", "rules", "baseline", "history", "reports", "explain")
NUMBERS = ("formats",)
PARTS = ("fakequant", "model", "corpus", "optim", "lion")
PLANS = ("registry", "options", "matrix", "known_failures")
EXPERIMENT = (
    "data", "probes", "rounding", "coverage", "optimizer_probe", "power", "faults", "trainer", "external", "cell",
    "examination", "controls", "incident",
)  # fmt: skip
DOORS = (
    "", "public", "hookspecs", "fixtures", "session", "reporter", "plugin", "suite", "doctor", "cli", "__main__",
)  # fmt: skip

#: From the inside out: a module imports from its own layer and those before it.
LAYERS = (FACTS, (*READERS, *NUMBERS), PARTS, PLANS, EXPERIMENT, DOORS)

#: What costs no torch: facts, readers, names, plans, and everything that a pytest run loads before a cell runs.
TORCH_FREE = (
    *FACTS, "diagnose", "rules", "rules.coverage", "rules.gradients", "rules.ranges", "rules.rounding",
    "rules.select", "rules.training", "reports", "reports.probes", "reports.results", "reports.terminal",
    "formats", "formats.catalogue", "formats.descriptor", "formats.layout", "formats.codebook",
    "optim", *PLANS, "corpus",
    "", "public", "hookspecs", "fixtures", "session", "reporter", "plugin", "suite", "cli",
)  # fmt: skip

#: What may be imported from a layer farther out, when it is called and not before. `quantgate.formats` is the
#: package of the codecs and, called, the public list of names, which the user's own formats are part of.
CALLED_LATE = {"formats": {"public"}}


@cache
def sources() -> dict[str, Path]:
    """The modules of the package by their names within it."""
    found = {}
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def layer(module: str) -> int:
    """The place of a module's layer, from the inside out."""
    top = module.partition(".")[0]
    places = [place for place, names in enumerate(LAYERS) if top in names]
    assert places, f"quantgate.{module} is in no layer; add it to one of LAYERS, as DESIGN.md has them"
    return places[0]


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """What runs when a module is imported: no function's body, and nothing under TYPE_CHECKING."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or is_type_checking(child):
            continue
        yield child
        yield from statements(child)


def named(nodes: Iterator[ast.AST]) -> set[str]:
    """The modules that import statements name; `from a import b` may name both `a` and `a.b`."""
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, "imports within the package are absolute"
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


@cache
def imports(module: str, *, lazy: bool = False) -> frozenset[str]:
    """What a module imports when it is loaded, or with `lazy` at any time, type checking apart."""
    tree = ast.parse(sources()[module].read_text("utf-8"))
    if lazy:
        guarded = {id(n) for node in ast.walk(tree) if is_type_checking(node) for n in ast.walk(node)}
        return frozenset(named(node for node in ast.walk(tree) if id(node) not in guarded))
    return frozenset(named(statements(tree)))


def own(names: frozenset[str]) -> set[str]:
    """The modules of the package among imported names, as named within it."""
    return {
        name.partition(".")[2]
        for name in names
        if (name == "quantgate" or name.startswith("quantgate.")) and name.partition(".")[2] in sources()
    }


def loaded_with(module: str) -> set[str]:
    """The modules of the package that importing one of them loads, itself and its parents included."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += [*own(imports(name)), name.rpartition(".")[0]]
    return seen


def tops(names: frozenset[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("module", sorted(sources()))
def test_imports_point_inward_even_late_ones(module: str) -> None:
    outward = {other for other in own(imports(module, lazy=True)) if layer(other) > layer(module) and other}

    assert outward == CALLED_LATE.get(module, set())


@pytest.mark.parametrize("module", FACTS)
def test_facts_need_the_standard_library_alone(module: str) -> None:
    foreign = tops(imports(module, lazy=True)) - sys.stdlib_module_names - {"quantgate"}

    assert foreign == set()


@pytest.mark.parametrize("module", TORCH_FREE)
def test_readers_import_no_torch(module: str) -> None:
    guilty = {name for name in loaded_with(module) if {"torch", "numpy"} & tops(imports(name))}

    assert guilty == set(), f"quantgate.{module} loads torch through {sorted(guilty)}"


def test_pytest_is_known_to_the_doors_alone() -> None:
    knowing = {name for name in sources() if {"pytest", "_pytest"} & tops(imports(name, lazy=True))}

    assert knowing <= set(DOORS), f"{sorted(knowing - set(DOORS))} import pytest"


@pytest.mark.parametrize(
    ("part", "strangers"),
    [
        ("formats", ("model", "corpus", "optim", "lion", "fakequant")),
        ("model", ("formats", "corpus", "optim", "lion", "fakequant")),
        ("corpus", ("formats", "model", "optim", "lion", "fakequant")),
        ("optim", ("formats", "model", "corpus", "fakequant")),
        ("fakequant", ("model", "corpus", "optim", "lion")),
    ],
)
def test_parts_know_nothing_of_each_other(part: str, strangers: tuple[str, ...]) -> None:
    known = {
        other.partition(".")[0]
        for module in sources()
        if module.partition(".")[0] == part
        for other in own(imports(module, lazy=True))
    }

    assert known & set(strangers) == set()


def loaded_after(*modules: str) -> set[str]:
    """The modules that a fresh interpreter holds after importing these."""
    names = [f"quantgate.{module}".rstrip(".") for module in modules]
    code = f"import sys, importlib; [importlib.import_module(n) for n in {names!r}]; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.parent
    )
    return set(done.stdout.split())


def test_readers_load_no_torch_in_fact() -> None:
    loaded = loaded_after(*TORCH_FREE)

    assert "quantgate.plan.matrix" in loaded
    assert not {"torch", "numpy"} & loaded


def test_the_experiment_loads_no_pytest_in_fact() -> None:
    loaded = loaded_after(*(name for name in (*EXPERIMENT, *PARTS) if name in sources()))

    assert "torch" in loaded
    assert not {"pytest", "_pytest", "xdist"} & loaded


def test_the_public_face_is_lazy_and_whole() -> None:
    assert dir(quantgate) == sorted([*quantgate.__all__, "__version__"])
    assert all(getattr(quantgate, name) is not None for name in quantgate.__all__)


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"^module 'quantgate' has no attribute 'register_fromat'$"):
        quantgate.register_fromat  # noqa: B018


@pytest.mark.parametrize("module", sorted(sources()))
def test_files_are_short(module: str) -> None:
    lines = len(sources()[module].read_text("utf-8").splitlines())

    assert lines <= LONGEST, f"{sources()[module].name} has {lines} lines; split it by what it knows"
