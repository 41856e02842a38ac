"""Shards of different runs, which make no whole and are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from quantgate.merging.reading import read_part
from quantgate.merging.whole import Merged, merge
from quantgate.records.closing import Closing, Plan
from tests.merging.shards import PLAN, report


def merged(*paths: Path) -> Merged:
    return merge([read_part(path) for path in paths])


def other_plan(folder: Path, plan: Plan, **said: Any) -> Path:
    return report(folder, [], Closing(plan, exit_status=0, **said))


@pytest.mark.parametrize(
    ("plan", "said", "message"),
    [
        (
            Plan(PLAN.cells, {"steps": 300}),
            {},
            "are not shards of one run: steps is 100 in the first and 300 in the second; give the reports of one",
        ),
        (
            Plan(PLAN.cells[:3], PLAN.settings),
            {},
            "are not shards of one run: the first plans 4 cells, the second 3, and only one of them has int8-sgd-s47; "
            "give the reports of one",
        ),
        (
            PLAN,
            {"run": "GitHub 2"},
            "are not shards of one run: they are of GitHub 1 and of GitHub 2; give the reports of one",
        ),
    ],
)
def test_shards_of_different_runs_are_refused(tmp_path: Path, plan: Plan, said: Any, message: str) -> None:
    a = report(tmp_path / "a", [], shard="1/2", run="GitHub 1")
    b = other_plan(tmp_path / "b", plan, **said)

    with pytest.raises(ValueError, match="are not shards of one run") as refused:
        merged(a, b)
    assert str(refused.value) == f"{a} and {b} {message}"


def test_another_number_of_shards_is_refused(tmp_path: Path) -> None:
    a, b = report(tmp_path / "a", [], shard="1/2"), report(tmp_path / "b", [], shard="3/4")

    with pytest.raises(ValueError, match="give the shards of one run") as refused:
        merged(a, b)
    assert str(refused.value) == f"{a} is one of 2 shards and {b} one of 4; give the shards of one run"
