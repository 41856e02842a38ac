"""`nightly.yml`: planned, cut, merged, and told in one issue."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from quantgate.merging.reading import read_part
from tests.examples import learning, make_result
from tests.merging.shards import CELLS, control, halves, negative, report
from tests.workflows.steps import WORKFLOWS, Runner, load

NIGHTLY = WORKFLOWS / "nightly.yml"
INPUTS = {f"inputs.{name}": "" for name in ("formats", "optimizers", "seeds", "widths", "corpus", "steps")}
DATABASE = "github.ref_name == github.event.repository.default_branch && secrets.QUANTGATE_DB || ''"


@pytest.fixture
def nightly(runner: Runner) -> Runner:
    """A runner with this checkout's `quantgate`."""
    runner.real("quantgate", "quantgate.cli")
    runner.expressions = dict(INPUTS)
    return runner


def test_the_plan_is_a_matrix_of_the_shards_that_hold_cells(nightly: Runner) -> None:
    (nightly.folder / "test_lowbit.py").write_text("def test_learns(lowbit_cell): ...\n")
    nightly.expressions |= {
        "inputs.shards || '8'": "4", "inputs.formats": "int4,nf4", "inputs.optimizers": "adamw", "inputs.seeds": "47",
        "inputs.widths": "64",
    }  # fmt: skip
    done = nightly.run(NIGHTLY, "plan", "Plan")

    assert (done.status, done.outputs) == (0, {"shards": '["1/4", "2/4"]'}), done.output
    plan = json.loads((nightly.folder / "plan.json").read_text())
    assert [cell["id"] for cell in plan["cells"]] == ["int4-adamw-s47", "nf4-adamw-s47"]


@pytest.mark.parametrize("database", ["", "postgresql://u:secret@host/db"])
def test_a_shard_is_the_gate_with_its_place(nightly: Runner, database: str) -> None:
    nightly.stand_in(
        "pytest", 'echo "$QUANTGATE_SHARD $QUANTGATE_MATRIX ${QUANTGATE_DB-none} ${DATABASE-none}"; exit 1'
    )
    nightly.expressions |= {"matrix.shard": "3/8", DATABASE: database}
    done = nightly.run(NIGHTLY, "shard", "Gate")

    assert done.status == 1
    assert done.outputs == {"artifact": "nightly-shard-3"}
    assert done.calls == ["pytest [-m] [lowbit] [-n] [auto] [--quantgate-report] [report]"]
    assert done.output == f"3/8 nightly {database or 'none'} none\n"


@pytest.mark.parametrize("database", ["", "postgresql://u:secret@host/db"])
def test_the_long_lane_is_a_job_of_its_own_of_scheduled_nights(nightly: Runner, database: str) -> None:
    nightly.stand_in(
        "pytest",
        'echo "${QUANTGATE_SHARD-whole} $QUANTGATE_MATRIX ${QUANTGATE_DB-none} ${DATABASE-none}"; exit 1',
    )
    nightly.expressions |= {DATABASE: database}
    done = nightly.run(NIGHTLY, "long", "Gate")
    job = load(NIGHTLY)["jobs"]["long"]

    assert done.status == 1
    assert done.calls == ["pytest [-m] [lowbit] [-n] [auto] [--quantgate-report] [long]"]
    assert done.output == f"whole long {database or 'none'} none\n"
    assert job["if"] == "github.event_name == 'schedule'"
    assert job["steps"][-1]["with"]["name"] == "nightly-long"  # no shard that merge would fetch


@pytest.mark.parametrize("there", ["yes", "no run", "no artifact"])
def test_the_report_of_the_night_before_is_fetched(nightly: Runner, there: str) -> None:
    number = "" if there == "no run" else "99"
    fetched = "exit 1" if there == "no artifact" else "mkdir -p before && touch before/results.jsonl"
    nightly.stand_in("gh", f'if [ "$2" = list ]; then echo "{number}"; else {fetched}; fi')
    nightly.expressions |= {"github.token": "t", "github.ref_name": "main"}
    done = nightly.run(NIGHTLY, "merge", "Fetch the report of the night before")

    assert done.status == 0
    assert done.summary == ("" if there == "yes" else "No earlier nightly to compare with.\n")
    assert done.calls[0].startswith(
        "gh [run] [list] [--repo] [owner/project] [--workflow] [nightly.yml] [--branch] [main]"
    )
    assert done.calls[1:] == ([] if there == "no run" else [
        "gh [run] [download] [99] [--repo] [owner/project] [--name] [nightly-results] [--dir] [before]"
    ])  # fmt: skip


def test_shards_are_merged_and_what_turned_is_told(nightly: Runner) -> None:
    halves(nightly.folder / "shards")
    report(nightly.folder / "before", [*map(learning, CELLS[1:]), make_result(CELLS[0])])
    done = nightly.run(NIGHTLY, "merge", "Merge")

    assert (done.status, done.outputs) == (0, {"turned": "true"}), done.output
    assert "4 planned / 4 ran / 4 judged" in done.output
    assert "| `int4-adamw-s47` | dead | learns |" in done.summary
    assert len(read_part(nightly.folder / "nightly").results) == 4


def test_a_shard_that_is_missing_or_fails_makes_the_night_red(nightly: Runner) -> None:
    cells = CELLS[::2]
    failing = [make_result(cells[0]), learning(cells[1]), control(cells[0]), negative(cells[0])]
    report(nightly.folder / "shards" / "nightly-shard-1", failing, shard="1/2", exit_status=1)
    done = nightly.run(NIGHTLY, "merge", "Merge")

    assert (done.status, done.outputs) == (1, {})
    assert "no report of shard 2/2" in done.output


def test_no_report_at_all_is_said(nightly: Runner) -> None:
    done = nightly.run(NIGHTLY, "merge", "Merge")

    assert done.status == 1
    assert "::error title=nightly::no shard left a report" in done.output


def test_the_report_is_made_of_the_merged_records(nightly: Runner) -> None:
    nightly.stand_in("quantgate")

    assert nightly.run(NIGHTLY, "merge", "Report").calls == [
        "quantgate [report] [nightly/results.jsonl] [-o] [nightly/report.html]"
    ]


@pytest.mark.parametrize("number", ["", "12"])
def test_one_issue_is_opened_or_added_to(nightly: Runner, number: str) -> None:
    (nightly.folder / "nightly").mkdir()
    hostile = 'a "quoted" `$(touch pwned)` \\ line\n| row |\n'
    (nightly.folder / "nightly" / "turned.md").write_text(hostile)
    nightly.stand_in("gh", f'case "$*" in *GET*) echo "{number}";; *) echo "https://issue";; esac')
    nightly.expressions |= {"github.token": "t"}
    done = nightly.run(NIGHTLY, "issue", "Open the issue, or add to it")

    assert done.status == 0, done.output
    asked, wrote = done.calls
    assert "[repos/owner/project/issues]" in asked
    kind = "comment" if number else "issue"
    place = "issues/12/comments" if number else "issues"
    assert wrote == (
        f"gh [api] [--method] [POST] [repos/owner/project/{place}] [--input] [{kind}.json] [--jq] [.html_url]"
    )
    said = json.loads((nightly.folder / f"{kind}.json").read_text())
    assert said["body"] == f"{hostile}\nThe report: https://github.com/owner/project/actions/runs/17345\n"
    assert not (nightly.folder / "pwned").exists()


def test_only_the_issue_may_write_and_only_what_trains_holds_a_secret() -> None:
    said = load(NIGHTLY)
    jobs = said["jobs"]

    assert said["permissions"] == {}
    assert {name: job["permissions"] for name, job in jobs.items()} == {
        "plan": {"contents": "read"},
        "shard": {"contents": "read"},
        "long": {"contents": "read"},
        "merge": {"contents": "read", "actions": "read"},
        "issue": {"issues": "write"},
    }
    assert [name for name, job in jobs.items() if "secrets." in json.dumps(job)] == ["shard", "long"]
    assert "actions/checkout" not in json.dumps(jobs["issue"])


def test_nothing_that_a_pull_request_starts_has_a_secret_or_may_write() -> None:
    for path in Path(NIGHTLY.parent).glob("*.yml"):
        said = load(path)
        if "pull_request" in said["on"]:
            assert "secrets." not in path.read_text("utf-8")
            assert all("write" not in job["permissions"].values() for job in said["jobs"].values())
        assert "pull_request_target" not in said["on"]
