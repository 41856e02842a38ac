"""The command that judges a cell again: it holds what the verdict depends on, and gives the same when it is pasted."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from quantgate.reports.reading import read
from quantgate.reports.story import rerun
from quantgate.subjects.registry import REGISTRY
from tests.plugin.project import BLOCKED, FAST, TEST_LEARNS, Outcome, Project

#: As a repository has it that keeps its low-bit tests out of everyday runs.
INI = """[pytest]
addopts = -m "not lowbit"
quantgate_min_cells = 2
"""
KNOWN = """["blocked-*"]
cause = "gradient-blocked"
reason = "a sample"
"""
CHOSEN = ("-n0", "-m", "lowbit", *FAST, "--quantgate-formats=int8,blocked")


def commands(folder: Path) -> dict[str, str]:
    """The command of each cell of a report, by its subject."""
    story = read([folder / "out"])
    found = {each.subject: rerun(each, story.run) for each in story.results}
    return {subject: command for subject, command in found.items() if command is not None}


def run(project: Project, *arguments: str) -> Outcome:
    """A run in this process, in which another one may have been."""
    REGISTRY._formats.clear()
    return project.pytest(*arguments)


def test_the_command_gives_the_same_verdict_beside_the_same_baseline_and_known_failures(
    local: Project,
) -> None:
    local.write(conftest=BLOCKED, test_lowbit=TEST_LEARNS)
    (local.folder / "pytest.ini").write_text(INI)
    (local.folder / "known.toml").write_text(KNOWN)
    run(local, *CHOSEN, "--quantgate-baseline=base.jsonl", "--quantgate-update-baseline")
    lines = [json.loads(line) for line in (local.folder / "base.jsonl").read_text("utf-8").splitlines()]
    for line in lines:
        if line.get("bpb") is not None:
            line["bpb"] -= 0.5
    (local.folder / "base.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    held = ("--quantgate-baseline=base.jsonl", "--quantgate-known-failures=known.toml")
    first = run(local, *CHOSEN, *held, "--quantgate-report=out")
    found = commands(local.folder)

    assert first.exit_status == 1
    assert found["int8"] == (
        "pytest 'test_lowbit.py::test_learns[int8-adamw-s47-w32]' -mlowbit --quantgate-formats=int8,blocked "
        "--quantgate-optimizers=adamw --quantgate-widths=32 --quantgate-steps=20 --quantgate-lr=0.003 "
        "--quantgate-known-failures=known.toml --quantgate-baseline=base.jsonl --quantgate-min-cells=1"
    )
    regressed = run(local, "-n0", *shlex.split(found["int8"])[1:])
    known = run(local, "-n0", *shlex.split(found["blocked"])[1:])
    assert (regressed.exit_status, known.exit_status) == (1, 0)
    assert "int8 x adamw, width 32: regressed against the baseline: " in regressed.stdout
    assert "1 planned / 1 ran / 1 judged / 0 skipped" in regressed.stdout
    assert "A known failure: a sample" in known.stdout


def test_the_command_names_files_from_where_the_run_was_started(project: Project) -> None:
    """And it holds what pytest was told of its own ini file, plugins and limits."""
    (project.folder / "pytest.ini").write_text("[pytest]\n")
    inner = Project(project.folder / "pkg").write(test_lowbit=TEST_LEARNS, mine=BLOCKED)
    told = ("-o", "quantgate_storage=inplace", "-o", "console_output_style=count", "--timeout=50")
    inner.pytest("-n0", *FAST, "-pmine", *told, "--quantgate-report=out")
    (command,) = commands(inner.folder).values()

    assert command == (
        "pytest 'test_lowbit.py::test_learns[blocked-adamw-s47-w32-inplace]' "
        "--override-ini=quantgate_storage=inplace -pmine --timeout=50 --quantgate-optimizers=adamw "
        "--quantgate-widths=32 --quantgate-steps=20 --quantgate-lr=0.003"
    )
    again = inner.pytest("-n0", *shlex.split(command)[1:])
    assert "1 planned / 1 ran / 1 judged / 0 skipped" in again.stdout
    assert "blocked w32 inplace" in again.stdout
