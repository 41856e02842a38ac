"""Steps of a workflow, run in a folder: bash as on a runner, `${{ }}` from a table, commands that are stand-ins."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = ROOT / ".github" / "workflows"
ACTION = ROOT / ".github" / "actions" / "lowbit" / "action.yml"
_EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}")
#: Writes down what it was called with, a line a call, and then does what its name's script in the folder says.
_STAND_IN = """#!/bin/bash
printf '%s' "{name}" >> "$CALLS"; printf ' [%s]' "$@" >> "$CALLS"; printf '\\n' >> "$CALLS"
{then}
"""


def load(path: Path) -> dict[str, Any]:
    """A workflow or action as data."""
    found: dict[Any, Any] = yaml.safe_load(path.read_text("utf-8"))
    return {"on" if name is True else name: value for name, value in found.items()}  # YAML reads `on` as true


def steps(path: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Every step of a file that runs a command, by its job and its name."""
    said = load(path)
    jobs = said["jobs"] if "jobs" in said else {"": said["runs"]}
    return {
        (job, step["name"]): step for job, each in jobs.items() for step in each["steps"] if "run" in step
    }


@dataclass(frozen=True)
class Done:
    """A step that has run."""

    status: int
    output: str
    outputs: dict[str, str]
    summary: str
    #: What stand-ins were called with: `pip [install] [.]`.
    calls: list[str]


@dataclass
class Runner:
    """A runner's folder and environment."""

    folder: Path
    #: `${{ }}` as it is written, without its braces -> what it is.
    expressions: dict[str, str] = field(default_factory=dict)

    def stand_in(self, name: str, then: str = "") -> None:
        """Put a command of this name before all others."""
        path = self._bin / name
        path.write_text(_STAND_IN.format(name=name, then=then), encoding="utf-8")
        path.chmod(0o755)

    def real(self, name: str, module: str = "") -> None:
        """Put this interpreter, or one of its modules, before all others by this name."""
        path = self._bin / name
        more = f" -m {module}" if module else ""
        path.write_text(f'#!/bin/bash\nexec {sys.executable}{more} "$@"\n', encoding="utf-8")
        path.chmod(0o755)

    def run(self, path: Path, job: str, name: str, environment: Mapping[str, str] | None = None) -> Done:
        """Run a step as a runner does; an expression that no table has is a KeyError."""
        said = load(path)
        step = steps(path)[job, name]
        around = (said.get("env", {}), said.get("jobs", {}).get(job, {}).get("env", {}), step.get("env", {}))
        own = {key: self.evaluated(str(value)) for each in around for key, value in each.items()}
        assert not _EXPRESSION.search(step["run"]), "an expression in a script is an injection"
        paths = {key: self.folder / key.lower() for key in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "CALLS")}
        for each in paths.values():
            each.write_text("")
        script = self.folder / "script.sh"
        script.write_text(step["run"], encoding="utf-8")
        # Nothing of the outer run, a job of CI itself perhaps.
        names = ("PYTEST_", "QUANTGATE_", "GITHUB_", "CI_", "PYTHONWARNINGS")
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(names)}
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],
            cwd=self.folder,
            env={
                **inherited,
                "PATH": f"{self._bin}:{os.environ['PATH']}",
                "PYTHONPATH": str(ROOT),
                "GITHUB_REPOSITORY": "owner/project",
                "GITHUB_SERVER_URL": "https://github.com",
                "GITHUB_RUN_ID": "17345",
                **own,
                **{key: str(value) for key, value in paths.items()},
                **(environment or {}),
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        outputs = dict(line.split("=", 1) for line in paths["GITHUB_OUTPUT"].read_text().splitlines())
        return Done(
            done.returncode,
            done.stdout + done.stderr,
            outputs,
            paths["GITHUB_STEP_SUMMARY"].read_text(),
            paths["CALLS"].read_text().splitlines(),
        )

    def evaluated(self, text: str) -> str:
        """A value with its expressions replaced."""
        return _EXPRESSION.sub(lambda found: self.expressions[found[1].strip()], text)

    @property
    def _bin(self) -> Path:
        path = self.folder / "bin"
        path.mkdir(exist_ok=True)
        return path
