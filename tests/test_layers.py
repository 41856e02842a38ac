"""The layout: a folder is a layer, imports point inward and never in a circle, and the listing says what is where.

Everything is read from the folders themselves: what each `__init__` says that it imports and who reads it is held
against the imports of its files, late ones included.
"""

from __future__ import annotations

import re
import subprocess
import sys
from graphlib import TopologicalSorter
from importlib.util import find_spec
from pathlib import Path

import pytest

import quantgate
from tests.imports import ROOT, folder_of, folders, imported, loaded_with, modules, needs, sources

README = (ROOT.parent / ".github" / "CONTRIBUTING.md").read_text("utf-8")
#: Layers that everybody reads, and that never see torch: facts, plans and the readers of results.
TORCH_FREE = ("diagnosis", "records", "plan", "databases", "logs", "history", "reports", "cli", "plugin")
MOST_LINES = 300
MOST_FILES = 11


def said(folder: str, what: str) -> set[str]:
    """The folders that the sentence of a folder's `__init__` names: `Imports ...` or `Read by ...`."""
    text = " ".join((ROOT / folder / "__init__.py").read_text("utf-8").split('"""')[1].split())
    (sentence,) = re.findall(rf"(?:^|(?<=[.;:] )){what} ([^.;]*)", text) or [""]
    return {name for name in re.findall(r"`(\w+)[\w.]*`", sentence) if name in folders()}


def layout() -> list[str]:
    """The folders in the order in which CONTRIBUTING.md lists them."""
    (block,) = re.findall(r"```\nquantgate/\n(.*?)```", README, flags=re.DOTALL)
    return re.findall(r"^  (\w+)/", block, flags=re.MULTILINE)


# the order


def test_no_module_imports_in_a_circle_even_late() -> None:
    tuple(TopologicalSorter({module: imported(module) for module in modules()}).static_order())


def test_nobody_imports_the_public_face() -> None:
    assert [module for module in modules() if "" in imported(module)] == []


def test_no_folder_imports_in_a_circle_even_late() -> None:
    tuple(TopologicalSorter({folder: needs(folder) for folder in folders()}).static_order())


@pytest.mark.parametrize("folder", folders())
def test_a_folder_says_what_it_imports(folder: str) -> None:
    assert said(folder, "Imports") == needs(folder)


@pytest.mark.parametrize("folder", folders())
def test_a_folder_says_who_reads_it(folder: str) -> None:
    assert said(folder, "Read by") == {other for other in folders() if folder in needs(other)}


def test_the_readme_lists_the_folders_from_the_inside_out() -> None:
    assert sorted(layout()) == sorted(folders())
    for place, folder in enumerate(layout()):
        assert needs(folder) <= set(layout()[:place]), f"{folder} stands before what it imports"


@pytest.mark.parametrize(
    "part", ["formats", "corpus", "training.model", "training.fakequant", "training.optimizers"]
)
def test_parts_know_nothing_of_each_other(part: str) -> None:
    own = [module for module in modules() if module == part or module.startswith(f"{part}.")]
    known = {other for module in own for other in imported(module)} - set(own)

    assert known <= {"training.eager", "training.lion"}, f"{part} knows {sorted(known)}"


# what a layer never sees


@pytest.mark.parametrize("folder", ["diagnosis", "records", "reports"])
def test_facts_and_readers_need_the_standard_library_alone(folder: str) -> None:
    foreign = {
        (module, name)
        for module in modules()
        if folder_of(module) == folder
        for name in imported(module, own=False)
        if name.partition(".")[0] not in sys.stdlib_module_names
    }

    assert {module for module, _ in foreign} <= {"reports.html.page", "reports.html.phrases"}
    assert {name for _, name in foreign} <= {"jinja2", "markupsafe"}


@pytest.mark.parametrize("module", [m for m in modules() if m != "reports.html.page"])
def test_the_pages_templates_are_loaded_where_a_page_is_made(module: str) -> None:
    assert "reports.html.page" not in loaded_with(module)


@pytest.mark.parametrize("module", [m for m in modules() if folder_of(m) in {*TORCH_FREE, ""}])
def test_what_a_run_loads_before_a_cell_costs_no_torch(module: str) -> None:
    guilty = {
        name for name in loaded_with(module) if imported(name, own=False, late=False) & {"torch", "numpy"}
    }

    assert guilty == set(), f"quantgate.{module} loads torch through {sorted(guilty)}"


def test_pytest_is_known_to_the_plugin_alone() -> None:
    knowing = {
        m for m in modules() if {"pytest", "_pytest"} & {n.partition(".")[0] for n in imported(m, own=False)}
    }

    assert {folder_of(module) for module in knowing} == {"plugin"}


def loaded_after(names: list[str]) -> set[str]:
    """The modules that a fresh interpreter holds after importing these of the package."""
    code = f"import sys, importlib; [importlib.import_module(n) for n in {names!r}]; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.parent
    )
    return set(done.stdout.split())


def test_no_torch_is_loaded_in_fact() -> None:
    # The tables of the history need an extra, which the minimum does not have.
    absent = set() if find_spec("alembic") else {"history"}
    loaded = loaded_after(
        [f"quantgate.{m}".rstrip(".") for m in modules() if folder_of(m) in {*TORCH_FREE, ""} - absent]
    )

    assert "quantgate.plan.matrix" in loaded
    assert not {"torch", "numpy"} & loaded


def test_no_pytest_is_loaded_in_fact_by_what_trains() -> None:
    loaded = loaded_after(
        [f"quantgate.{m}" for m in modules() if folder_of(m) in {"gate", "faults", "probes"}]
    )

    assert "torch" in loaded
    assert not {"pytest", "_pytest", "xdist"} & loaded


# files and folders


def test_nothing_stands_at_the_top_but_the_public_face() -> None:
    assert {path.name for path in ROOT.iterdir() if path.is_file()} == {"__init__.py", "suite.py", "py.typed"}


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT.parent)))
def test_files_are_short(path: Path) -> None:
    lines = len(path.read_text("utf-8").splitlines())

    assert lines < MOST_LINES, f"{path.name} has {lines} lines; split it by what it knows"


def test_folders_are_small() -> None:
    counts = {folder: len(list(folder.glob("*.py"))) for folder in {path.parent for path in sources()}}

    assert {str(folder): count for folder, count in counts.items() if count > MOST_FILES} == {}


@pytest.mark.parametrize("folder", [path.parent for path in sources() if path.name == "__init__.py"], ids=str)
def test_every_folder_says_what_it_holds(folder: Path) -> None:
    text = (folder / "__init__.py").read_text("utf-8")

    assert text.startswith('"""')
    assert len(text.split('"""')[1].strip()) > 20


def test_the_tests_mirror_the_folders() -> None:
    assert {folder for folder in folders() if not (ROOT.parent / "tests" / folder).is_dir()} == set()


# the public face


def test_the_public_face_is_lazy_and_whole() -> None:
    assert dir(quantgate) == sorted(quantgate.__all__)
    assert all(getattr(quantgate, name) is not None for name in quantgate.__all__)


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"^module 'quantgate' has no attribute 'register_fromat'$"):
        quantgate.register_fromat  # noqa: B018
