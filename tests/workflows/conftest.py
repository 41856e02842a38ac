from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("yaml", reason="reads the workflows: pip install 'quantgate[test]'")

from tests.workflows.steps import Runner


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    """A runner whose `python` is this one."""
    made = Runner(tmp_path)
    for name in ("python", "python3"):
        made.real(name)
    return made
