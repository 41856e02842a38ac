"""The incident, replayed: the causes that the gate names of the fleet's cells, and that the mended ones learn."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from quantgate.corpus import CorpusError
from quantgate.faults.fleet import FLEET, REPORT, Reported
from quantgate.faults.incident import Outcome, replay, replayed
from quantgate.records.verdict import Verdict

pytestmark = pytest.mark.slow

#: The causes that hold for each format of the fleet, likeliest first; none where it learned.
CAUSES = {
    "posit8": ("update-swallowed",),
    "int8": ("update-swallowed",),
    "int4": ("update-swallowed",),
    "gf4": ("update-swallowed",),
    "mxfp8": ("update-swallowed",),
    "uint8": ("sign-lost", "update-swallowed"),
    "gf8": ("range-collapsed", "update-swallowed"),
    "nf4": ("range-collapsed", "update-swallowed"),
    "gf256": ("no-op",),
    "gf32": (),
    "posit16": (),
    "fp16": (),
}


#: A row a format of the report, under AdamW.
ROWS = {row.format: replace(row, optimizer="adamw") for row in REPORT}


@cache
def trained(name: str) -> Outcome:
    """A format as the fleet trained it; the process keeps its control. What is mended, `test_lowbit.py` trains."""
    return replayed(ROWS[name])


def test_the_causes_of_every_format_of_the_fleet_are_here() -> None:
    assert set(CAUSES) == set(FLEET)


@pytest.mark.parametrize("name", sorted(name for name, causes in CAUSES.items() if causes))
def test_the_replay_names_the_cause_of_each_broken_cell(name: str) -> None:
    outcome = trained(name)
    expected = CAUSES[name]

    assert outcome.verdict is (Verdict.NO_OP if name == "gf256" else Verdict.DEAD)
    assert outcome.causes[0] == expected[0]
    assert set(expected) <= set(outcome.causes)
    assert outcome.because
    assert {said.partition(":")[0] for said in outcome.also} == set(outcome.causes[1:])


@pytest.mark.parametrize("name", sorted(name for name, causes in CAUSES.items() if not causes))
def test_the_replay_of_a_wide_format_learns(name: str) -> None:
    outcome = trained(name)

    assert outcome.verdict is Verdict.LEARNS
    assert outcome.causes == ()


def test_workers_train_a_row_both_ways_and_the_unknown_name_has_its_controls_curve() -> None:
    (row,) = replay(jobs=1, cells=(ROWS["gf256"],))

    assert row.reported == ROWS["gf256"]
    assert row.replayed == trained("gf256")
    assert row.replayed.bpb == row.replayed.control
    assert not row.contradicts
    assert (row.mended.verdict, row.mended.causes) == (Verdict.LEARNS, ())


def test_int8_is_dead_with_muon_too_where_its_control_learns() -> None:
    outcome = replayed(Reported("int8", "muon", 5.4015, "partial"))

    assert outcome.control is not None
    assert outcome.control < 6.3
    assert outcome.verdict is Verdict.DEAD
    assert outcome.causes == ("update-swallowed",)


def test_what_the_workers_raise_comes_through() -> None:
    with pytest.raises(CorpusError, match="no_such_corpus"):
        replay(jobs=1, corpus="no_such_corpus", cells=REPORT[:1])
    with pytest.raises(ValueError, match="at least one process"):
        replay(jobs=0)
