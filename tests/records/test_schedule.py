"""The schedule of the long lane: up in a line, down in a cosine, never 0."""

from __future__ import annotations

from itertools import pairwise

import pytest

from quantgate.records.schedule import Schedule

LONG = Schedule(warmup=50, floor=0.05)


@pytest.mark.parametrize(
    ("step", "share"),
    [(0, 0.02), (24, 0.5), (49, 1.0), (1024, 0.525), (1999, 0.05)],
)
def test_shares_of_the_peak(step: int, share: float) -> None:
    assert LONG.share(step, 2000) == pytest.approx(share, abs=1e-12)


def test_it_rises_for_the_warm_up_and_falls_from_there() -> None:
    shares = [LONG.share(step, 2000) for step in range(2000)]

    assert all(a < b for a, b in pairwise(shares[:50]))
    assert all(a > b for a, b in pairwise(shares[49:]))
    assert min(shares) > 0
    assert max(shares) == 1.0


def test_a_training_that_ends_in_its_warm_up_never_leaves_it() -> None:
    assert [LONG.share(step, 3) for step in range(3)] == [0.02, 0.04, 0.06]
    assert Schedule(warmup=0, floor=0.5).share(0, 1) == 0.5
