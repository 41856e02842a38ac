"""`lowbit_cell.assert_healthy()`: the probes without the curve."""

from __future__ import annotations

import pytest

from tests.plugin.project import BLOCKED, NARROW, Project

TEST = """
def test_is_healthy(lowbit_cell):
    lowbit_cell.assert_healthy()
"""


@pytest.mark.slow
def test_the_probes_alone_judge_without_a_curve(local: Project) -> None:
    local.write(conftest=BLOCKED, test_lowbit=TEST)
    options = ("--quantgate-formats=blocked,int8", "--quantgate-optimizers=adamw", "--quantgate-report=out")
    outcome = local.pytest("-n0", *NARROW, *options)

    assert outcome.exit_status == 1
    int8, blocked = outcome.cells["int8"], outcome.cells["blocked"]
    assert (int8["verdict"], int8["bpb"], int8["curve"], int8["steps"]) == ("healthy", None, [], 8)
    assert (blocked["verdict"], blocked["cause"]) == ("faulty", "gradient-blocked")
    assert (
        "blocked x adamw, width 32: faulty, as the probes of 8 steps say. Cause: gradient-blocked."
        in outcome.lines
    )
    assert "2 planned / 2 ran / 2 judged / 0 skipped" in outcome.stdout
