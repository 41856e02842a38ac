"""The record of a run."""

from __future__ import annotations

import json
from typing import Any

import pytest

from quantgate.records.run import RunRecord
from quantgate.records.verdict import Limits

RUN = RunRecord(
    state="finished",
    exit_status=1,
    planned=9,
    problems=("2 of 9 planned cells were judged",),
    fail_bpb=6.4,
    known={"int4-adamw-s47": {"reason": "coarse", "cause": "resolution"}},
    finished="2026-11-25T12:00:00Z",
)


def test_it_comes_back_from_json() -> None:
    assert RunRecord.from_record(json.loads(json.dumps(RUN.to_record()))) == RUN
    assert RUN.limits == Limits(6.4, 6.9)


def test_shell_scripts_find_how_it_ended_at_its_start() -> None:
    assert json.dumps(RUN.to_record()).startswith('{"state": "finished", "exit_status": 1, ')


def test_keys_of_other_versions_are_left_out() -> None:
    assert RunRecord.from_record({"state": "unfinished", "running": "int4-adamw-s47"}) == RunRecord()


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ([], "its state is neither 'unfinished' nor 'finished'"),
        ({"state": "over"}, "its state is neither 'unfinished' nor 'finished'"),
        ({"state": "finished", "planned": True}, "planned is True"),
        ({"state": "finished", "problems": "one"}, "problems is 'one'"),
        ({"state": "finished", "fail_bpb": None}, "fail_bpb is None"),
        ({"state": "finished", "known": {"int4": "coarse"}}, "known is {'int4': 'coarse'}"),
    ],
)
def test_another_thing_is_refused(record: Any, message: str) -> None:
    with pytest.raises(ValueError, match="not a run's record") as raised:
        RunRecord.from_record(record)

    assert str(raised.value) == f"not a run's record: {message}"
