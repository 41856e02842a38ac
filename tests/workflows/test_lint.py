"""Every workflow: pinned, least privilege, linted, and no step of it without a test."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.workflows.steps import ACTION, ROOT, WORKFLOWS, load, steps

FILES = (*sorted(WORKFLOWS.glob("*.yml")), ACTION)
#: Its commands are what `.ci/run` runs.
BY_CI = WORKFLOWS / "tests.yml"
TESTS = "".join(path.read_text("utf-8") for path in Path(__file__).parent.glob("test_*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_action_is_pinned_to_one_commit_with_its_version_beside_it(path: Path) -> None:
    used = re.findall(r"^ *(?:- )?uses: (.*)$", path.read_text("utf-8"), flags=re.MULTILINE)

    assert used
    assert [each for each in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each)] == []


def test_an_action_has_the_same_commit_everywhere() -> None:
    texts = [
        path.read_text("utf-8") for path in (*FILES, ROOT / "quantgate" / "cli" / "pipeline" / "files.py")
    ]
    commits: dict[str, set[str]] = {}
    for name, commit in re.findall(r"uses: ([\w./-]+)@([0-9a-f]{40} # \S+)", "".join(texts)):
        commits.setdefault(name, set()).add(commit)

    assert {name: found for name, found in commits.items() if len(found) > 1} == {}


@pytest.mark.parametrize("path", sorted(WORKFLOWS.glob("*.yml")), ids=lambda path: path.name)
def test_nothing_is_permitted_but_what_a_job_asks_for(path: Path) -> None:
    said = load(path)

    assert said["permissions"] == {}
    assert all("permissions" in job and "timeout-minutes" in job for job in said["jobs"].values())


@pytest.mark.parametrize("path", [path for path in FILES if path != BY_CI], ids=lambda path: path.name)
def test_every_command_is_run_by_a_test(path: Path) -> None:
    installs = {
        ("plan", "Install"),
        ("shard", "Install"),
        ("long", "Install"),
        ("merge", "Install"),
    }  # `pip install` of the checkout
    missing = [
        (job, name)
        for job, name in steps(path)
        if (job, name) not in installs and f'"{job}", "{name}"' not in TESTS
    ]

    assert missing == []


@pytest.mark.parametrize(
    "command",
    [("actionlint",), ("zizmor", "--offline", "--persona=auditor", ".github")],
    ids=lambda each: each[0],
)
def test_a_linter_finds_nothing(command: tuple[str, ...]) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
