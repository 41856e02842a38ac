"""`comment.yml`: one comment that follows the gate, made of a report that anybody may have forged."""

from __future__ import annotations

import json

import pytest

from tests.examples import learning, make_cell, make_result
from tests.merging.shards import report
from tests.workflows.steps import WORKFLOWS, Runner, load

COMMENT = WORKFLOWS / "comment.yml"
RUN = "https://github.com/owner/project/actions/runs/9"
FAILING = (
    "<!-- quantgate -->\n"
    "**quantgate**: 1 of 2 cells do not learn.\n"
    "\n"
    "| format | optimizer | verdict | cause |\n"
    "|---|---|---|---|\n"
    "| `mylib_int4` | `adamw` | dead | gradient-blocked |\n"
    "\n"
    f"[The run and its report]({RUN})"
)


@pytest.fixture
def commenter(runner: Runner) -> Runner:
    run = "github.event.workflow_run"
    runner.expressions = {
        f"{run}.html_url": RUN,
        "github.token": "t",
        f"{run}.pull_requests[0].number": "7",
        f"{run}.head_repository.owner.login": "stranger",
        f"{run}.head_branch": "a branch; $(touch pwned)",
        f"{run}.head_sha": "ab" * 20,
    }
    return runner


def written(commenter: Runner) -> str:
    done = commenter.run(COMMENT, "comment", "Write the comment")
    assert done.status == 0, done.output
    body: str = json.loads((commenter.folder / "comment.json").read_text())["body"]
    return body


def test_the_comment_is_what_fails(commenter: Runner) -> None:
    report(commenter.folder / "report", [make_result(), learning(make_cell(optimizer="sgd"))])

    assert written(commenter) == FAILING


def test_a_long_table_says_how_many_it_leaves_out(commenter: Runner) -> None:
    report(commenter.folder / "report", [make_result(make_cell(seed=seed)) for seed in range(25)])

    assert "**quantgate**: 25 of 25 cells do not learn.\n" in written(commenter)
    assert "\n5 more are in the report.\n" in written(commenter)


def test_a_forged_report_puts_nothing_but_names_into_it(commenter: Runner) -> None:
    hostile = make_result(
        make_cell(subject="@team](http://x) <img src=x> `\n## hi"), cause="| [a](b) <script>"
    )
    report(commenter.folder / "report", [hostile])
    with (commenter.folder / "report" / "results.jsonl").open("a") as file:
        file.write('[1]\n{"kind": "format"}\n' + "[" * 100_000 + "\n\x00\n")

    assert written(commenter).splitlines()[5:-2] == [
        "| `?team??http:??x???img?src?x???????hi` | `adamw` | dead | ???a??b???script? |"
    ]


@pytest.mark.parametrize(
    ("there", "failing", "wrote"),
    [
        ("", True, "[POST] [repos/owner/project/issues/7/comments]"),
        ("", False, ""),
        ("other", True, "[PATCH] [repos/owner/project/issues/comments/55]"),
        ("same", True, ""),
        ("same", False, "[PATCH] [repos/owner/project/issues/comments/55]"),
    ],
)
def test_it_is_written_once_and_changed_where_something_changed(
    commenter: Runner, there: str, failing: bool, wrote: str
) -> None:
    first = make_result() if failing else learning()
    report(commenter.folder / "report", [first, learning(make_cell(optimizer="sgd"))])
    written(commenter)
    body = FAILING if there == "same" else "<!-- quantgate -->\nof an earlier commit"
    (commenter.folder / "comments").write_text(json.dumps({"id": 55, "body": body}) + "\n" if there else "")
    commenter.stand_in("gh", 'case "$*" in *paginate*) cat comments;; *) echo url;; esac')
    done = commenter.run(COMMENT, "comment", "Comment")

    assert done.status == 0, done.output
    assert done.calls[1:] == (
        [f"gh [api] [--method] {wrote} [--input] [comment.json] [--jq] [.html_url]"] if wrote else []
    )


def test_a_forks_pull_request_is_found_by_its_branch_and_commit(commenter: Runner) -> None:
    report(commenter.folder / "report", [make_result()])
    written(commenter)
    commenter.expressions["github.event.workflow_run.pull_requests[0].number"] = ""
    commenter.stand_in("gh", 'case "$*" in *pulls*) echo 8;; *paginate*) ;; *) echo url;; esac')
    done = commenter.run(COMMENT, "comment", "Comment")

    assert "[-f] [head=stranger:a branch; $(touch pwned)]" in done.calls[0]
    assert "[repos/owner/project/issues/8/comments]" in done.calls[-1]
    assert not (commenter.folder / "pwned").exists()


def test_it_checks_nothing_out_and_installs_nothing() -> None:
    said = load(COMMENT)["jobs"]["comment"]

    assert [step["uses"].partition("@")[0] for step in said["steps"] if "uses" in step] == [
        "actions/download-artifact"
    ]
    assert not any(
        word in step.get("run", "") for step in said["steps"] for word in ("pip ", "git ", "checkout")
    )
    assert said["permissions"] == {"actions": "read", "pull-requests": "write"}
