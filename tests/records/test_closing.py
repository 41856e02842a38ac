"""The closing line of a report: what it says, and what is no such line."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantgate.records.closing import Closing, Plan

PLAN = Plan(("int4-adamw-s47", "int8-adamw-s47"), {"steps": 100, "lr": None})
CLOSING = Closing(
    PLAN,
    exit_status=1,
    planned=1,
    ran=1,
    judged=1,
    shard="1/2",
    run="GitHub 17",
    problems=("a problem",),
    left_out={"int8-adamw-s47": "skipped"},
    known_failures={"int4-adamw-s47": "sign-lost"},
    given=("steps",),
    optimizers=("mine",),
)


def record(**changes: Any) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(CLOSING.to_line())
    return said | changes


def test_a_closing_line_is_read_back() -> None:
    assert "\n" not in CLOSING.to_line()
    assert Closing.from_record(json.loads(CLOSING.to_line())) == CLOSING
    assert CLOSING.to_line().startswith(
        '{"kind": "run", "schema": 1, "plan": {"count": 2, "digest": "sha256:'
    )


def test_a_plan_is_named_by_its_cells_and_settings_in_any_order() -> None:
    turned = Plan(tuple(reversed(PLAN.cells)), {"lr": None, "steps": 100})

    assert turned.digest == PLAN.digest
    assert replace(PLAN, settings={"steps": 99, "lr": None}).digest != PLAN.digest
    assert replace(PLAN, cells=PLAN.cells[:1]).digest != PLAN.digest


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"schema": 2, "quantgate": "9.0"},
            "written by quantgate 9.0 in schema 2; this is quantgate 0.1.0, which reads 1: read it with the version "
            "that wrote it",
        ),
        ({"shard": "3/2"}, "no closing line of a run: ValueError: '3/2' is no shard"),
        ({"judged": "one"}, "no closing line of a run: TypeError: 'one' is no whole number"),
        ({"problems": "x"}, "no closing line of a run: TypeError: 'x' is no list"),
        ({"plan": None}, "no closing line of a run: TypeError: 'NoneType' object is not subscriptable"),
        ({"left_out": {"x": 1}}, "no closing line of a run: TypeError: 1 is no text"),
        (
            {"plan": record()["plan"] | {"cells": ["int4-adamw-s47"]}},
            "no closing line of a run: the digest is not that of its plan; was it edited?",
        ),
    ],
)
def test_what_is_no_closing_line_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=r"^(no closing|written)") as refused:
        Closing.from_record(record(**changes))

    assert str(refused.value) == message


@given(
    st.dictionaries(
        st.sampled_from(sorted(record())), st.none() | st.integers() | st.lists(st.text()) | st.text()
    )
)
def test_nothing_but_a_value_error_comes_of_what_it_holds(changes: dict[str, Any]) -> None:
    try:
        Closing.from_record(record(**changes))
    except ValueError:
        return
