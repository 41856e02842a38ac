from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

import quantgate

# Pytester forgets the modules that a run in this process imports; these would be read again by every run.
import quantgate.corpus
import quantgate.plugin.reporter
import quantgate.plugin.session
from quantgate.subjects.registry import REGISTRY
from tests.conftest import Once
from tests.plugin.project import MODES, InProcess, Outcome, Project

Shared = Callable[[str, Callable[[Project], Outcome]], Outcome]
#: The fixtures whose runs train cells, or are processes of their own.
SLOW = {"project", "local"}


def pytest_itemcollected(item: pytest.Item) -> None:
    """What makes such a run is slow; what only collects in this process is not."""
    if SLOW & set(getattr(item, "fixturenames", ())):
        item.add_marker("slow")


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """In-process runs register in the registry of this process: each test has it empty."""
    for names in ("_formats", "_recipes", "_optimizers", "_trainers"):
        monkeypatch.setattr(REGISTRY, names, {})
    for name in os.environ:
        if name.startswith(("QUANTGATE_", "PYTEST_TIMEOUT", "PYTEST_XDIST")):
            monkeypatch.delenv(name)


@pytest.fixture
def pytester(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Pytest's own, without the plugins that collect this process's garbage at the end of each run in it."""
    slow = ("unraisableexception", "threadexception", "hypothesispytest", "cacheprovider")
    monkeypatch.setenv("PYTEST_ADDOPTS", " ".join(f"-p no:{name}" for name in slow))
    return pytester


@pytest.fixture(params=list(MODES))
def mode(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The arguments of a mode: no pytest-xdist, `-n0`, `-n2`."""
    return MODES[request.param]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project of this test alone."""
    return Project(tmp_path / "project")


@pytest.fixture(scope="session")
def shared(once: Once, tmp_path_factory: pytest.TempPathFactory) -> Shared:
    """Makes a run that many tests read: `shared(name, run)`."""

    def outcome(name: str, run: Callable[[Project], Outcome]) -> Outcome:
        name = f"project-{name}"
        found: Outcome = once(name, lambda: run(Project(tmp_path_factory.mktemp(name))))
        return found

    return outcome


@pytest.fixture(scope="session")
def _trained_before() -> None:
    """Nor can torch be imported twice: what a training imports is here before, a user's own optimizer too."""
    import_module("torch._dynamo")  # which torch's optimizers import, unless they are the built-in ones
    quantgate.run_cell("int8", "adamw", config=quantgate.Config(width=16, steps=1))


@pytest.fixture
def local(_trained_before: None, tmp_path: Path, pytester: pytest.Pytester) -> Project:
    """A project of this test alone, whose runs are in this process."""
    return InProcess(tmp_path / "project", pytester)


@pytest.fixture
def shared_local(_trained_before: None, shared: Shared, pytester: pytest.Pytester) -> Shared:
    """Makes a run in this process that many tests read."""
    return lambda name, run: shared(name, lambda project: run(InProcess(project.folder, pytester)))
