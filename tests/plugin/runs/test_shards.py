"""Shards of a run, each a run of its own, merged: the verdicts of one run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from quantgate.merging.reading import Part, read_part
from quantgate.merging.whole import Merged, merge
from quantgate.subjects.registry import REGISTRY
from tests.plugin.conftest import Shared
from tests.plugin.project import BLOCKED, NARROW, TEST_LEARNS, Outcome, Project

OPTIONS = (
    *NARROW, "--quantgate-formats=int8,nf4,blocked", "--quantgate-optimizers=adamw,lion", "--quantgate-steps=20",
    "--quantgate-lr=0.003", "-p", "no:xdist",
)  # fmt: skip


@pytest.fixture
def parts(shared_local: Shared, monkeypatch: pytest.MonkeyPatch) -> dict[str, Part]:
    """The whole run, and the same in two shards that an engine places."""

    def run(project: Project, *more: str) -> Outcome:
        monkeypatch.setattr(REGISTRY, "_formats", {})
        project.write(conftest=BLOCKED, test_lowbit=TEST_LEARNS)
        return project.pytest(*OPTIONS, "--quantgate-report=out", *more)

    outcomes = {"whole": shared_local("shards-whole", run)}
    monkeypatch.setenv("CI_NODE_TOTAL", "2")
    monkeypatch.setenv("CI_PIPELINE_ID", "77")
    for name in ("1", "2"):
        monkeypatch.setenv("CI_NODE_INDEX", name)
        outcomes[name] = shared_local(
            f"shards-{name}", lambda project: run(project, "--quantgate-shard=auto")
        )
    return {name: read_part(outcome.folder / "out") for name, outcome in outcomes.items()}


def said(results: Any) -> dict[str, tuple[object, ...]]:
    return {
        each.cell.id: (each.verdict, each.cause, each.bpb, each.curve, each.bpb_control) for each in results
    }


def test_shards_give_the_verdicts_of_one_run(parts: dict[str, Part]) -> None:
    whole: Merged = merge([parts["1"], parts["2"]])
    one = parts["whole"]
    assert one.closing is not None

    assert said(whole.results) == said(one.results)
    assert said(whole.controls) | said(one.controls) == said(whole.controls)
    assert whole.closing.exit_status == one.closing.exit_status == 1
    assert whole.closing.plan.digest == one.closing.plan.digest
    assert (
        (whole.closing.planned, whole.closing.judged) == (one.closing.planned, one.closing.judged) == (6, 6)
    )


def test_each_shard_says_the_whole_plan_its_place_and_its_run(parts: dict[str, Part]) -> None:
    closings = [parts[name].closing for name in ("1", "2")]

    assert [(c.shard, c.run, c.planned, len(c.plan.cells)) for c in closings if c] == [
        ("1/2", "GitLab 77", 3, 6),
        ("2/2", "GitLab 77", 3, 6),
    ]
    assert {result.shard for result in parts["1"].results} == {"1/2"}


def test_a_report_that_is_no_shards_says_so(parts: dict[str, Part], tmp_path: Path) -> None:
    closing = parts["whole"].closing

    assert closing is not None
    assert (closing.shard, closing.left_out, closing.given) == (
        None, {}, ("formats", "lr", "optimizers", "report", "steps", "widths"),
    )  # fmt: skip
    assert merge([parts["whole"]]).closing.plan == closing.plan
