"""Who pays for torch: a process that trains, and nobody else."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.plugin.project import BLOCKED, TEST_LEARNS, Project

#: Modules that take longer to import than a pytest run may lose.
HEAVY = ("torch", "numpy", "filelock", "asyncio")
SAYS = f"""
import sys


def pytest_unconfigure():
    print("HEAVY", sorted({set(HEAVY)} & set(sys.modules)))
"""


@pytest.mark.parametrize(
    "options",
    [("test_other.py",), ("--collect-only", "-q"), ("--markers",), ("-m", "not lowbit"), ("--quantgate-formats=int3",)],
    ids=["plain", "collect-only", "markers", "not-lowbit", "error"],
)  # fmt: skip
def test_a_run_that_trains_nothing_imports_nothing_heavy(project: Project, options: tuple[str, ...]) -> None:
    project.write(conftest=SAYS + BLOCKED, test_lowbit=TEST_LEARNS, test_other="def test_other(): ...\n")
    outcome = project.pytest("-p", "no:xdist", *options)
    assert "HEAVY []" in outcome.lines


def test_nor_does_the_import_of_quantgate_and_what_a_conftest_registers() -> None:
    code = (
        f"import sys\n{BLOCKED}\nquantgate.get_format('int4')\nprint(sorted({set(HEAVY)} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
