"""Why a run proves nothing, and whose doing it is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from quantgate.gate.validity import advice, invalid_reasons, is_users_doing, unlearned
from quantgate.plan.settings import Settings
from quantgate.records.cell import Cell
from quantgate.records.verdict import Verdict
from tests.examples import learning, make_result

CELLS = (Cell("int4", "format", "adamw", 47), Cell("int4", "format", "sgd", 47))


def test_a_sound_run_has_no_reasons() -> None:
    broken = replace(CELLS[0].control, subject="dead-body", kind="negative-control")

    assert invalid_reasons([learning(CELLS[0].control), make_result(broken), make_result(CELLS[0])]) == ()
    assert invalid_reasons([]) == ()


def test_reasons_name_the_control_its_score_and_its_rate() -> None:
    control = replace(CELLS[1].control, seed=89)
    broken = replace(CELLS[0].control, subject="dead-body", kind="negative-control")

    assert invalid_reasons(
        [
            make_result(control, bpb=6.95, lr=0.002),
            make_result(
                CELLS[1].control, bpb=None, verdict=Verdict.CRASHED, evidence={"because": "out of memory"}
            ),
            make_result(broken, verdict=Verdict.CRASHED, evidence={"because": "out of memory"}),
        ]
    ) == (
        "the float32 control of fp32 x sgd, seed 89 does not learn (dead, 6.95 BPB) at a rate of 0.002",
        "the float32 control of fp32 x sgd does not learn (crashed, no score) at a rate of 0.0002: out of memory",
        "the negative control dead-body x adamw proves nothing (crashed): out of memory",
    )
    assert invalid_reasons([learning(CELLS[0].control), learning(broken, bpb=5.4)]) == (
        "the negative control dead-body x adamw, broken on purpose, learns (5.40 BPB)",
    )


def test_a_control_that_does_not_learn_takes_its_own_cells_with_it_and_no_others() -> None:
    """A negative control beside it says nothing either way."""
    broken = replace(CELLS[1].control, subject="dead-body", kind="negative-control")
    controls = [learning(CELLS[0].control), make_result(CELLS[1].control, bpb=6.95), learning(broken)]

    assert invalid_reasons(controls) == ()
    assert unlearned(controls) == {
        CELLS[
            1
        ].control: "the float32 control of fp32 x sgd does not learn (dead, 6.95 BPB) at a rate of 0.0002"
    }


def test_what_a_probe_found_of_the_optimizer_is_said_with_its_control_and_its_rate_is_not_blamed() -> None:
    found = {"because": "the sign of the update is flipped."}
    faulty = make_result(
        CELLS[1].control, bpb=9.0, verdict=Verdict.DIVERGED, cause="optimizer-state", evidence=found
    )
    slow = make_result(CELLS[1].control, bpb=6.95, cause="unexplained")

    assert unlearned([faulty])[CELLS[1].control] == (
        "the float32 control of fp32 x sgd does not learn (diverged, 9.00 BPB) at a rate of 0.0002: "
        "the sign of the update is flipped"
    )
    assert advice([faulty], beside_others=False) == (
        "a registered optimizer keeps even float32 from learning; mend it first"
    )
    assert advice([faulty, slow], beside_others=False) == (
        "the options of this run keep even float32 from learning; mend them first"
    )
    beside = "its cells are not judged, the others are; "
    rate = "give the optimizer a rate at which float32 learns (lr=)"
    assert advice([faulty], beside_others=True) == f"{beside}mend the optimizer"
    assert advice([slow], beside_others=True) == f"{beside}{rate}"
    assert advice([faulty, slow], beside_others=True) == (
        f"{beside}mend the optimizer, and where none is blamed, give it a rate at which float32 learns (lr=)"
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


def test_a_builtin_optimizer_beside_the_users_own_is_not_his_doing() -> None:
    failed = [make_result(cell.control, bpb=6.95) for cell in CELLS]

    assert not is_users_doing(failed, Settings(), ("sgd",))


def test_a_negative_control_is_never_the_users_doing() -> None:
    broken = replace(CELLS[1].control, subject="dead-body", kind="negative-control")

    assert not is_users_doing([make_result(broken)], Settings(given=frozenset({"lr"})), ("sgd",))
    assert not is_users_doing([learning(CELLS[1].control)], Settings(given=frozenset({"lr"})), ("sgd",))
