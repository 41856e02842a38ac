"""What the tests of every folder may use."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from filelock import FileLock

# Read when torch is imported: in each worker its pool of threads would spin for its turn on a core that others have.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Where this is set, each of the processes that tests start would compile quantgate anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

#: `once(name, make)` gives what `make` made.
Once = Callable[[str, Callable[[], Any]], Any]


@pytest.fixture(autouse=True)
def _no_workflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs within tests are no steps of the workflow that may run these tests: its summary is not theirs.

    Nor are its wide lines: where pytest finds itself on CI, it cuts none of its short summary.
    """
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "CI", "BUILD_NUMBER"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def once(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Once:
    """What many tests read is made once in a session, however many workers it has."""
    base = tmp_path_factory.getbasetemp()
    folder = base.parent if hasattr(request.config, "workerinput") else base

    def made(name: str, make: Callable[[], Any]) -> Any:
        saved = folder / f"{name}.pickle"
        with FileLock(folder / f"{name}.lock"):
            if not saved.exists():
                saved.write_bytes(pickle.dumps(make()))
        return pickle.loads(saved.read_bytes())

    return made
