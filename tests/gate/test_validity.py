"""Why a run proves nothing, and whose doing it is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from quantgate.gate.validity import invalid_reasons, is_users_doing
from quantgate.plan.settings import Settings
from quantgate.records.cell import Cell
from quantgate.records.verdict import Verdict
from tests.examples import learning, make_result

CELLS = (Cell("int4", "format", "adamw", 47), Cell("int4", "format", "sgd", 47))


def test_a_sound_run_has_no_reasons() -> None:
    broken = replace(CELLS[0].control, subject="dead-body", kind="negative-control")

    assert invalid_reasons([learning(CELLS[0].control), make_result(broken), make_result(CELLS[0])]) == ()
    assert invalid_reasons([]) == ()


def test_reasons_name_the_control_and_its_score() -> None:
    control = replace(CELLS[1].control, seed=89)
    broken = replace(CELLS[0].control, subject="dead-body", kind="negative-control")

    assert invalid_reasons(
        [
            make_result(control, bpb=6.95),
            make_result(control, bpb=None, verdict=Verdict.CRASHED, evidence={"because": "out of memory"}),
            learning(broken, bpb=5.4),
        ]
    ) == (
        "the float32 control of fp32 x sgd, seed 89 does not learn (dead, 6.95 BPB)",
        "the float32 control of fp32 x sgd, seed 89 does not learn (crashed, no score): out of memory",
        "the negative control dead-body x adamw, broken on purpose, learns (5.40 BPB)",
    )


@pytest.mark.parametrize(
    ("given", "registered", "users"),
    [
        ((), (), False),
        (("formats",), (), False),
        (("lr",), (), True),
        (("steps",), (), True),
        (("device",), (), True),
        (("fail_bpb",), (), True),
        (("widths",), (), True),
        (("corpus", "formats"), (), True),
        ((), ("lion",), False),
        ((), ("sgd",), True),
    ],
)
def test_whose_doing_it_is(given: tuple[str, ...], registered: tuple[str, ...], users: bool) -> None:
    failed = make_result(CELLS[1].control, bpb=6.95)

    assert is_users_doing([failed], Settings(given=frozenset(given)), registered) is users


def test_a_negative_control_is_never_the_users_doing() -> None:
    broken = replace(CELLS[1].control, subject="dead-body", kind="negative-control")

    assert not is_users_doing([make_result(broken)], Settings(given=frozenset({"lr"})), ("sgd",))
    assert not is_users_doing([learning(CELLS[1].control)], Settings(given=frozenset({"lr"})), ("sgd",))
