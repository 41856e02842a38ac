"""A run of one process has a second one for its negative controls; a run that has workers needs none."""

from __future__ import annotations

import pytest

from tests.plugin.project import FAST, MODES, TEST_LEARNS, Project

#: Every process has an idle core, and writes down what it starts.
CONFTEST = """
import subprocess

from quantgate.gate.controls import aside

aside._idle_cores = lambda: 1
start = subprocess.Popen


def noted(command, **more):
    with open("started", "a") as file:
        print(command[-1], file=file)
    return start(command, **more)


subprocess.Popen = noted
"""


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "helpers"), [("plain", 1), ("n0", 1), ("n2", 0)])
def test_helper(project: Project, mode: str, helpers: int) -> None:
    project.write(conftest=CONFTEST, test_lowbit=TEST_LEARNS)
    outcome = project.pytest(*MODES[mode], *FAST, "--quantgate-formats", "int8")
    assert outcome.exit_status == 0, outcome.stdout
    assert "3 of 3 negative controls fail" in outcome.stdout
    started = outcome.folder / "started"
    commands = started.read_text("utf-8").splitlines() if started.exists() else []
    assert commands.count("quantgate.gate.controls.aside") == helpers
