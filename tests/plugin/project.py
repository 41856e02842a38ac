"""A user's project in a folder: its files are written, pytest is run in it, its report is read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

TEST_LEARNS = """
def test_learns(lowbit_cell):
    lowbit_cell.assert_learns()
"""
#: Every mode in which the plugin must work: without pytest-xdist, with it switched off, with two workers.
MODES = {"plain": ("-p", "no:xdist"), "n0": ("-n0",), "n2": ("-n2",)}
#: A cell of this width takes half the time.
NARROW = ("--quantgate-widths", "32")
#: Cells that learn in a tenth of a second, under AdamW alone.
FAST = (*NARROW, "--quantgate-optimizers", "adamw", "--quantgate-steps", "20", "--quantgate-lr", "0.003")
#: Nothing here is asked of them, and the second imports all of hypothesis in every process.
PLUGINS_LEFT_OUT = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest")
#: This process has imported quantgate before the run in it begins, which is no concern of the run.
IN_PROCESS = ("-W", "ignore:Module already imported so cannot be rewritten")
#: A format that does not learn: round() has no gradient. It costs no torch import to register.
BLOCKED = """
import quantgate

quantgate.register_format("blocked", lambda w: (w * 64).round() / 64, bits=8)
"""


@dataclass(frozen=True)
class Outcome:
    """A pytest run that has ended, and the folder that it ran in."""

    folder: Path
    exit_status: int
    stdout: str
    stderr: str

    @cached_property
    def lines(self) -> list[str]:
        """The lines of standard output, without what pads them on the right."""
        return [line.rstrip() for line in self.stdout.splitlines()]

    def after(self, line: str, count: int = 1) -> list[str]:
        """The lines that follow a line; it must be there once."""
        assert self.lines.count(line) == 1, f"{self.lines.count(line)} times {line!r} in:\n{self.stdout}"
        place = self.lines.index(line)
        return self.lines[place + 1 : place + 1 + count]

    @property
    def records(self) -> list[dict[str, Any]]:
        """Every record of the report, in order; a constant like NaN, which JSON does not have, is refused."""
        return [line for line in self._report if line["kind"] != "run"]

    @property
    def closing(self) -> dict[str, Any]:
        """The closing line of the report."""
        last = self._report[-1]
        assert last["kind"] == "run"
        return last

    @cached_property
    def _report(self) -> list[dict[str, Any]]:
        text = (self.folder / "out" / "results.jsonl").read_text("utf-8")
        return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]

    @cached_property
    def cells(self) -> dict[str, dict[str, Any]]:
        """The records of the subjects by `subject`, `subject-optimizer` where that is no adamw, `-inplace`."""
        found: dict[str, dict[str, Any]] = {}
        for record in self.records:
            if record["kind"] in {"format", "recipe"}:
                name = record["subject"]
                if record["optimizer"] != "adamw":
                    name += f"-{record['optimizer']}"
                if record["storage"] != "master":
                    name += f"-{record['storage']}"
                assert name not in found, f"two records of {name}"
                found[name] = record
        return found


def inherited() -> dict[str, str]:
    """The variables of this process, without those that are of the outer run."""
    outer = ("PYTEST_", "QUANTGATE_", "COLUMNS", "OMP_NUM_THREADS")
    return {name: value for name, value in os.environ.items() if not name.startswith(outer)}


def refuse(constant: str) -> None:
    raise ValueError(f"{constant} in a JSON report")


class Project:
    """A folder that pytest is run in, each time in a new process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, **texts: str) -> Project:
        """Write Python files: `write(conftest="...")`."""
        for name, text in texts.items():
            (self.folder / f"{name}.py").write_text(text, encoding="utf-8")
        return self

    def pytest(
        self, *arguments: str, environment: Mapping[str, str] | None = None, timeout: float = 300
    ) -> Outcome:
        """Run pytest; the outer run's variables do not reach it."""
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *PLUGINS_LEFT_OUT, *arguments],
            cwd=self.folder,
            env={**inherited(), "COLUMNS": "120", "PYTHONUTF8": "1", **(environment or {})},
            capture_output=True,
            encoding="utf-8",
            timeout=timeout,
            check=False,
        )
        return Outcome(self.folder, done.returncode, done.stdout, done.stderr)


class InProcess(Project):
    """A folder that pytest is run in within this process, which has paid for torch.

    For what a run says of its cells; what a process imports, and how workers share, is asked of processes.
    """

    def __init__(self, folder: Path, pytester: pytest.Pytester) -> None:
        super().__init__(folder)
        self._pytester = pytester

    def pytest(
        self, *arguments: str, environment: Mapping[str, str] | None = None, timeout: float = 300
    ) -> Outcome:
        """Run pytest; the time that it may take is the outer run's."""
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            for name, value in {"COLUMNS": "120", **(environment or {})}.items():
                patch.setenv(name, value)
            patch.setattr(
                "quantgate.gate.controls.aside._idle_cores", lambda: 0
            )  # torch is here already: it would not help
            done = self._pytester.runpytest_inprocess(*IN_PROCESS, *arguments)
        return Outcome(self.folder, int(done.ret), done.stdout.str(), done.stderr.str())
