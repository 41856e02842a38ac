"""How a run was trained and what it is held against, in words."""

from __future__ import annotations

from quantgate.records.verdict import DEFAULT_LIMITS
from quantgate.reports.blocks.setting import chances, lines, training
from tests.examples import learning


def test_one_length_and_text() -> None:
    assert training([learning(), learning()]) == "100 steps on builtin"


def test_several_are_named_and_many_spanned() -> None:
    assert training([learning(steps=each) for each in (2000, 100)]) == "100 and 2,000 steps on builtin"
    assert training([learning(steps=each) for each in (5, 100, 7, 24_000)]) == "5 to 24,000 steps on builtin"
    assert training([learning(steps=1)]) == "1 step on builtin"


def test_what_no_record_says_is_not_made_up() -> None:
    logged = learning(steps=None, corpus={}, chance=None)

    assert training([logged]) == "steps that are not recorded"
    assert lines(DEFAULT_LIMITS, [logged]) == "below 6.50 passes, 6.90 is dead, chance is not recorded"


def test_chance_is_that_of_the_cells() -> None:
    others = [learning(chance=15.617), learning(chance=None), learning()]

    assert chances(others) == [7.0, 15.62]
    assert lines(DEFAULT_LIMITS, others[:2]) == "below 6.50 passes, 6.90 is dead, 15.62 is chance"
    assert lines(DEFAULT_LIMITS, others) == "below 6.50 passes, 6.90 is dead, 7.00 or 15.62 is chance"
